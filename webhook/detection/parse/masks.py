"""Mask the parts of a setting's keys that may be credentials, since maps may have credentials for keys."""

from __future__ import annotations

import re
from functools import cache

from webhook.detection.catalog import Catalog
from webhook.detection.words import STRUCTURE, announces_credentials, may_announce, names_credential, words

# The separators of the parts of one key: tokens.x.url, Tokens:x:Url, [tokens "x"], TOKENS__x__URL.
# The index of a list element is not a separate part.
_PARTS = re.compile(r"(\[\d{1,2}\]|[^\w…-]+|__+)")
_PLAIN = re.compile(r"[A-Za-z0-9_-]*+")
_LONGEST_PHRASE = 3
_LONGEST_NUMBER = 2


class Mask:
    """A consistent replacement, within one text, of the unknown words of keys below a credential's key."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[bool, tuple[str, ...]]] = {}
        self._parts: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def path(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys as they may be stored and shown.

        All words below a key that names a credential, or is hidden itself ("…"), are replaced, unless they classify a
        value, or name a backend. The same word gets the same replacement, so that a host and its
        port still belong together.
        """
        if not path:
            return path
        last = path[-1]
        below, above = self._above(path[:-1])
        if not below and last.isidentifier() and "__" not in last:
            return path  # nothing is below the last key
        below, last = self._key(last, below=below)
        return (*above, last) if below else path

    def _above(self, path: tuple[str, ...]) -> tuple[bool, tuple[str, ...]]:
        """Return whether everything below these keys is hidden, and the keys as they may be shown."""
        if not path:
            return False, ()
        if (known := self._known.get(path)) is None:
            below, above = self._above(path[:-1])
            below, last = self._key(path[-1], below=below)
            known = self._known[path] = below, (*above, last)
        return known

    def _key(self, key: str, *, below: bool) -> tuple[bool, str]:
        """Return whether the next key is below a credential's, and this key as it may be shown."""
        if not (below or "…" in key or may_announce(key.lower())):
            return False, key
        parts = _PARTS.split(key)
        for at in range(0, len(parts), 2):
            if below:
                parts[at] = self._part(parts[at])
            else:
                below = "…" in parts[at] or announces_credentials(words(parts[at]))
        return below, "".join(parts)

    def _part(self, part: str) -> str:
        if (masked := self._parts.get(part)) is None:
            masked = self._parts[part] = self._masked(part)
        return masked

    def _masked(self, part: str) -> str:
        if not part or "…" in part:
            return part
        # What words do not show, such as letters beyond ASCII, is an unknown word.
        tokens = words(part) if _PLAIN.fullmatch(part) else (*words(part), part)
        kept: list[str] = []
        unknown = ""
        at = 0
        while at < len(tokens):
            length = 0 if unknown and tokens[at].isdigit() else _known(tokens, at)
            if not length:
                unknown += tokens[at]
                at += 1
                continue
            if unknown:
                kept.append(self._name(unknown))
                unknown = ""
            kept += tokens[at : at + length]
            at += length
        if unknown:
            kept.append(self._name(unknown))
        return "_".join(kept) if any("…" in word for word in kept) else part

    def _name(self, unknown: str) -> str:
        # A letter, since a number at the end of a key does not count as a word.
        name = self._names.setdefault(unknown, f"…x{len(self._names) + 1}")
        return f"{name}_credential" if names_credential(unknown) else name


def _known(tokens: tuple[str, ...], at: int) -> int:
    """Return how many words from here on detection recognises as one; a short number after one counts too."""
    names = _names()
    for length in range(_LONGEST_PHRASE, 0, -1):
        if at + length <= len(tokens) and "".join(tokens[at : at + length]) in names:
            return length
    token = tokens[at]
    is_number = at > 0 and token.isdigit() and len(token) <= _LONGEST_NUMBER
    return 1 if token in STRUCTURE or is_number else 0


@cache
def _names() -> frozenset[str]:
    return Catalog.default().words_of_keys()
