"""An upper bound on the cost of a CEL expression, as a function of the pod's size: Kubernetes' estimated cost.

One unit of cost is some 50 ns. Kubernetes assumes a maximum for each list and text and multiplies; here the sizes
stay variables, so that the same bound is checked at load for `TYPICAL` and before each evaluation for the actual pod.
Loops over lists inside of each other's elements (`containers`, then `env` of each) cost no more than the document is
large; loops over unrelated lists multiply.

Source for the factors: cel-go, checker/cost.go, adjusted to measurements of the C++ implementation. Differences: it
compiles a regular expression at each call, and copies the list that `map` and `filter` build at each iteration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from webhook.policy.cel_bound import NOTHING, ONE, Bound, total
from webhook.policy.cel_tree import Call, Constant, Literal, Loop, Name, Node, Select

LIMIT = 1_000_000
"""The largest cost of one evaluation: some 50 ms."""

TYPICAL: Mapping[str, float] = {"elements": 100, "values": 1_000, "bytes": 16_384, "longest": 1_024, "widest": 50}
"""The pod for which the limit must hold at load: how many list elements, values and bytes of text it has in all, the
bytes of its longest text, and the entries of its largest map."""

_COPY = 0.1
_COMPARE = 0.01
_SEARCH = 0.001
_COUNT = 0.02
_CONVERTED = 64
_APPEND = 0.5
_REPEATED = re.compile(r"\{(\d*),?(\d*)\}")
_MAX_REPEAT = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds on a value: its total content, its longest text, and its largest map."""

    elements: Bound = NOTHING
    values: Bound = ONE
    bytes: Bound = NOTHING
    longest: Bound = NOTHING
    widest: Bound = NOTHING

    def __add__(self, other: Size) -> Size:
        return Size(
            self.elements + other.elements,
            self.values + other.values,
            self.bytes + other.bytes,
            self.longest | other.longest,
            self.widest | other.widest,
        )

    def __or__(self, other: Size) -> Size:
        return Size(
            self.elements | other.elements,
            self.values | other.values,
            self.bytes | other.bytes,
            self.longest | other.longest,
            self.widest | other.widest,
        )


_SCALAR = Size()
_POD = Size(*(Bound.of(name) for name in ("elements", "values", "bytes", "longest", "widest")))
_NO_VALUE = Size(values=NOTHING)

Scope = Mapping[str, Size]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The largest cost of an expression.

    Attributes:
        cost: In the variables of `TYPICAL`.
        variables: The names that it reads and does not bind itself.
        deepest: The offset of the innermost of the most deeply nested loops; None without a loop.
    """

    cost: Bound
    variables: frozenset[str]
    deepest: int | None


def estimate(root: Node) -> Estimate:
    """Estimate the cost of a checked expression whose variables are all parts of one document."""
    estimator = _Estimator()
    _, cost = estimator.visit(root, {})
    return Estimate(cost, frozenset(estimator.free), estimator.deepest)


class _Estimator:
    def __init__(self) -> None:
        self.free: set[str] = set()
        self.deepest: int | None = None
        self._depth = self._deepest_depth = self._loops = 0

    def visit(self, node: Node, scope: Scope) -> tuple[Size, Bound]:
        """Return the size of the value, and the cost of computing it."""
        match node:
            case Constant():
                text = Bound.of(times=node.size)
                return Size(bytes=text, longest=text), ONE
            case Name():
                return self._name(node, scope), ONE
            case Select():
                size, cost = self.visit(node.operand, scope)
                return _part(size, node), cost + ONE
            case Literal():
                found = [self.visit(item, scope) for item in node.items]
                own = Bound.of(times=len(found))
                size = sum((size for size, _ in found), Size(elements=own, widest=own))
                return size, total(cost for _, cost in found) + Bound.of(times=1 + len(found))
            case Loop():
                return self._loop(node, scope)
            case Call():
                found = [self.visit(argument, scope) for argument in node.arguments]
                sizes = [size for size, _ in found]
                size, cost = _call(node, sizes)
                return size, total(cost for _, cost in found) + cost + ONE
        raise AssertionError(node)

    def _name(self, node: Name, scope: Scope) -> Size:
        if node.name in scope:
            return _part(scope[node.name], node)
        self.free.add(node.name)
        return _part(_POD, node)

    def _loop(self, node: Loop, scope: Scope) -> tuple[Size, Bound]:
        over, cost_of_list = self.visit(node.over, scope)
        start, cost_of_start = self.visit(node.start, scope)
        self._loops += 1
        self._depth += 1
        if self._depth > self._deepest_depth:
            self._deepest_depth, self.deepest = self._depth, node.offset
        names = tuple(f"{name}#{self._loops}" for name in ("elements", "values", "bytes"))
        parts = dict(zip(names, (over.elements, over.values, over.bytes), strict=True))
        element = Size(Bound.of(names[0]), Bound.of(names[1]), Bound.of(names[2]), over.longest, over.widest)
        count = {"list": over.elements, "map": over.widest}.get(node.over.type, over.elements + over.widest)
        inner = {**scope, node.variable: element, node.accumulator: _NO_VALUE}
        added, cost_of_step = self.visit(node.step, inner)
        _, cost_of_condition = self.visit(node.condition, inner)
        self._depth -= 1
        elements, values, text = (bound.summed(parts, count) for bound in (added.elements, added.values, added.bytes))
        longest, widest = (bound.summed(parts, ONE) for bound in (added.longest, added.widest))
        result = start + Size(elements, values, text, longest, widest)
        cost = cost_of_list + cost_of_start + (cost_of_step + cost_of_condition).summed(parts, count)
        if node.start.type == "list":
            cost += count * count * _APPEND
        final, cost_of_result = self.visit(node.result, {**scope, node.accumulator: result})
        return final, cost + cost_of_result


def _part(whole: Size, node: Node) -> Size:
    """Return the size of a value within another one, by its type."""
    match node.type:
        case "scalar":
            return _SCALAR
        case "string" | "bytes":
            return Size(bytes=_smaller(whole.bytes, whole.longest), longest=whole.longest)
    return whole


def _smaller(one: Bound, other: Bound) -> Bound:
    """Return the one of two bounds that is smaller for a typical pod."""
    return min(one, other, key=_typical)


def _typical(bound: Bound) -> float:
    names = {name for names in bound.terms for name in names}
    sizes = {name: TYPICAL[name.partition("#")[0]] for name in names}
    # One element has a small part of what the list has.
    return bound.at({name: size / TYPICAL["elements"] if "#" in name else size for name, size in sizes.items()})


def _call(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    """Return the size of the result, and the cost of the call besides its arguments and one unit."""
    special = _SPECIAL.get(node.function)
    if special is not None:
        return special(node, sizes)
    text = total(size.bytes for size in sizes)
    if node.type in {"string", "bytes", "dyn"}:
        text_out = text + Bound.of(times=_CONVERTED)
        return Size(bytes=text_out, longest=text_out), text * _COPY
    return _SCALAR, text * _COPY


def _same(_node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    return sizes[0], NOTHING


def _choice(_node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    return sizes[1] | sizes[2], NOTHING


def _fixed(_node: Call, _sizes: list[Size]) -> tuple[Size, Bound]:
    return _SCALAR, NOTHING


def _index(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    return _part(sizes[0], node), sizes[1].bytes * _COMPARE


def _equal(_node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    return _SCALAR, _smaller(*(size.values + size.bytes * _COMPARE for size in sizes))


def _in(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    found = NOTHING if node.arguments[1].type == "map" else sizes[1].values + sizes[1].bytes * _COMPARE
    return _SCALAR, sizes[0].bytes * _COMPARE + found


def _add(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    both = sizes[0] + sizes[1]
    if node.type == "scalar":
        return _SCALAR, NOTHING
    longest = both.bytes if node.type in {"string", "bytes"} else both.longest
    if node.type == "dyn":
        longest = sizes[0].longest + sizes[1].longest
    return Size(both.elements, both.values, both.bytes, longest, both.widest), both.bytes * _COPY + both.values


def _size(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    fixed = node.arguments[0].type in {"list", "map", "bytes"}
    return _SCALAR, NOTHING if fixed else _smaller(sizes[0].bytes, sizes[0].longest) * _COUNT


def _contains(_node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    text, wanted = sizes
    return _SCALAR, text.bytes * _COMPARE + text.bytes * wanted.longest * _SEARCH


def _matches(node: Call, sizes: list[Size]) -> tuple[Size, Bound]:
    pattern = node.arguments[1]
    written = pattern.text or "" if isinstance(pattern, Constant) else ""
    steps = len(written) * repeats(written)
    compiling = steps * (800 if re.search(r"\\[pP]", written) else 60)
    return _SCALAR, sizes[0].bytes * (0.1 + steps * 0.005) + Bound.of(times=compiling)


def repeats(pattern: str) -> int:
    """Return how often the counted repetitions of a regular expression, nested in each other, repeat its parts."""
    counts = (max(int(high or 0), int(low or 0)) for low, high in _REPEATED.findall(pattern))
    return min(_MAX_REPEAT, prod(max(1, count) for count in counts))


_Rule = Callable[[Call, list[Size]], tuple[Size, Bound]]
_SPECIAL: dict[str, _Rule] = {
    **dict.fromkeys(("_&&_", "_||_", "!_", "@not_strictly_false", "type"), _fixed),
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _equal),
    "dyn": _same,
    "_?_:_": _choice,
    "_[_]": _index,
    "@in": _in,
    "_+_": _add,
    "size": _size,
    "contains": _contains,
    "matches": _matches,
}
