"""Split JSON into members and elements without decoding them, where one part is invalid and the others are needed.

One string that is not Unicode, or one value that is nested too deeply, makes a decoder fail on all of the text. Here
only strings and brackets are recognised, in linear time and without recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from webhook.cluster.errors import UNREADABLE

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_NAME = re.compile(rb'\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:', re.DOTALL)
_DEEPEST: Final = 8
_LONGEST_PLACE: Final = 200


def members(text: bytes) -> dict[str, bytes]:
    """Return the JSON of each member of an object, by name, without those whose name cannot be decoded.

    Raises:
        msgspec.DecodeError: The text is not an object, or is incomplete.
    """
    return {name: value for name, value in _members(text) if name is not None}


def elements(text: bytes) -> list[bytes]:
    """Return the JSON of each element of an array.

    Raises:
        msgspec.DecodeError: The text is not an array, or is incomplete.
    """
    return list(_parts(text, b"["))


def place(text: bytes) -> str:
    """Return the path to the part of a JSON text that cannot be decoded, as "$.data.app" or "$.items[2]".

    The path contains no value. It has at most 8 segments and 200 characters.
    """
    path = "$"
    for _ in range(_DEEPEST):
        broken = next(((name, part) for name, part in _named_parts(text) if not _is_readable(part)), None)
        if broken is None:
            break
        path, text = path + broken[0], broken[1]
    return path if len(path) <= _LONGEST_PLACE else path[:_LONGEST_PLACE] + "…"


def _named_parts(text: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        if text.lstrip().startswith(b"["):
            yield from ((f"[{index}]", part) for index, part in enumerate(elements(text)))
        else:
            # A member whose name cannot be decoded is not descended into.
            yield from ((".?", b"") if name is None else (f".{name}", part) for name, part in _members(text))
    except msgspec.DecodeError:
        return


def _members(text: bytes) -> Iterator[tuple[str | None, bytes]]:
    for part in _parts(text, b"{"):
        named = _NAME.match(part)
        try:
            yield (msgspec.json.decode(named[1], type=str), part[named.end() :]) if named else (None, part)
        except UNREADABLE:
            yield None, part


def _parts(text: bytes, opening: bytes) -> Iterator[bytes]:
    """Yield the parts between the top-level commas of an object or array."""
    if not text.lstrip().startswith(opening):
        raise msgspec.DecodeError("unexpected type of value")
    depth = begin = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                begin = token.end() if depth == 1 else begin
            case b"]" | b"}":
                depth -= 1
                if depth == 0:
                    last = text[begin : token.start()].strip()
                    if last:
                        yield last
                    return
            case b"," if depth == 1:
                yield text[begin : token.start()].strip()
                begin = token.end()
    raise msgspec.DecodeError("unterminated value")


def _is_readable(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except UNREADABLE:
        return False
    return True
