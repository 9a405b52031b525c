"""Take JSON apart without reading it, where a part of it cannot be read and the others are wanted.

One text that is no Unicode, or one value that is nested too deeply, makes all around it unreadable to a parser. Here
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
    """Return the JSON of each member of an object, by name. Those whose name cannot be read are left out.

    Raises:
        msgspec.DecodeError: It is not an object, or has no end.
    """
    return {name: value for name, value in _members(text) if name is not None}


def elements(text: bytes) -> list[bytes]:
    """Return the JSON of each element of an array.

    Raises:
        msgspec.DecodeError: It is not an array, or has no end.
    """
    return list(_parts(text, b"["))


def place(text: bytes) -> str:
    """Return where a JSON text cannot be read, as "$.data.app" or "$.items[2]"; what it says is not part of that."""
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
            # Nothing can be read of a member without a name that can be read.
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
    """Yield what stands between the commas of an object or array."""
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
