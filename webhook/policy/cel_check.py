"""Whether a CEL expression can be used: its syntax, its types, the functions it calls, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel

from webhook.policy.cel import NAMESPACE, OUTLINE, VARIABLES, CelError
from webhook.policy.cel_cost import LIMIT, TYPICAL, Estimate, estimate
from webhook.policy.cel_tree import CREATE, Call, Constant, Name, Node, Select, descendants, tree
from webhook.policy.cel_types import OWN_TYPES, PACKAGE, UnknownField, descriptors, known_types
from webhook.problem import did_you_mean

_OPERATORS = {
    "_&&_": "&&",
    "_||_": "||",
    "!_": "!",
    "-_": "-",
    "_==_": "==",
    "_!=_": "!=",
    "_<_": "<",
    "_<=_": "<=",
    "_>_": ">",
    "_>=_": ">=",
    "_+_": "+",
    "_-_": "-",
    "_*_": "*",
    "_/_": "/",
    "_%_": "%",
    "_?_:_": "? :",
    "_[_]": "[]",
    "@in": "in",
    "@not_strictly_false": "&&",
}
_WITH_TIME_ZONE = frozenset(
    {
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
        *("getHours", "getMilliseconds", "getMinutes", "getSeconds"),
    }
)
_FUNCTIONS = _WITH_TIME_ZONE | {
    *("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"),
    *("contains", "endsWith", "matches", "size", "startsWith"),
}
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "has", "map"})
# A fixed offset, or a name of the IANA, all of which begin with an upper-case letter: what systems add to their files
# (localtime, posix/, right/, posixrules) does not, and means another zone on each of them, or the same one again.
_TIME_ZONE = re.compile(r"[+-]?(?:[01]\d|2[0-3]):[0-5]\d|[A-Z][\w+-]*(/[A-Za-z][\w+-]*)*", re.ASCII)
_INDEX = re.compile(r"""(?<=[\w\])])\[\s*(?P<quote>["'])(?P<field>[A-Za-z_]\w*)(?P=quote)\s*\]""", re.ASCII)
_ERROR = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<what>[^\n]*)")
_MAX_UNKNOWN = 8
_MAX_SHOWN = 63
_TOO_DEEP = re.compile(r"recursion", re.IGNORECASE)
# An object is a map when an expression is evaluated, so it may be used as one; then its fields are not checked.
_AS_MAP = re.compile(
    rf"overload for '(size|@in|_\[_\])' applied to '\([^)]*{PACKAGE}\.|type '{PACKAGE}\.\w+' cannot be the range of"
)


@cache
def environment() -> cel.Env:
    """Return the environment for evaluation, in which the pod is an untyped map."""
    text, anything = cel.Type.STRING, cel.Type.DYN
    return _environment(cel.Type.Map(text, anything), cel.Type.Map(text, anything), cel.Type.Map(text, text))


@lru_cache(maxsize=16)
def _typed(unknown: frozenset[UnknownField]) -> cel.Env:
    pod, namespace, owner = (cel.Type(f"{PACKAGE}.{name}") for name in ("Pod", "Namespace", "Owner"))
    return _environment(pod, namespace, owner, descriptors(unknown))


def _environment(pod: cel.Type, namespace: cel.Type, owner: cel.Type, *pool: Any) -> cel.Env:  # noqa: ANN401 - untyped
    kinds = cel.Type.List(cel.Type.STRING)
    variables = {"pod": pod, NAMESPACE: namespace, "owner": owner, "dependencies": kinds, "serves": kinds}
    return cel.NewEnv(*pool, variables=variables)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of the check of a valid expression.

    Attributes:
        estimate: Its variables and its cost.
        unknown: Fields that it names and that Kubernetes did not have when this version was released.
        by_outline: Whether it reads no more of the pod than `OUTLINE`.
    """

    estimate: Estimate
    unknown: tuple[UnknownField, ...]
    by_outline: bool


def check(source: str) -> Checked:
    """Check an expression.

    Args:
        source: The expression, with `NAMESPACE` for `namespace`.

    Raises:
        CelError: The expression is not CEL, its types do not fit, it is not a condition, or it costs too much.
    """
    try:
        source.encode()
    except UnicodeEncodeError as error:
        # YAML can contain half of a surrogate pair, which is not a character.
        where = _at(error.start, source)
        raise CelError(
            f"half of a surrogate pair {where}", "write the whole character, for example '\\U0001F600'"
        ) from None
    checked, unknown = _compiled_typed(source)
    if checked.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        name = _shown(checked.return_type().name().lower())
        raise CelError(f"the result is of type {name}, not bool", "write a condition, for example: owner.kind == 'Job'")
    root = tree(checked.serialize())
    estimated = estimate(root)
    if (cost := estimated.cost.at(TYPICAL)) > LIMIT:
        where = "" if estimated.deepest is None else f"; its innermost loop is {_at(estimated.deepest, source)}"
        raise CelError(
            f"the estimated cost is {cost:,.0f}, more than {LIMIT:,}{where}",
            "nest fewer loops, build no long strings or lists, or split it into several rules",
        )
    # Patterns are compiled here, so their cost is checked first.
    for node in descendants(root):
        if isinstance(node, Call):
            _check_call(node, source)
    return Checked(estimated, unknown, _reads_outline_only(root))


def _reads_outline_only(root: Node) -> bool:
    """Return whether each mention of the pod selects a field of its metadata that an outline has."""
    mentions = allowed = 0
    for node in descendants(root):
        match node:
            case Name(name="pod"):
                mentions += 1
            case Select(operand=Select(operand=Name(name="pod"), field="metadata"), field=field) if field in OUTLINE:
                allowed += 1
    return mentions == allowed


def _compiled_typed(source: str) -> tuple[cel.Expression, tuple[UnknownField, ...]]:
    unknown: list[UnknownField] = []
    while True:
        try:
            return _typed(frozenset(unknown)).compile(source), tuple(unknown)
        except RuntimeError as error:
            if _AS_MAP.search(str(error)):
                _check_indexes(source, unknown)
                return compiled(source), tuple(unknown)
            found = _UNDEFINED_FIELD.search(str(error))
            if found is None or _resembling(found) or len(unknown) == _MAX_UNKNOWN:
                raise _rejected(str(error), source) from None
            unknown.append((found["type"], found["field"]))


def _check_indexes(source: str, unknown: list[UnknownField]) -> None:
    """Check the fields of an expression that uses an object as a map: `pod['spec']` is a way to write `pod.spec`."""
    as_fields = _INDEX.sub(lambda index: f".{index['field']}".ljust(len(index[0])), source)
    try:
        _typed(frozenset(unknown)).compile(as_fields)
    except RuntimeError as error:
        for problem in _ERROR.finditer(str(error)):
            found = _UNDEFINED_FIELD.match(problem["what"])
            if found is not None and _resembling(found):
                raise _rejected(problem[0], source) from None


def _resembling(found: re.Match[str]) -> str | None:
    """Return the hint for a field that is probably misspelt; None for one that may be of a newer Kubernetes."""
    fields = known_types()[found["type"]]
    hint = did_you_mean(found["field"], fields)
    return hint or (f"valid values: {', '.join(fields)}" if found["type"] in OWN_TYPES else None)


def compiled(source: str) -> cel.Expression:
    """Compile an expression for evaluation.

    Raises:
        CelError: It is not CEL, or does not fit the types.
    """
    try:
        return environment().compile(source)
    except RuntimeError as error:
        raise _rejected(str(error), source) from None


def _check_call(call: Call, source: str) -> None:
    if call.function == CREATE:
        raise CelError(f"messages cannot be created {_at(call.offset, source)}", "compare the fields one by one")
    if call.function not in _FUNCTIONS and call.function not in _OPERATORS:
        raise _unknown_function(call.function)
    if call.function == "matches":
        pattern = _text_of(call.arguments[1], "the pattern of matches()", source)
        fault = _fault_of("''.matches(serves[0])", pattern)
        if fault is not None:
            what = fault.rpartition("regular expression: ")[2] or "too large"
            raise CelError(f"invalid regular expression {_at(call.arguments[1].offset, source)}: {what}")
    if call.function in _WITH_TIME_ZONE and len(call.arguments) > 1:
        zone = _text_of(call.arguments[1], "a time zone", source)
        if not _TIME_ZONE.fullmatch(zone) or _fault_of("timestamp(0).getHours(serves[0]) == 0", zone) is not None:
            raise CelError(
                f"unknown time zone '{zone[:_MAX_SHOWN]}' {_at(call.arguments[1].offset, source)}",
                "write 'UTC', a name such as 'Europe/Berlin', or an offset such as '+01:00'",
            )


def _text_of(node: Node, what: str, source: str) -> str:
    """Return the text of a literal argument: what reads files or is slow to compile must not come from a pod."""
    if not isinstance(node, Constant) or node.text is None:
        raise CelError(f"{what} must be a string literal {_at(node.offset, source)}", "write it in quotes")
    return node.text


def _fault_of(probe: str, text: str) -> str | None:
    result = environment().compile(probe).eval(data={"serves": [text]})
    return str(result.value()) if result.type() == cel.Type.ERROR else None


def _rejected(text: str, source: str) -> CelError:
    """Return the library's message as an error for the policy's author."""
    found = _ERROR.search(text)
    if not found:
        return CelError("nested too deeply" if _TOO_DEEP.search(text) else "not valid CEL", _hint_of_depth(text))
    where, what = f"at line {found['line']}, column {found['column']}", found["what"]
    for pattern, explained in _EXPLAINED:
        if match := re.match(pattern, what):
            return explained(match, where, source)
    what = re.sub(r" expecting \{.*", "", what.removeprefix("Syntax error: ")).replace("<EOF>", "the end")
    return CelError(f"not valid CEL {where}: {what.replace(NAMESPACE, 'namespace')[: 2 * _MAX_SHOWN]}")


def _hint_of_depth(text: str) -> str | None:
    return "32 levels are the limit; split it into several rules" if _TOO_DEEP.search(text) else None


def _undeclared(found: re.Match[str], _where: str, source: str) -> CelError:
    name = found[1].partition(".")[0][:_MAX_SHOWN]
    if re.search(rf"\b{re.escape(name)}\s*\(", source):
        return _unknown_function(name)
    hint = did_you_mean(name, VARIABLES) or f"valid values: {', '.join(sorted(VARIABLES))}"
    return CelError(f"unknown variable '{name}'", hint)


def _unknown_function(name: str) -> CelError:
    known = _FUNCTIONS | _MACROS
    return CelError(
        f"unknown function '{name}'", did_you_mean(name, known) or f"valid values: {', '.join(sorted(known))}"
    )


def _undefined_field(found: re.Match[str], where: str, _source: str) -> CelError:
    return CelError(f"unknown field '{found['field']}' of {found['type']} {where}", _resembling(found))


def _no_overload(found: re.Match[str], where: str, _source: str) -> CelError:
    name = _OPERATORS.get(found[1], found[1])
    return CelError(f"'{name}' does not take {_shown(found[2])} {where}", "compare values of one type, or convert one")


def _no_fields(found: re.Match[str], where: str, _source: str) -> CelError:
    return CelError(f"a value of type {_shown(found[1])} has no fields {where}", "use the value itself")


def _no_range(found: re.Match[str], where: str, _source: str) -> CelError:
    return CelError(f"a value of type {_shown(found[1])} has no elements {where}", "loop over a list or map")


_UNDEFINED_FIELD = re.compile(rf"undefined field '(?P<field>[^']*)' not found in struct '{PACKAGE}\.(?P<type>[^']*)'")
_EXPLAINED: tuple[tuple[str | re.Pattern[str], Callable[[re.Match[str], str, str], CelError]], ...] = (
    (r"undeclared reference to '([^']*)'", _undeclared),
    (_UNDEFINED_FIELD, _undefined_field),
    (r"found no matching overload for '([^']*)' applied to '([^']*)'", _no_overload),
    (r"expression of type '([^']*)' cannot be the operand of a select", _no_fields),
    (r"expression of type '([^']*)' cannot be the range of a comprehension", _no_range),
)


def _shown(type_: str) -> str:
    return type_.replace(f"{PACKAGE}.", "").replace("google.protobuf.Value", "dyn").replace("google.protobuf.", "")


def _at(offset: int, source: str) -> str:
    line = source.count("\n", 0, offset) + 1
    return f"at line {line}, column {offset - source.rfind(chr(10), 0, offset)}"
