"""Checked CEL expressions as trees.

The CEL library returns a checked expression as a serialized `cel.expr.CheckedExpr`; only the fields that the cost
estimate reads are decoded. Source: cel-spec, proto/cel/expr/checked.proto and syntax.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SCALARS = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}

CREATE = "{}"
"""The function name for the creation of a message."""

Fields = dict[int, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Node:
    """One expression.

    Attributes:
        offset: Its position in the source, in code points.
        type: "string", "bytes", "list", "map", "scalar" for what has a fixed size, "dyn" for anything else.
    """

    offset: int
    type: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A literal; `size` is its length in bytes, `text` the value of a string."""

    size: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable, one of a comprehension, or the name of a type."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """The selection of a field of an object, or the test for it."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function or an operator; the receiver comes first among the arguments."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A list or map in brackets; keys and values of a map alternate."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop(Node):
    """A comprehension: what `all`, `exists`, `exists_one`, `filter` and `map` expand to."""

    variable: str
    over: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


def descendants(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    match node:
        case Select():
            yield from descendants(node.operand)
        case Call():
            for argument in node.arguments:
                yield from descendants(argument)
        case Literal():
            for item in node.items:
                yield from descendants(item)
        case Loop():
            for part in (node.over, node.start, node.condition, node.step, node.result):
                yield from descendants(part)


def tree(serialized: bytes) -> Node:
    """Decode a checked expression.

    Args:
        serialized: A `google.protobuf.Any` with a `CheckedExpr` in it.
    """
    return _Reader(_fields(_message(_fields(serialized), 2))).root()


class _Reader:
    def __init__(self, checked: Fields) -> None:
        self._expression = _message(checked, 4)
        entries = (_fields(entry) for entry in checked.get(3, ()) if isinstance(entry, bytes))
        self._types = {_int(entry, 1): _type(_fields(_message(entry, 2))) for entry in entries}
        source = _fields(_message(checked, 5))
        positions = (_fields(entry) for entry in source.get(4, ()) if isinstance(entry, bytes))
        self._offsets = {_int(entry, 1): _int(entry, 2) for entry in positions}

    def root(self) -> Node:
        return self._node(self._expression)

    def _node(self, data: bytes) -> Node:
        fields = _fields(data)
        number = _int(fields, 2)
        place = (self._offsets.get(number, 0), self._types.get(number, "dyn"))
        kind = next(iter(fields.keys() - {2}), 3)
        value = _fields(_message(fields, kind))
        match kind:
            case 4:
                return Name(*place, _text(value, 1))
            case 5:
                return Select(*place, self._child(value, 1), _text(value, 2))
            case 6:
                receiver = [self._child(value, 1)] if 1 in value else []
                return Call(*place, _text(value, 2), (*receiver, *self._children(value, 3)))
            case 7:
                return Literal(*place, self._children(value, 1))
            case 8:
                entries = [_fields(entry) for entry in value.get(2, ()) if isinstance(entry, bytes)]
                items = tuple(self._child(entry, part) for entry in entries for part in (3, 4) if part in entry)
                return Call(*place, CREATE, items) if 1 in value else Literal(*place, items)
            case 9:
                over, start, condition, step, result = (self._child(value, part) for part in (2, 4, 5, 6, 7))
                return Loop(*place, _text(value, 1), over, _text(value, 3), start, condition, step, result)
        text, data = _text(value, 6), _message(value, 7)
        return Constant(*place, len(text.encode()) + len(data), text if 6 in value else None)

    def _child(self, fields: Fields, number: int) -> Node:
        return self._node(_message(fields, number))

    def _children(self, fields: Fields, number: int) -> tuple[Node, ...]:
        return tuple(self._node(child) for child in fields.get(number, ()) if isinstance(child, bytes))


def _type(fields: Fields) -> str:
    if 6 in fields:
        return "list"
    if 7 in fields:
        return "map"
    name = _SCALARS.get(_int(fields, 3)) or _SCALARS.get(_int(fields, 4))
    if name in {"string", "bytes"}:
        return name
    # A well-known type is a timestamp or a duration, except for google.protobuf.Any.
    return "scalar" if name or 2 in fields or 11 in fields or _int(fields, 5) > 1 else "dyn"


def _fields(data: bytes) -> Fields:
    """Return the fields of a protobuf message by number."""
    found: Fields = {}
    for number, value in _wire(data):
        found.setdefault(number, []).append(value)
    return found


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: int | bytes
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
            case 2:
                length, position = _varint(data, position)
                value, position = data[position : position + length], position + length
            case wire_type:
                length = {_FIXED64: 8, _FIXED32: 4}[wire_type]
                value, position = data[position : position + length], position + length
        yield tag >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _message(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _text(fields: Fields, number: int) -> str:
    return _message(fields, number).decode()


def _int(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0
