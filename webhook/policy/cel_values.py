"""Measure the values that CEL expressions read, and check that CEL can represent them."""

from __future__ import annotations

from typing import Any

MAX_VALUES = 50_000
"""Values in all variables together; converting as many takes some 20 ms."""
MAX_BYTES = 1 << 20
"""Bytes of text in all variables together."""
MAX_DEPTH = 64
"""Levels of nesting: the library converts values recursively, on the stack."""

_INT64 = 1 << 63


class OversizedError(ValueError):
    """The values exceed a limit in number, size or nesting."""


def measured(value: Any) -> dict[str, int]:  # noqa: ANN401 - any JSON value
    """Return the sizes of a value, by the names of `webhook.policy.cel_cost.TYPICAL`.

    Raises:
        OversizedError: A limit of this module is exceeded.
        TypeError: Something in it is of a type that CEL does not have.
    """
    elements = values = size = longest = widest = depth = 0
    level: list[Any] = [value]
    while level:
        values += len(level)
        depth += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            raise OversizedError
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                length = len(item) if item.isascii() else len(item.encode())
                size += length
                longest = max(longest, length)
            elif kind is dict:
                widest = max(widest, len(item))
                below += item.values()
                below += item  # keys are texts, too
            elif kind is list:
                elements += len(item)
                below += item
            elif item is not None:
                _check_scalar(item, kind)
        if size > MAX_BYTES:
            raise OversizedError
        level = below
    return {"elements": elements, "values": values, "bytes": size, "longest": longest, "widest": widest}


def _check_scalar(item: Any, kind: type) -> None:  # noqa: ANN401 - any JSON value
    if kind is int and not -_INT64 <= item < _INT64:
        raise TypeError
    if kind not in {int, bool, float}:
        raise TypeError
