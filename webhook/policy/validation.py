"""Validate a parsed document: return a model, or everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from webhook.policy.document import Path, PolicyDocument
from webhook.problem import Problem, did_you_mean

M = TypeVar("M", bound=BaseModel)

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}
_YAML_NAMES = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def validated(
    model: type[M],
    document: PolicyDocument,
    context: Mapping[str, Any] | None = None,
    *,
    opaque: frozenset[str] = frozenset(),
) -> tuple[M | None, tuple[Problem, ...]]:
    """Validate a document as a model.

    Args:
        model: The model of the document.
        document: The document; its own problems are part of the result.
        context: The context of the model's validators.
        opaque: Names of fields with objects of other APIs, in which a field without a value is not an error.

    Returns:
        The model, or None when there is any error; and all problems, in the order of their lines.
    """
    problems = list(document.problems)
    if document.value is None and not problems:
        problems.append(Problem("error", document.file, None, "", "the file is empty"))
    elif document.value is not None and not isinstance(document.value, dict):
        problems.append(Problem("error", document.file, 1, "", f"must be a mapping, not {_yaml_name(document.value)}"))
    result = None
    if isinstance(document.value, dict):
        empty = tuple(_without_value(document.value, (), opaque))
        problems += [document.problem(path, "has no value", "give it one, or remove the field") for path in empty]
        try:
            result = model.model_validate(document.value, context=dict(context or {}))
        except ValidationError as error:
            problems += _problems(model, document, error, frozenset(empty))
    failed = any(problem.severity == "error" for problem in problems)
    return None if failed else result, tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _without_value(value: Any, path: Path, opaque: frozenset[str]) -> Iterator[Path]:  # noqa: ANN401 - any YAML value
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in opaque:
                yield from _without_value(item, (*path, key), opaque)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _without_value(item, (*path, index), opaque)


def _problems(
    model: type[BaseModel], document: PolicyDocument, error: ValidationError, reported: AbstractSet[Path]
) -> list[Problem]:
    details = error.errors(include_url=False)
    places = [_path(document, detail) for detail in details]
    parents = {place[:length] for place in places for length in range(len(place))}
    problems = []
    for detail, path in zip(details, places, strict=True):
        # A list with invalid items is also reported as too short; the items' own errors are more precise.
        if path in reported or (detail["type"] == "too_short" and path in parents):
            continue
        message, hint = _explained(model, detail, path)
        problems.append(document.problem(path, message, hint))
    return problems


def _path(document: PolicyDocument, detail: ErrorDetails) -> Path:
    """Return the error's path in the document: Pydantic's own, without the names of union members in it."""
    path: list[str | int] = []
    value: Any = document.value
    for step in detail["loc"]:
        if step in (value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()):
            value = value[step]
        elif detail["type"] != "missing" or step != detail["loc"][-1]:
            continue
        path.append(step)
    return tuple(path)


def _explained(model: type[BaseModel], detail: ErrorDetails, path: Path) -> tuple[str, str | None]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "policy":
        return context["message"], context["hint"]
    if kind == "extra_forbidden":
        known = _fields(model, path[:-1])
        return "unknown field", did_you_mean(str(path[-1]), known) or f"valid values: {', '.join(known)}"
    if kind == "missing":
        return "is missing", None
    if kind in {"enum", "literal_error"}:
        choices = re.findall(r"'([^']*)'", context["expected"])
        allowed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
        return f"must be {allowed}, not {_shown(given)}", did_you_mean(str(given), choices) if len(
            choices
        ) > 1 else None
    if kind in _TYPES:
        quote = kind == "string_type" and isinstance(given, (bool, int, float))
        return f"must be {_TYPES[kind]}, not {_yaml_name(given)}", "put it in quotes" if quote else None
    if kind == "too_short":
        return "an empty list matches nothing", "remove the field, or list something"
    if kind in {"greater_than_equal", "less_than_equal"}:
        return "must be from 1 to 65535", None
    return detail["msg"].replace("Input should", "should"), None


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """Return the field names that are valid at a path, from the model's JSON Schema."""
    schema = found = _schema(model)
    for step in path:
        found = _resolved(found, schema)
        properties = found.get("properties", {})
        found = found.get("items") if isinstance(step, int) else properties.get(step, found.get("additionalProperties"))
        if found is None:
            return []
    return list(_resolved(found, schema).get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a JSON Schema
    return model.model_json_schema(by_alias=True)


def _resolved(part: Any, schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON Schema
    while True:
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        elif "anyOf" in part:
            part = next(choice for choice in part["anyOf"] if choice.get("type") != "null")
        else:
            return part


def _yaml_name(value: object) -> str:
    return "nothing" if value is None else _YAML_NAMES.get(type(value), type(value).__name__)


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) and len(value) <= 60 else _yaml_name(value)
