"""Parse untrusted YAML with libyaml, within limits. Everything but a user's own kubeconfig is parsed here.

Three things make a short text expensive: nesting (libyaml's composer recurses in C), aliases and merge keys (each of
which expands to many values), and directives (which libyaml compares pairwise). So the text is checked before it is
composed, and its node graph before `webhook.kubernetes.yaml_values` constructs values from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError

from webhook.kubernetes.yaml_values import NULL, AsKubectl, FastLoader, plain


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one text.

    Attributes:
        characters: Maximum length.
        levels: Maximum nesting, with aliases expanded.
        aliased: Maximum number of values that aliases and merge keys expand to; a long scalar counts as several, see
            `weight`.
    """

    characters: int
    levels: int
    aliased: int


ANNOTATION: Final = Limits(characters=8 << 10, levels=30, aliased=1_000)
"""For an annotation of a pod. It is parsed on the event loop, so that the worst case takes some milliseconds."""
CONFIGURATION: Final = Limits(characters=200_000, levels=100, aliased=10_000)
"""For a value of a ConfigMap or Secret. The parser holds the GIL throughout, also in a thread."""
POLICY: Final = Limits(characters=1 << 20, levels=64, aliased=100_000)
"""For a policy, or a file of tests."""
MANIFESTS: Final = Limits(characters=64 << 20, levels=100, aliased=100_000)
"""For a manifest file."""

_DIRECTIVES = 100


class LimitError(yaml.YAMLError):
    """The text exceeds a limit.

    Attributes:
        problem: The limit that is exceeded, as a phrase.
        line: The line, from 1; None if no single line exceeds it.
        hint: The suggested fix.
    """

    def __init__(self, problem: str, line: int | None, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.hint = hint


def load(text: str, limits: Limits) -> Any:  # noqa: ANN401 - a YAML value is of any type
    """Return the value of the only document of a text, with kubectl's types; None for an empty text.

    Args:
        text: YAML or JSON.
        limits: The limits on the text.

    Raises:
        yaml.YAMLError: It is not YAML, has more than one document, or exceeds a limit (`LimitError`).

    Example:
        load("proxy: {hold: true}", ANNOTATION) == {"proxy": {"hold": True}}
    """
    found = list(nodes(text, limits))
    if len(found) > 1:
        raise ConstructorError(None, None, "a second document", found[1].start_mark)
    return plain(found[0]) if found else None


def nodes(text: str, limits: Limits, loader: type[FastLoader] = AsKubectl) -> Iterator[yaml.Node]:
    """Yield the root node of each non-empty document of a text.

    Args:
        text: YAML or JSON.
        limits: The limits on the text.
        loader: How plain scalars are resolved: `AsKubectl` or `AsText`.

    Raises:
        yaml.YAMLError: It is not YAML, or exceeds a limit (`LimitError`).
    """
    check_text(text, limits)
    left = limits.aliased
    try:
        composer = loader(text)
    except UnicodeEncodeError:
        raise yaml.YAMLError("half of a surrogate pair") from None
    try:
        while composer.check_node():
            node: Any = composer.get_node()
            if "&" in text:
                left = _check_graph(node, limits, left)
            if node.tag != NULL:
                yield node
    finally:
        composer.dispose()


def check_text(text: str, limits: Limits) -> None:
    """Check the limits that can be checked without composing a text: length, directives and nesting.

    Args:
        text: YAML or JSON.
        limits: The limits on the text.

    Raises:
        yaml.YAMLError: It is not YAML, or exceeds a limit (`LimitError`).
    """
    if len(text) > limits.characters:
        size = f"{limits.characters >> 20} MiB" if limits.characters >= 1 << 20 else f"{limits.characters:,} characters"
        raise LimitError(f"larger than {size}", None, "split it")
    if len(_DIRECTIVE.findall(text)) > _DIRECTIVES:
        raise LimitError(f"more than {_DIRECTIVES} directives", None, "remove the lines that begin with %")
    if (shorthand := _TAG_DIRECTIVE.search(text)) is not None:
        # Each value would hold the prefix that the directive gives to its tag.
        raise LimitError("a %TAG directive", text.count("\n", 0, shorthand.end()) + 1, "write tags in full")
    if _most_levels(text) <= limits.levels:
        return
    depth = 0
    try:
        for event in yaml.parse(text, Loader=FastLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > limits.levels:
                    raise _too_deep(limits, event.start_mark)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except UnicodeEncodeError:
        raise yaml.YAMLError("half of a surrogate pair") from None


_MARK = "\ufeff"
_BREAK = r"(?:^|[\r\x85\u2028\u2029])"
# A parser skips byte order marks wherever a line begins.
_DIRECTIVE = re.compile(_BREAK + "\ufeff*%", re.MULTILINE)
_TAG_DIRECTIVE = re.compile(_BREAK + "\ufeff*%TAG", re.MULTILINE)
# The start of a line before its first key or value, in which each block collection begins at a column of its own.
_INDENT = re.compile(_BREAK + "[ ?:-]*", re.MULTILINE)


def _most_levels(text: str) -> int:
    """Return an upper bound on the nesting of a text, from its characters alone."""
    if _MARK in text:
        return len(text)  # after a byte order mark, columns are counted from the first one again
    # A pair in a flow sequence is a mapping without a brace, and a sequence may start in the column of its key.
    openers = text.count("[") + text.count("{")
    columns = max(map(len, _INDENT.findall(text))) + 1
    return 2 * (openers + columns)


def _too_deep(limits: Limits, mark: Any) -> LimitError:  # noqa: ANN401 - PyYAML's marks are untyped
    return LimitError(f"nested deeper than {limits.levels} levels", mark.line + 1, "reduce the nesting")


def _check_graph(root: yaml.Node, limits: Limits, left: int) -> int:
    """Check a document against the limits with its aliases expanded, without expanding them.

    Args:
        root: The document's root.
        limits: The limits on the text.
        left: How many values the text's aliases may still expand to.

    Returns:
        The same after this document.

    Raises:
        LimitError: They expand to more values, are recursive, or nest too deeply.
    """
    # For each node that is done: its number of values and of levels, expanded.
    done: dict[int, tuple[int, int]] = {}
    begun: set[int] = set()
    written = 0
    stack = [root]
    while stack:
        node = stack[-1]
        children = _children(node)
        if id(node) in done:
            stack.pop()
        elif id(node) not in begun:
            begun.add(id(node))
            written += _weight(node)
            for child in children:
                if id(child) in begun and id(child) not in done:
                    line = node.start_mark.line + 1
                    raise LimitError("an alias refers to a node that contains it", line, "expand it")
                stack.append(child)
        else:
            stack.pop()
            sizes = [done[id(child)] for child in children]
            values = _weight(node) + sum(size for size, _ in sizes)
            levels = bool(children) + max((deep for _, deep in sizes), default=0)
            if levels > limits.levels:
                raise _too_deep(limits, node.start_mark)
            if values - written > left:
                hint = "expand the aliases, or remove them"
                problem = f"its aliases expand to more than {limits.aliased:,} values"
                raise LimitError(problem, node.start_mark.line + 1, hint)
            done[id(node)] = values, levels
    return left - (done[id(root)][0] - written)


def _weight(node: yaml.Node) -> int:
    return weight(node.value) if isinstance(node, yaml.ScalarNode) else 1


def weight(text: str) -> int:
    """Return how many values a scalar counts as: copying a long one takes as long as copying several."""
    return 1 + len(text) // 100


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
