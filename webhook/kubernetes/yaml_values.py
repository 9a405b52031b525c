"""Construct plain values from YAML nodes: JSON's scalars, dicts and lists.

PyYAML's constructors support more types, some of which take quadratic time (sexagesimal numbers) or raise arbitrary
exceptions, and share the values of aliases. Here values are trees in which nothing is shared: traversing, comparing or
encoding them takes time linear in what `webhook.kubernetes.yaml` accepts, and recurses no deeper.
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
    # libyaml is optional in PyYAML; without it the pure-Python loader gives the same results, slower.
    FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


NULL: Final = "tag:yaml.org,2002:null"


class AsKubectl(FastLoader):
    """A loader that resolves JSON's plain scalars: dates and sexagesimal numbers stay strings."""


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
    """A loader that resolves booleans and null only: numbers, dates and merge keys stay strings."""


AsText.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def plain(node: yaml.Node) -> Any:  # noqa: ANN401 - a YAML value is of any type
    """Construct the value of a node, without sharing any part of it.

    Args:
        node: A node from `webhook.kubernetes.yaml.nodes`, which limits the depth of this recursion.

    Raises:
        yaml.YAMLError: A scalar is not valid for its tag, a key is not a scalar, or a tag has no JSON equivalent.
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
    """Construct a scalar of an explicit or resolved tag.

    Args:
        tag: For example "tag:yaml.org,2002:int".
        text: The scalar's text.

    Raises:
        ValueError: The text is not valid for the tag.
        LookupError: The tag has no JSON equivalent.
    """
    made = _SCALARS.get(tag)
    if made is None:
        raise LookupError(f"unsupported tag {tag}")
    try:
        return made(text)
    except (ValueError, OverflowError):
        raise ValueError(f"not a valid {tag.removeprefix(_CORE)}") from None


def _integer(text: str) -> int | float:
    """Return an integer; one of more than 64 bits as a float, as JSON decoders do."""
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0b": 2, "0x": 16, "0o": 8}.get(digits[:2], 8 if digits.startswith("0") else 10)
    number = sign * int(digits, base)
    return number if number.bit_length() <= _WORD else float(number)


def _real(text: str) -> float:
    lowered = text.replace("_", "").lower()
    return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))


def _truth(text: str) -> bool:
    lowered = text.lower()
    if lowered not in yaml.SafeLoader.bool_values:
        raise ValueError(lowered)
    return bool(yaml.SafeLoader.bool_values[lowered])


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
