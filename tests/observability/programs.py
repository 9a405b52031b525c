"""Prometheus and promtool: those of the machine, or else those of Debian's package, unpacked into the user's cache.

Run as a program, it prints the directory that has them, or says in one line why there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = ("prometheus", "promtool")


class MissingError(Exception):
    """There is no Prometheus here, and none can be had. Its text is for people."""


def directory() -> Path:
    """Where both programs are.

    Raises:
        MissingError: They are not installed, and cannot be unpacked here.
    """
    found = [shutil.which(name) for name in PROGRAMS]
    if all(found):
        return Path(str(found[0])).parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sidecar-policy" / "prometheus"
    programs = cache / "usr" / "bin"
    if not all((programs / name).exists() for name in PROGRAMS):
        _unpack(cache)
    return programs


def _unpack(target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingError("install prometheus with promtool: they are not on the PATH, and this is no Debian")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        try:
            _run(scratch, "apt-get", "download", "prometheus")
            (package,) = Path(scratch).glob("*.deb")
            _run(scratch, "dpkg-deb", "--extract", package.name, "unpacked")
        except (subprocess.CalledProcessError, ValueError):
            raise MissingError("install Debian's package prometheus: apt-get could not download it") from None
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / "unpacked").rename(target)


def _run(directory: str, *command: str) -> None:
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


if __name__ == "__main__":
    try:
        print(directory())
    except MissingError as error:
        sys.exit(f"observability-test: {error}")
