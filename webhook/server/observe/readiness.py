"""Readiness as a conjunction of named checks.

The text format is that of Kubernetes' own /readyz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Health(NamedTuple):
    """The result of one check. The `notice` is reported even if the check passes, and contains no value of a pod."""

    ok: bool
    notice: str = ""


Check = Callable[[], Health]


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks, in order."""

    checks: Mapping[str, Health]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(health.ok for health in self.checks.values())

    def text(self, *, verbose: bool = False) -> str:
        """Format one line per check; only "ok" if all pass without a notice, unless `verbose`."""
        if self.ok and not verbose and not any(health.notice for health in self.checks.values()):
            return "ok\n"
        lines = [
            f"[{'+' if health.ok else '-'}]{name} {'ok' if health.ok else 'failed'}"
            + (f": {health.notice}" if health.notice else "")
            for name, health in self.checks.items()
        ]
        return "\n".join([*lines, f"readyz check {'passed' if self.ok else 'failed'}"]) + "\n"

    def document(self) -> dict[str, Any]:
        """Return the results as plain data."""
        # `remark` is the former name of `notice`, kept for one minor version.
        checks = [
            {"name": name, "ok": health.ok, "notice": health.notice, "remark": health.notice}
            for name, health in self.checks.items()
        ]
        return {"ok": self.ok, "checks": checks}


class Readiness:
    """The readiness checks, and whether the process is shutting down."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._leaving = False

    def leave(self) -> None:
        """Report unready from now on, since the process is shutting down."""
        self._leaving = True

    def report(self) -> Report:
        """Run every check."""
        leaving = Health(ok=False, notice="the server is shutting down") if self._leaving else Health(ok=True)
        return Report({"shutdown": leaving} | {name: check() for name, check in self._checks.items()})
