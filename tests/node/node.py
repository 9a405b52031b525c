"""A real node: containerd, kubelet, kube-proxy and a DNS, and the scheduler that sends pods to it.

All of it lives in the namespaces of sandbox.py. The API server listens there on the node's address too, so that pods
reach it as they would anywhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cluster_dns
import yaml
from api import ApiError
from cluster_dns import ClusterDns
from controlplane import ControlPlane
from image import PAUSE
from packages import CNI_PLUGINS
from sandbox import NODE_ADDRESS

NAME = "node-1"
POD_NETWORK = "10.244.0.0/24"
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    # Each pod has a link of its own to the node, so that traffic between pods, too, goes through the node's iptables.
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}


@dataclass(frozen=True)
class Node:
    """A running node.

    Attributes:
        plane: The control plane that it has joined.
        directory: Holds all of its files.
        dns: Answers its pods.
    """

    plane: ControlPlane
    directory: Path
    dns: ClusterDns

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    def load(self, archive: Path) -> None:
        """Import an image, for want of a registry."""
        self._images("import", archive)

    def tag(self, image: str, name: str) -> None:
        """Give an image one more name."""
        self._images("tag", "--force", image, name)

    def _images(self, *arguments: str | Path) -> None:
        ctr: list[str | Path] = ["ctr", "--address", self.socket, "--namespace", "k8s.io", "images"]
        subprocess.run([*ctr, *arguments], check=True, capture_output=True)

    def kill(self, pod: str) -> list[int]:
        """Kill a pod's processes, by the pod's uid, as the kernel does when memory is short; return which."""
        found = [int(one.name) for one in Path("/proc").glob("[0-9]*") if _belongs(one, pod)]
        for process in found:
            os.kill(process, signal.SIGKILL)
        return found


def start(plane: ControlPlane, directory: Path, cgroup: str) -> Node:
    """Start all parts, and wait until the node is ready.

    Args:
        plane: The control plane to join.
        directory: For its files.
        cgroup: Where the cgroups of pods go, in each hierarchy.

    Raises:
        ProgramError: A part does not come up.
    """
    directory.mkdir()
    node = Node(plane, directory, ClusterDns(plane, directory / "dns"))
    _start_containerd(node)
    _start_scheduler(node)
    _start_kubelet(node, cgroup)
    _start_proxy(node)
    return node


def _start_containerd(node: Node) -> None:
    networks = node.directory / "networks"
    networks.mkdir()
    (networks / "10-pods.conflist").write_text(json.dumps(NETWORK))
    config = node.directory / "containerd.toml"
    config.write_text(f"""
version = 2
root = "{node.directory}/containerd"
state = "{node.directory}/containerd.state"
[grpc]
  address = "{node.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
""")
    program = node.plane.programs.start("containerd", [Path("/usr/bin/containerd"), "--config", config])
    program.wait_until(lambda: _answers(node), seconds=60, what="answering")


def _start_scheduler(node: Node) -> None:
    config = node.plane.kubeconfig_for("kube-scheduler", "system:kube-scheduler")
    options = {"kubeconfig": config, "leader-elect": "false", "secure-port": "0"}
    options |= {"authentication-kubeconfig": config, "authorization-kubeconfig": config}
    _start(node, "kube-scheduler", options)


def _start_kubelet(node: Node, cgroup: str) -> None:
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(node.plane.authority.certificate)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "enforceNodeAllocatable": [],
        # A full disk of the machine is none of these pods' business.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": cluster_dns.DOMAIN,
    }
    config = node.directory / "kubelet.yaml"
    config.write_text(yaml.safe_dump(settings))
    options = {
        "config": config,
        "kubeconfig": node.plane.kubeconfig_for("kubelet", f"system:node:{NAME}", "system:nodes"),
        "hostname-override": NAME,
        "node-ip": NODE_ADDRESS,
        "root-dir": node.directory / "kubelet",
        "cert-dir": node.directory / "kubelet-certificates",
    }
    kubelet = _start(node, "kubelet", options)
    kubelet.wait_until(lambda: _ready(node), seconds=90, what="ready")


def _start_proxy(node: Node) -> None:
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": NODE_ADDRESS,
        "clientConnection": {"kubeconfig": str(node.plane.kubeconfig_for("kube-proxy", "system:kube-proxy"))},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NAME,
        "mode": "iptables",
        # The table is the whole machine's.
        "conntrack": {"maxPerCore": 0},
    }
    config = node.directory / "kube-proxy.yaml"
    config.write_text(yaml.safe_dump(settings))
    proxy = _start(node, "kube-proxy", {"config": config})
    proxy.wait_until(_has_rules, seconds=60, what="writing rules")


def _start(node: Node, name: str, options: dict[str, object]):
    flags = [f"--{option}={value}" for option, value in options.items()]
    return node.plane.programs.start(name, [node.plane.tools / name, *flags])


def _answers(node: Node) -> bool:
    command: list[str | Path] = ["ctr", "--address", node.socket, "--connect-timeout", "1s", "version"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _ready(node: Node) -> bool:
    try:
        found = node.plane.api.get("Node", NAME)
    except ApiError:
        return False
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"])
    return ready and not found["spec"].get("taints")


def _has_rules() -> bool:
    listed = subprocess.run(["iptables", "-t", "nat", "-S"], check=False, capture_output=True, text=True)
    return "KUBE-SERVICES" in listed.stdout


def _belongs(process: Path, pod: str) -> bool:
    try:
        groups = (process / "cgroup").read_text()
        command = (process / "cmdline").read_bytes()
    except OSError:
        return False
    return f"pod{pod}" in groups and not command.startswith(b"/pause")
