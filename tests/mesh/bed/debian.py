"""Programs of Debian packages: where they are, and of which version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PLACES = "/usr/bin:/usr/sbin:/usr/lib/rabbitmq/bin"


def path(program: str) -> str:
    """Where a program is, empty if nowhere. PostgreSQL's are below its version, of which the newest is taken."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda one: int(one.parts[4]))
    return str(versions[-1]) if versions else shutil.which(program, path=PLACES) or ""


def version(program: str) -> str:
    """The upstream version of the package that a program comes from."""
    package = _query("--search", str(Path(path(program)).resolve())).partition(":")[0]
    return _query("--show", "--showformat=${source:Upstream-Version}", package)


def _query(*arguments: str) -> str:
    asked = subprocess.run(["/usr/bin/dpkg-query", *arguments], check=True, capture_output=True, text=True, timeout=20)
    return asked.stdout
