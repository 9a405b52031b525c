"""What was measured, as a file that the documentation is written from, and the targets that it has to meet."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_SECONDS, RESIDENT_MB, RELIST_RATIO = 60.0, 250.0, 2.0
FILE = Path(__file__).parents[2] / "build" / "scale" / "results.json"


@dataclass(frozen=True, slots=True)
class Target:
    """What something may cost at most.

    Attributes:
        name: What is measured.
        most: The target.
        measured: What it was.
        unit: "s", "MB", "x".
    """

    name: str
    most: float
    measured: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is met."""
        return self.measured <= self.most

    def __str__(self) -> str:
        verdict = "met" if self.met else "NOT MET"
        return f"{self.name}: {self.measured:.2f} {self.unit}, target {self.most:g} {self.unit}: {verdict}"


def targets(found: dict[str, Any]) -> list[Target]:
    """What a cluster of this size may cost."""
    whole, load = found["stages"]["whole"], found["load"]
    return [
        Target(
            "ready, with 20,000 ConfigMaps, 5,000 Services and 2,000 namespaces", READY_SECONDS, whole["seconds"], "s"
        ),
        Target("resident memory then", RESIDENT_MB, whole["resident_mb"], "MB"),
        Target(
            "p99 of decisions during a relist, by that of idle",
            RELIST_RATIO,
            load["relist"]["p99"] / load["idle"]["p99"],
            "x",
        ),
    ]


def keep(part: str, figures: dict[str, Any]) -> None:
    """Put the figures of one part into the file, and leave the others as they are."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps(kept | {part: figures}, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {"cores": len(os.sched_getaffinity(0))}


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed (nearest rank); not a number where there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
