"""YAML documents with the lines they stand on, read as kubectl reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from webhook.yamltext import FastLoader, bounded


class _Loader(FastLoader):
    """Safe YAML with the plain scalars of JSON: dates and sexagesimal numbers stay strings."""


_SEXAGESIMAL_FREE = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)$")
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _SEXAGESIMAL_FREE if tag == "tag:yaml.org,2002:int" else pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# What JSON cannot say has no place in a manifest, even where a tag asks for it.
_NOT_JSON = {f"tag:yaml.org,2002:{name}" for name in ("binary", "timestamp", "set", "omap", "pairs")}
_Loader.yaml_constructors = {
    tag: constructor for tag, constructor in FastLoader.yaml_constructors.items() if tag not in _NOT_JSON
}


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document.

    Attributes:
        content: The document as plain Python values.
        node: Its parse tree, which knows the lines.
    """

    content: Any
    node: yaml.Node

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return int(self.node.start_mark.line) + 1

    def line_of(self, path: str) -> int:
        """The line of the innermost field of a path ("spec.ports[0].port") that the document has."""
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


def documents(text: str) -> Iterator[Document]:
    """Every document of a YAML or JSON text that is not empty.

    Raises:
        yaml.YAMLError: The text is not YAML.
        ValueError: A scalar does not fit the tag that it carries.
        RecursionError: The text is nested too deeply.
    """
    loader = _Loader(bounded(text))
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and (content := loader.construct_document(node)) is not None:
                yield Document(content, node)
    finally:
        loader.dispose()
