"""A configuration file -> its settings, each with the path of keys that leads to it.

YAML and JSON are parsed as such. Everything else, and YAML that does not parse because it is still a template, is read
line by line (`keyvalue`). All of it takes time linear in the file's length, and keeps no more than a `Quota`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import yaml

from webhook.detection.commands import script
from webhook.detection.keyvalue import expression, items, pairs
from webhook.detection.lines import LONGEST, Line, Quota
from webhook.yamltext import CONFIGURATION, LimitError, nodes
from webhook.yamlvalues import AsText, plain

# A parser holds the interpreter for as long as it takes, also on a thread: for these some 30 ms at worst.
_MOST_YAML = 60_000
# Characters of one file's lines that hold YAML themselves: to parse one costs as much as to read a hundred lines.
_MOST_INLINE = 20_000
_SHORT_INLINE = 100
_DEEPEST = 30
_Collection = dict[object, object] | list[object]


def read_file(text: str, quota: Quota | None = None) -> tuple[Line, ...]:
    """Return the settings of a file of any format.

    Args:
        text: The whole file.
        quota: How much of it is read and kept; afterwards it says whether that was all.

    Returns:
        Its settings in order; lines that say nothing are left out.
    """
    quota = quota or Quota()
    if len(text) > LONGEST:
        quota.cut = True
        # A line is read whole or not at all.
        text = text[: text.rfind("\n", 0, LONGEST) + 1]
    if text.startswith("#!"):
        return quota.kept(script(text, quota))
    documents = _parsed(text, quota)
    lines = _structured(documents, quota) if documents is not None else _by_line((), text, quota)
    return quota.kept(lines)


def _parsed(text: str, quota: Quota) -> list[object] | None:
    """The documents of a YAML or JSON text, or None when it is something else."""
    if len(text) > CONFIGURATION.characters:
        return None
    if text.lstrip()[:1] in _JSON_OPENERS and (found := _json(text)) is not None:
        return found
    if len(text) > _MOST_YAML:
        return None
    try:
        documents = [plain(node) for node in nodes(text, CONFIGURATION, AsText)]
    except LimitError:
        quota.cut = True  # read line by line, its aliases say nothing
        return None
    except yaml.YAMLError:
        return None
    structured: list[object] = [document for document in documents if isinstance(document, dict | list)]
    return structured or None


_JSON_OPENERS = ("{", "[")
# Numbers stay as they were written, as in YAML.
_JSON = msgspec.json.Decoder(float_hook=str)


def _json(text: str) -> list[object] | None:
    """The document of a JSON text, which YAML takes many times as long for; None when it is not quite JSON."""
    try:
        return [_JSON.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _structured(documents: list[object], quota: Quota) -> Iterator[Line]:
    for document in documents:
        yield from _walk((), document, quota)


def _walk(path: tuple[str, ...], node: object, quota: Quota) -> Iterator[Line]:
    """Find every scalar below a node. The quota bounds documents whose aliases would unfold without end."""
    if not quota.spend(characters=len(node) if isinstance(node, str) else 0):
        return
    if not isinstance(node, dict | list):
        yield from _leaf(path, node, quota)
    elif len(path) >= _DEEPEST:
        quota.cut = True
    else:
        for inner, child in _children(path, node):
            yield from _walk(inner, child, quota)
            if quota.spent:
                return


def _children(path: tuple[str, ...], node: _Collection) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(node, list):
        for index, child in enumerate(node):
            # Settings of one element belong together, apart from those of the next.
            yield _indexed(path, index) if isinstance(child, dict) else path, child
        return
    named = node.get("name") or node.get("key")
    for key, child in node.items():
        yield (*path, named if key == "value" and isinstance(named, str) else str(key)), child


def _leaf(path: tuple[str, ...], node: object, quota: Quota) -> Iterator[Line]:
    if isinstance(node, str) and "\n" in node.strip():
        yield from _by_line(path, node, quota)
    elif node is None:
        yield quota.setting(path, "")
    elif isinstance(node, str | int | float):
        yield quota.setting(path, _scalar(node))


def _indexed(path: tuple[str, ...], index: int) -> tuple[str, ...]:
    return (*path[:-1], f"{path[-1]}[{index}]") if path else (f"[{index}]",)


def _scalar(node: str | float) -> str:
    """A YAML scalar as text; a template's read of the environment counts as what it reads."""
    if isinstance(node, str):
        return expression(node, plain=True)
    return str(node).lower() if isinstance(node, bool) else str(node)


def _by_line(path: tuple[str, ...], text: str, quota: Quota) -> Iterator[Line]:
    for pair in pairs(text, quota):
        inner = (*path, *pair.path)
        yield from _inline(inner, pair.text, quota) if pair.is_list else [quota.setting(inner, pair.text)]


def _inline(path: tuple[str, ...], text: str, quota: Quota) -> Iterator[Line]:
    """The settings of a list or mapping in one line."""
    documents = None
    if text[:1] in _JSON_OPENERS and (documents := _json(text)) is None and quota.inline < _MOST_INLINE:
        quota.inline += len(text) + _SHORT_INLINE
        documents = _parsed(text, quota)
    if documents:
        for line in _structured(documents, quota):
            yield Line((*path, *line.path), line.value)
        return
    for item in items(text):
        yield quota.setting(path, item)
