"""Parse YAML documents with kubectl's types, keeping line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from webhook.kubernetes.yaml import MANIFESTS, nodes
from webhook.kubernetes.yaml_values import plain


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One YAML document.

    Attributes:
        content: The document as plain Python values.
        node: Its node graph, with line numbers.
    """

    content: Any
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line on which it starts, from 1."""
        return int(self.node.start_mark.line) + 1

    def line_of(self, path: str) -> int:
        """Return the line, from 1, of the innermost existing field of a path.

        Args:
            path: For example "spec.ports[0].port".
        """
        node = self.node
        for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
            child = _child(node, key, index)
            if child is None:
                break
            node = child
        return int(node.start_mark.line) + 1


def _child(node: yaml.Node, key: str, index: str) -> yaml.Node | None:
    if key and isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    if index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
        found: yaml.Node = node.value[int(index)]
        return found
    return None


def documents(text: str) -> Iterator[YamlDocument]:
    """Yield every non-empty document of a YAML or JSON text, within the limits of `MANIFESTS`.

    Raises:
        yaml.YAMLError: The text is not YAML, or exceeds a limit (`LimitError`).
    """
    if text.lstrip()[:1] in {"{", "["}:
        text = _PAIR.sub(_as_yaml, text)
    for node in nodes(text, MANIFESTS):
        yield YamlDocument(_with_text_keys(plain(node)), node)


# JSON may escape a character beyond the BMP as a surrogate pair, of which YAML accepts neither half.
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def _as_yaml(pair: re.Match[str]) -> str:
    backslashes, high, low = pair.groups()
    return f"{backslashes}\\U{0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF):08x}"


def _with_text_keys(value: Any) -> Any:  # noqa: ANN401 - a YAML value is of any type
    """Return a value with all keys converted to strings, as by kubectl: `8080: x` becomes "8080": x."""
    if isinstance(value, dict):
        return {key if type(key) is str else _key(key): _with_text_keys(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(inside) for inside in value]
    return value


def _key(key: object) -> str:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return f"{key:g}" if isinstance(key, float) else str(key)
