"""The node's DNS: dnsmasq, with the names of the Services that the API server has.

A cluster's own DNS would watch Services; here the test that creates some says so.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from controlplane import ControlPlane
from sandbox import NODE_ADDRESS

DOMAIN = "cluster.local"


class ClusterDns:
    """dnsmasq on the node's address, which the kubelet writes into the resolv.conf of pods."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self._plane = plane
        self._hosts = directory / "hosts"
        self._hosts.mkdir(parents=True)
        options = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--no-hosts",
            "--no-resolv",
            f"--local=/{DOMAIN}/",
            "--bind-interfaces",
            f"--listen-address={NODE_ADDRESS}",
            f"--hostsdir={self._hosts}",
            "--pid-file",
        ]
        self._program = plane.programs.start("dnsmasq", [Path("/usr/sbin/dnsmasq"), *options])
        self._program.wait_until(_listens, seconds=10, what="listening")

    def publish(self) -> None:
        """Make the names of all Services known; those that lead outside of the cluster are processes of the node."""
        lines = []
        for service in self._plane.api.list("Service"):
            metadata, spec = service["metadata"], service["spec"]
            address = NODE_ADDRESS if spec["type"] == "ExternalName" else spec["clusterIP"]
            lines.append(f"{address} {metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}\n")
        unfinished = self._hosts.with_name("hosts.unfinished")
        unfinished.write_text("".join(lines))
        unfinished.replace(self._hosts / "services")  # dnsmasq reads what comes into the directory


def _listens() -> bool:
    listed = subprocess.run(["ss", "-lun"], check=True, capture_output=True, text=True).stdout
    return f"{NODE_ADDRESS}:53 " in listed
