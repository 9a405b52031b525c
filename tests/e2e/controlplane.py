"""A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager.

There is no node and no scheduler: pods are created by the real controllers, go through real admission, and stay
Pending. That is all there is to see of an admission webhook. Where a node is to join, the API server also listens on
an address that pods reach.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from api import Api
from pki import Authority, kubeconfig, service_account_keys
from processes import Program, Programs, free_ports

ADMIN = "e2e-admin"
SERVICE_ADDRESS = "10.96.0.1"
"""The first address of the range of Services, which the Service `kubernetes` gets."""
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "None"},
    ],
}
"""Of each pod's creation the audit log says which webhooks were called, which of them changed it, and which failed."""


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane.

    Attributes:
        api: A client with every right.
        port: The API server's.
        kubeconfig: The same client's, as a file.
        authority: Signs every certificate of the control plane.
        programs: What runs; what is started among them ends with the control plane.
        directory: Holds all of its files; the logs are in `programs.logs`.
        tools: The directory of the binaries.
        address: Where pods and nodes reach the API server; None for loopback alone.
    """

    api: Api
    port: int
    kubeconfig: Path
    authority: Authority
    programs: Programs
    directory: Path
    tools: Path
    address: str | None = None

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"

    @property
    def api_server(self) -> Program:
        """The API server as it was started last."""
        return self.programs.last("kube-apiserver")

    def start_api_server(self) -> None:
        """Start the API server again after it was stopped, and wait until it is ready."""
        server = self.programs.start("kube-apiserver", self.api_server.command)
        server.wait_until(self.api.ready, seconds=60, what="ready")

    def client_for(self, user: str, *groups: str) -> Api:
        """A client that is this user in these groups."""
        client = self.authority.client(user.replace(":", "-"), user, *groups)
        return Api(self.port, authority=self.authority.certificate, client=client)

    def kubeconfig_for(self, name: str, user: str, *groups: str) -> Path:
        """Write a kubeconfig for a user, who has the rights that RBAC gives to this user and these groups."""
        return kubeconfig(
            self.directory / f"{name}.kubeconfig",
            server=self.api.url,
            authority=self.authority.certificate,
            client=self.authority.client(name, user, *groups),
        )


@contextmanager
def control_plane(
    tools: Path, *, address: str | None = None, manager: Mapping[str, object] | None = None
) -> Iterator[ControlPlane]:
    """Start a control plane in a directory of its own, and kill all of it in the end.

    The directory is left to whoever wants to read its logs.

    Args:
        tools: The directory of the binaries.
        address: Of this machine, for pods and nodes to reach the API server; None for loopback alone.
        manager: More flags of kube-controller-manager.

    Raises:
        ProgramError: A part of it does not come up.
    """
    directory = Path(tempfile.mkdtemp(prefix="sidecar-policy-e2e-"))
    logs = directory / "logs"
    logs.mkdir()
    authority = Authority(directory)
    client = authority.client("admin", ADMIN, "system:masters")
    etcd_port, peer_port, port = free_ports(3)
    with Programs(logs) as programs:
        plane = ControlPlane(
            api=Api(port, authority=authority.certificate, client=client),
            port=port,
            kubeconfig=kubeconfig(
                directory / "admin.kubeconfig",
                server=f"https://127.0.0.1:{port}",
                authority=authority.certificate,
                client=client,
            ),
            authority=authority,
            programs=programs,
            directory=directory,
            tools=tools,
            address=address,
        )
        keys = service_account_keys(directory)
        _start_etcd(plane, etcd_port, peer_port)
        _start_api_server(plane, etcd_port, keys)
        _start_controller_manager(plane, keys[0], manager or {})
        yield plane


def _start_etcd(plane: ControlPlane, port: int, peer_port: int) -> None:
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    flags = {
        "name": "e2e",
        "data-dir": plane.directory / "etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"e2e={peer_url}",
        "unsafe-no-fsync": "true",  # nothing has to outlive this run
    }
    plane.programs.start("etcd", [plane.tools / "etcd", *_flags(flags)])


def _start_api_server(plane: ControlPlane, etcd_port: int, keys: tuple[Path, Path]) -> None:
    reached = () if plane.address is None else (plane.address, SERVICE_ADDRESS)
    certificate, key = plane.authority.server("kube-apiserver", "kubernetes.default.svc", addresses=reached)
    audit_policy = plane.directory / "audit-policy.yaml"
    audit_policy.write_text(yaml.safe_dump(AUDIT_POLICY))
    flags = {
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "endpoint-reconciler-type": "none",  # loopback may not be an endpoint
        "secure-port": plane.port,
        "tls-cert-file": certificate,
        "tls-private-key-file": key,
        "client-ca-file": plane.authority.certificate,
        "anonymous-auth": "false",
        "authorization-mode": "RBAC",
        "service-account-issuer": SERVICE_ACCOUNT_ISSUER,
        "service-account-signing-key-file": keys[0],
        "service-account-key-file": keys[1],
        "service-cluster-ip-range": "10.96.0.0/16",
        "allow-privileged": "true",
        "audit-policy-file": audit_policy,
        "audit-log-path": plane.audit_log,
        "audit-log-mode": "blocking",  # a test reads it right after its request
    }
    if plane.address is not None:
        flags |= _reachable(plane, plane.address)
    command: list[str | Path] = [plane.tools / "kube-apiserver", *_flags(flags)]
    # etcd may still be starting: the API server asks until it is there.
    server = plane.programs.start("kube-apiserver", command)
    server.wait_until(plane.api.ready, seconds=60, what="ready")


def _reachable(plane: ControlPlane, address: str) -> dict[str, object]:
    """Flags for an API server that pods reach by the Service `kubernetes`, and that reaches kubelets."""
    certificate, key = plane.authority.client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    return {
        "bind-address": "0.0.0.0",
        "advertise-address": address,
        "endpoint-reconciler-type": "lease",
        "authorization-mode": "Node,RBAC",
        "kubelet-client-certificate": certificate,
        "kubelet-client-key": key,
        "kubelet-preferred-address-types": "InternalIP",  # no DNS knows the names of nodes
    }


def _start_controller_manager(plane: ControlPlane, signing_key: Path, more: Mapping[str, object]) -> None:
    user = "system:kube-controller-manager"
    config = plane.kubeconfig_for("kube-controller-manager", user)
    flags = {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "use-service-account-credentials": "true",
        "service-account-private-key-file": signing_key,
        "root-ca-file": plane.authority.certificate,
        "leader-elect": "false",
        "secure-port": "0",
        "concurrent-deployment-syncs": "10",
        **more,
    }
    command: list[str | Path] = [plane.tools / "kube-controller-manager", *_flags(flags)]
    manager = plane.programs.start("kube-controller-manager", command)

    def works() -> bool:
        return bool(
            [one for one in plane.api.list("ServiceAccount", "default") if one["metadata"]["name"] == "default"]
        )

    manager.wait_until(works, seconds=60, what="making service accounts")


def _flags(flags: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]
