"""One YAML document as plain values, with the line of every field.

JSON is YAML here. The text is read from parser events rather than by a constructor, because that alone gives the
place of each key and sees duplicate keys. Its limits are those of `webhook.kubernetes.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from webhook.kubernetes.yaml import POLICY, LimitError, check_text, weight
from webhook.kubernetes.yaml_values import AsKubectl, FastLoader, scalar
from webhook.problem import Problem

MAX_BYTES = POLICY.characters
_MAX_NODES = 100_000

Path = tuple[str | int, ...]


@dataclass(slots=True)
class _Node:
    """A value: a scalar, a list of nodes, or a dict of nodes.

    `size` counts the values that it contains, long scalars by their `weight`, and `levels` how deep they are nested,
    aliases expanded.
    """

    value: Any
    line: int
    size: int = 1
    levels: int = 0
    key_lines: dict[str, int] = field(default_factory=dict)

    def holds(self, child: _Node) -> None:
        """Count a value that this one contains."""
        self.size += child.size
        self.levels = max(self.levels, child.levels + 1)

    def plain(self) -> Any:  # noqa: ANN401 - a YAML value is of any type
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A parsed document.

    Attributes:
        file: The file as the user named it.
        value: The content as dicts, lists, strings, numbers, booleans and None.
        problems: Problems of the YAML itself, duplicate keys for example. With an error among them, `value` may
            be incomplete.
    """

    file: str
    value: Any
    problems: tuple[Problem, ...]
    _root: _Node

    def line(self, path: Path) -> int:
        """Return the line of a field, from 1: of its key, or of the list item; of the parent of an absent field."""
        node, line = self._root, self._root.line
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                line = node.key_lines[str(step)]
                node = node.value[step]
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.line
            else:
                break
        return line

    def problem(self, path: Path, message: str, hint: str | None = None, *, warning: bool = False) -> Problem:
        """Return a problem with one field of this document."""
        return Problem("warning" if warning else "error", self.file, self.line(path), written(path), message, hint)


def written(path: Path) -> str:
    """Return a path in the usual notation: ("spec", "rules", 2, "name") -> "spec.rules[2].name"."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def parse(file: str, content: bytes) -> PolicyDocument:
    """Parse one YAML or JSON document.

    Args:
        file: The name to use in problems.
        content: The file's bytes, UTF-8, at most 1 MiB.

    Returns:
        The document. Never raises, whatever `content` contains: errors are in `problems`.
    """
    if len(content) > MAX_BYTES:
        return _failed(
            Problem("error", file, None, "", f"larger than {MAX_BYTES >> 20} MiB", "split it into several files")
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _failed(Problem("error", file, line, "", "not UTF-8", "save the file as UTF-8"))
    reader = _Reader(file, text)
    try:
        check_text(text, POLICY)
        root = reader.document()
    except _StopReading as stop:
        return _failed(*reader.problems, stop.problem)
    except LimitError as error:
        return _failed(Problem("error", file, error.line, "", error.problem, error.hint))
    except yaml.YAMLError as error:
        return _failed(*reader.problems, _yaml_problem(file, text, error))
    return PolicyDocument(file, root.plain(), tuple(reader.problems), root)


class _StopReading(Exception):  # noqa: N818 - carries a finding, is not one
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _failed(*problems: Problem) -> PolicyDocument:
    return PolicyDocument(problems[0].file, None, problems, _Node(None, 1))


def _yaml_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        hint = "YAML does not allow tabs for indentation" if "cannot start any token" in (error.problem or "") else None
        return Problem("error", file, mark.line + 1 if mark else None, "", f"not valid YAML: {error.problem}", hint)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem("error", file, line, "", "not valid YAML: a control character", "remove it")
    return Problem("error", file, None, "", "not valid YAML")


class _Reader:
    """The builder of nodes from the parser's events."""

    def __init__(self, file: str, text: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._events: Iterator[Any] = yaml.parse(text, Loader=FastLoader)
        self._anchors: dict[str, _Node] = {}
        self._resolver: Any = _Resolver()

    def document(self) -> _Node:
        roots: list[_Node] = []
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                self._anchors.clear()
                roots.append(self._node(next(self._events), ()))
        filled = [root for root in roots if root.value is not None]
        if len(filled) > 1:
            self._report(filled[1].line, (), "a second document in the file", "give each document its own file")
        return filled[0] if filled else _Node(None, 1)

    def _report(self, line: int, path: Path, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem("error", self._file, line, written(path), message, hint))

    def _node(self, event: Any, path: Path) -> _Node:  # noqa: ANN401 - PyYAML's events are untyped
        line = event.start_mark.line + 1
        if isinstance(event, events.AliasEvent):
            node = self._alias(event.anchor, path, line)
        elif isinstance(event, events.MappingStartEvent):
            node = self._mapping(path, line)
        elif isinstance(event, events.SequenceStartEvent):
            node = self._sequence(path, line)
        else:
            node = _Node(self._scalar(event, path, line), line, weight(event.value))
        if node.levels > POLICY.levels:
            raise _StopReading(Problem("error", self._file, line, "", f"nested deeper than {POLICY.levels} levels"))
        if node.size > _MAX_NODES:
            raise _StopReading(
                Problem("error", self._file, line, "", f"more than {_MAX_NODES} values, aliases written out")
            )
        if event.anchor and not isinstance(event, events.AliasEvent):
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: Any, path: Path, line: int) -> _Node:  # noqa: ANN401 - as above
        if anchor in self._anchors:
            return self._anchors[anchor]
        self._report(line, path, f"alias *{anchor} has no anchor &{anchor} before it")
        return _Node(None, line)

    def _mapping(self, path: Path, line: int) -> _Node:
        node = _Node({}, line)
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            key_line = event.start_mark.line + 1
            key = event.value if isinstance(event, events.ScalarEvent) else None
            if key is None:
                self._node(event, path)
                self._report(key_line, path, "a key must be a string")
            child = self._node(next(self._events), (*path, key or "?"))
            node.holds(child)
            if key is None:
                continue
            if key in node.value:
                first = node.key_lines[key]
                self._report(key_line, (*path, key), f"duplicate key, first on line {first}", "remove one of the two")
                continue
            node.value[key] = child
            node.key_lines[key] = key_line
        return node

    def _sequence(self, path: Path, line: int) -> _Node:
        node = _Node([], line)
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            child = self._node(event, (*path, len(node.value)))
            node.value.append(child)
            node.holds(child)
        return node

    def _scalar(self, event: Any, path: Path, line: int) -> Any:  # noqa: ANN401 - as above
        tag = event.tag or self._resolver.resolve(ScalarNode, event.value, event.implicit)
        try:
            return event.value if tag in _TEXTS else scalar(tag, event.value)
        except ValueError as error:
            self._report(line, path, str(error))
        except LookupError as error:
            self._report(line, path, str(error.args[0]), "remove it")
        return None


class _Resolver(Resolver):
    """A resolver of plain scalars that follows kubectl's rules."""

    yaml_implicit_resolvers = AsKubectl.yaml_implicit_resolvers


_TEXTS = frozenset({f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "value")})
