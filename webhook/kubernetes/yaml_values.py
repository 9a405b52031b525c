"""From the nodes of a YAML text to plain values: the scalars that JSON has, dicts and lists.

PyYAML's constructors know more types, some of which take quadratic time (sexagesimal numbers) or fail with all sorts of
exceptions, and share what aliases stand for. Here values are trees in which nothing is shared: whatever walks, compares
or writes them takes time linear in what `webhook.kubernetes.yaml` lets through, and recurses no deeper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.constructor import ConstructorError

if TYPE_CHECKING:
    FastLoader = yaml.SafeLoader
else:
    # libyaml is optional in PyYAML; without it the pure loader answers the same, slower.
    FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


NULL: Final = "tag:yaml.org,2002:null"


class AsKubectl(FastLoader):
    """Resolves the plain scalars of JSON: dates and sexagesimal numbers stay strings."""


_NUMBERS: Final = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
}
AsKubectl.yaml_implicit_resolvers = {
    first: [
        (tag, _NUMBERS.get(tag, pattern))
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class AsText(FastLoader):
    """Resolves booleans and null; numbers, dates and merge keys stay the strings that they were."""


AsText.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def plain(node: yaml.Node) -> Any:  # noqa: ANN401 - a YAML value is of any type
    """Return what a node holds, as plain values of which none is shared.

    The node is one of `webhook.kubernetes.yaml.nodes`, so it is no deeper than this can recurse.

    Raises:
        yaml.YAMLError: A scalar does not fit its tag, a key is no scalar, or a tag has no meaning in JSON.
    """
    tag = node.tag
    if type(node) is yaml.ScalarNode:
        if tag == _STRING:
            return node.value
        try:
            return scalar(tag, node.value)
        except (ValueError, LookupError) as error:
            raise ConstructorError(None, None, str(error.args[0]), node.start_mark) from None
    if type(node) is yaml.MappingNode and tag == _MAP:
        return _mapping(node)
    if type(node) is yaml.SequenceNode and tag == _LIST:
        return [plain(item) for item in node.value]
    raise ConstructorError(None, None, f"unsupported tag {tag}", node.start_mark)


def _mapping(node: yaml.MappingNode) -> dict[Hashable, Any]:
    merged: dict[Hashable, Any] = {}
    own: dict[Hashable, Any] = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            for source in reversed(value.value) if type(value) is yaml.SequenceNode else [value]:
                if type(source) is not yaml.MappingNode:
                    raise ConstructorError(None, None, "a merged value must be a mapping", source.start_mark)
                merged |= _mapping(source)
        elif type(key) is yaml.ScalarNode:
            own[plain(key)] = plain(value)
        else:
            raise ConstructorError(None, None, "a key must be a string", key.start_mark)
    return merged | own if merged else own


def scalar(tag: str, text: str) -> Any:  # noqa: ANN401 - a YAML value is of any type
    """Return the value of a scalar that carries a tag, given or resolved.

    Raises:
        ValueError: The text does not fit the tag.
        LookupError: The tag has no meaning in JSON.
    """
    made = _SCALARS.get(tag)
    if made is None:
        raise LookupError(f"unsupported tag {tag}")
    try:
        return made(text)
    except (ValueError, OverflowError):
        raise ValueError(f"not a valid {tag.removeprefix(_CORE)}") from None


def _integer(text: str) -> int | float:
    """Return an integer; one over 64 bits as a float, since JSON's readers take it so."""
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0b": 2, "0x": 16, "0o": 8}.get(digits[:2], 8 if digits.startswith("0") else 10)
    number = sign * int(digits, base)
    return number if number.bit_length() <= _WORD else float(number)


def _real(text: str) -> float:
    said = text.replace("_", "").lower()
    return float(said.replace(".inf", "inf").replace(".nan", "nan"))


def _truth(text: str) -> bool:
    said = text.lower()
    if said not in yaml.SafeLoader.bool_values:
        raise ValueError(said)
    return bool(yaml.SafeLoader.bool_values[said])


_WORD = 64
_CORE = "tag:yaml.org,2002:"
_STRING, _MAP, _LIST, _MERGE = (f"{_CORE}{name}" for name in ("str", "map", "seq", "merge"))
_SCALARS: Mapping[str, Callable[[str], object]] = {
    _STRING: str,
    NULL: lambda _: None,
    _MERGE: str,
    f"{_CORE}bool": _truth,
    f"{_CORE}int": _integer,
    f"{_CORE}float": _real,
}
