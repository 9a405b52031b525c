"""One setting of a file, an argument or a script: the keys that lead to it, and what it says."""

from __future__ import annotations

from msgspec import Struct

from webhook.detection.mentions import Value
from webhook.detection.values import read_value, urls
from webhook.detection.words import Role, key_words, role


class Line(Struct, frozen=True, array_like=True, gc=False):
    """One setting.

    Attributes:
        path: The keys that lead to it, outermost first; empty for a value that stands alone.
        value: What it says.
    """

    path: tuple[str, ...]
    value: Value


def setting(path: tuple[str, ...], text: str) -> Line:
    """One setting from its text; a credential keeps only the hosts of URLs."""
    if role(key_words(path[-1]) if path else ()) is Role.CREDENTIAL:
        return Line(path, Value(tuple(urls(text))))
    return Line(path, read_value(text))
