"""Parse durations on the command line."""

from __future__ import annotations

import re

import typer

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def duration(written: str | float) -> float:
    """Return the seconds of "5s", "500ms", "1m", "12h", "90d" or a bare number of seconds."""
    found = _DURATION.fullmatch(str(written).strip())
    if found is None:
        raise typer.BadParameter(f"invalid duration {written!r} (examples: 5s, 500ms, 1m, 12h, 90d)")
    return float(found["number"]) * _SECONDS[found["unit"]]
