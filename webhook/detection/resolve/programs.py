"""The programs that a container starts."""

from __future__ import annotations

from collections.abc import Iterable

from webhook.detection.parse.commands import SHELLS, programs
from webhook.kubernetes.pod import Container


def started_by(container: Container) -> tuple[str, ...]:
    """Return the base names of the programs that the container's command starts; none where the image chooses."""
    if not container.command and not container.args:
        return ()
    return programs([*(container.command or ()), *(container.args or ())])


def first_of(started: Iterable[str]) -> str:
    """Return the first program that is not a shell, or ""."""
    return next((program for program in started if program.strip() and program not in SHELLS), "")
