"""One setting of a file, an argument or a script: the keys that lead to it, and what it says."""

from __future__ import annotations

from msgspec import Struct

from webhook.detection.mentions import Value
from webhook.detection.values import read_value
from webhook.detection.words import holds_credential


class Line(Struct, frozen=True, array_like=True, gc=False):
    """One setting.

    Attributes:
        path: The keys that lead to it, outermost first; empty for a value that stands alone.
        value: What it says.
    """

    path: tuple[str, ...]
    value: Value


def setting(path: tuple[str, ...], text: str) -> Line:
    """Return one setting from its text; a credential says nothing."""
    return Line(path, Value() if holds_credential(path) else read_value(text))
