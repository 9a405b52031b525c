"""What these suites need of the machine, and the one line that says what is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

IMAGE = {"buildah": "buildah", "debootstrap": "debootstrap"}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "dnsmasq": "dnsmasq-base",
    "unshare": "util-linux",
    "gcc": "gcc",
    "go": "golang",
}
"""Programs, and the Debian packages that have them."""
CNI_PLUGINS = Path("/usr/lib/cni")
CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = CGROUPS / "cgroup.controllers"
CONTROLLERS = {"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer"}


def missing_for_image() -> str:
    """Why no image can be built here, as a sentence; empty if one can."""
    if os.geteuid() != 0:
        return "it takes root to make a base and to build in it"
    return _lacking(IMAGE)


def missing_for_node() -> str:
    """Why this machine can host no node, as a sentence; empty if it can."""
    if os.geteuid() != 0:
        return "it takes root to be a node"
    if not any(os.access(one, os.W_OK) and _takes_groups(one) for one in hierarchies()):
        return f"no cgroup can be made in {CGROUPS}"
    here = {one.name for one in hierarchies()}
    if not UNIFIED.exists() and (lacking := CONTROLLERS - here):
        return f"{CGROUPS} has no controller {min(lacking)}"
    if not (CNI_PLUGINS / "ptp").exists():
        return f"{CNI_PLUGINS} has no ptp: install containernetworking-plugins"
    return _lacking(IMAGE | NODE)


def hierarchies() -> list[Path]:
    """The roots of the cgroup trees: one of version 2, or one for each controller of version 1."""
    if UNIFIED.exists():
        return [CGROUPS]
    return sorted(one for one in CGROUPS.glob("*") if (one / "cgroup.procs").exists() and not one.is_symlink())


def _takes_groups(hierarchy: Path) -> bool:
    probe = hierarchy / f"sidecar-policy-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _lacking(programs: dict[str, str]) -> str:
    lacking = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    return f"on Debian, install {' '.join(lacking)}" if lacking else ""
