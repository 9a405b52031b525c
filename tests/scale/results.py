"""What was measured, as a file that the documentation is written from, and the targets that it has to meet."""

from __future__ import annotations

import json
import math
import os
import statistics
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
            load["relist"]["p99"],
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


def compared(spans: Sequence[tuple[str, Sequence[float]]]) -> dict[str, Any]:
    """What reviews took while something happened, by what they took just before and after it.

    Args:
        spans: What happened, and the seconds of the reviews meanwhile; one that is not "idle" stands between two that
            are, or else is compared with all of these.

    Returns:
        For "idle" the percentiles in seconds, and for all else the median of its ratios to that.
    """
    quiet = [took for what, some in spans if what == "idle" for took in some]
    found: dict[str, Any] = {"idle": {"reviews": len(quiet)} | percentiles(quiet), "rounds": {}}
    for what in dict.fromkeys(what for what, _ in spans if what != "idle"):
        rounds, reviews = [], 0
        for number, (name, some) in enumerate(spans):
            if name != what:
                continue
            around = [one for kind, one in spans[number - 1 : number + 2 : 2] if kind == "idle"]
            # Short ones say little by themselves: they are taken together.
            rest = [percentiles(one) for one in around] if len(around) == 2 else [percentiles(quiet)]
            mean = {key: statistics.mean(one[key] for one in rest) for key in rest[0]}
            rounds.append({key: value / mean[key] for key, value in percentiles(some).items()})
            reviews += len(some)
        found["rounds"][what] = rounds
        found[what] = {"reviews": reviews} | {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    return found


def percentiles(some: Sequence[float]) -> dict[str, float]:
    """What half of them, nearly all, and all took at most."""
    return {"p50": percentile(some, 0.5), "p99": percentile(some, 0.99), "max": max(some)}
