"""What modules may not import or be. Which floor may import which is a contract in pyproject.toml, see `make lint`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*ROOT.glob("webhook/**/*.py"), *ROOT.glob("certs/**/*.py")])
PURE = (
    "webhook/kubernetes/",
    "webhook/core/",
    "webhook/mesh/",
    "webhook/detection/",
    "webhook/decision/",
    "webhook/analysis/diagnose/",
    "webhook/analysis/plan/",
    "webhook/analysis/workloads.py",
)
# I/O, clocks, the environment, logging, servers: none of it where decisions are made.
IMPURE = {
    "asyncio",
    "cryptography",
    "datetime",
    "fastapi",
    "http",
    "io",
    "kubernetes",
    "logging",
    "os",
    "prometheus_client",
}
IMPURE |= {
    "pathlib.Path",
    "random",
    "rich",
    "socket",
    "ssl",
    "structlog",
    "subprocess",
    "threading",
    "time",
    "typer",
    "uvicorn",
}


def _imports(path: Path) -> set[str]:
    """Every module and name that a file imports, as dotted paths."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.relative_to(ROOT).as_posix().startswith(PURE)], ids=lambda path: path.stem
)
def test_the_pure_half_does_no_io(path):
    # The packaged catalog is data of the package itself, read once. Threads share the cache of decisions.
    allowed = {"importlib.resources", "threading", "threading.Lock"}

    assert [name for name in _imports(path) - allowed for package in IMPURE if _within(name, package)] == []


def test_one_module_alone_knows_the_kubernetes_package():
    knowing = [path for path in MODULES if any(_within(name, "kubernetes") for name in _imports(path))]

    assert [path.relative_to(ROOT).as_posix() for path in knowing] == ["webhook/cluster/client.py"]


def test_no_module_is_named_for_having_no_subject():
    assert [path for path in MODULES if path.stem in {"utils", "util", "helpers", "helper", "common", "misc"}] == []


def test_modules_stay_small_enough_to_read_at_once():
    assert [path.as_posix() for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
