"""A diagnostic for a user-supplied file: location, message, suggested fix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in one file.

    Attributes:
        severity: An error makes the file unusable; a warning does not.
        file: The file as the user named it, "-" for standard input.
        line: The line, counted from 1; None when the finding is about the file as a whole.
        field: The path of the field, as "spec.rules[2].match.owners"; empty for the file as a whole.
        message: What is wrong.
        hint: A suggested fix, or None.
    """

    severity: Literal["error", "warning"]
    file: str
    line: int | None
    field: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        """Return the diagnostic on one line, as `file:line: error: spec.rules[0].acton: unknown field (did you …)`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        field = f"{self.field}: " if self.field else ""
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{place}: {self.severity}: {field}{self.message}{hint}")


def printable(text: str) -> str:
    """Return an untrusted text, safe for a terminal: control characters and line breaks are replaced."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def did_you_mean(written: str, known: Iterable[str]) -> str | None:
    """Return the hint for a misspelt name.

    Args:
        written: What the user wrote.
        known: The names that would be right.

    Returns:
        "did you mean 'action'?", or None when no known name is near. Case does not count.
    """
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(written.casefold(), by_folded, n=1, cutoff=0.6)
    return f"did you mean '{by_folded[near[0]]}'?" if near else None


def field_and_message(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the field and the message of an error such as "Expected `int`, got `str` - at `$.spec.ports[0].port`"."""
    message, _, place = str(error).partition(" - at ")
    path = re.search(r"`\$\.?([^`]*)`$", place)
    return path[1] if path else "", message[0].lower() + message[1:]
