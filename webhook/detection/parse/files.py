"""Parse a configuration file into its settings, each with the path of keys that leads to it.

YAML and JSON are parsed as such. Everything else, and YAML that does not parse because it is still a template, is read
line by line (`keyvalue`). All of it takes time linear in the file's length, and stores no more than a `Quota`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import yaml

from webhook.core.values import Line
from webhook.detection.parse.commands import script
from webhook.detection.parse.keyvalue import expression, items, pairs
from webhook.detection.parse.lines import LONGEST, Quota, as_key
from webhook.detection.parse.passwords import Reader
from webhook.detection.parse.shellwords import Word
from webhook.detection.parse.values import begins_value
from webhook.detection.words import Role, holds_credential, key_words, names_credential, role
from webhook.kubernetes.yaml import CONFIGURATION, LimitError, nodes
from webhook.kubernetes.yaml_values import AsText, plain

# A parser holds the interpreter lock for as long as it runs, also on a thread: these hold it up to 40 ms.
_MOST_PARSED = 150_000
_MOST_YAML = 35_000
# Characters of one file's lines that contain YAML themselves: parsing one costs as much as reading a hundred lines.
_MOST_INLINE = 20_000
_SHORT_INLINE = 100
_DEEPEST = 30
_TABLE = re.compile(r"""\{\s{0,9}["']?[\w.-]{1,200}["']?\s{0,9}=""")
# A setting whose name is a value of its own, in the cases of JSON's and .NET's libraries.
_NAMING = ("name", "key", "Name", "Key", "NAME", "KEY")
_NAMED = frozenset({"value", "Value", "VALUE"})
_Collection = dict[object, object] | list[object]


def read_file(text: str, quota: Quota | None = None) -> tuple[Line, ...]:
    """Return the settings of a file of any format.

    Args:
        text: The whole file.
        quota: How much of it is parsed and stored; afterwards `cut` is set if that was not all.

    Returns:
        Its settings in order; lines without content are omitted.
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
    """Return the documents of a YAML or JSON text, or None when it is something else."""
    if len(text) > _MOST_PARSED:
        return None
    if text.lstrip()[:1] in _JSON_OPENERS and (found := _json(text)) is not None:
        return found
    if len(text) > _MOST_YAML:
        return None
    try:
        documents = [plain(node) for node in nodes(text, CONFIGURATION, AsText)]
    except LimitError:
        quota.cut = True  # read line by line, its aliases have no content
        return None
    except yaml.YAMLError:
        return None
    structured: list[object] = [document for document in documents if isinstance(document, dict | list)]
    return structured or None


_JSON_OPENERS = ("{", "[")
# Numbers stay as they were written, as in YAML.
_JSON = msgspec.json.Decoder(float_hook=str)


def _json(text: str) -> list[object] | None:
    """Parse a JSON text, which a YAML parser takes many times as long for; return None when it is not quite JSON."""
    try:
        return [_JSON.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _structured(documents: list[object], quota: Quota) -> Iterator[Line]:
    """Yield every scalar. The quota bounds documents whose aliases would expand without end."""
    nodes: list[tuple[tuple[str, ...], object]] = [((), document) for document in reversed(documents)]
    while nodes:
        path, node = nodes.pop()
        if isinstance(node, dict | list):
            if not quota.spend(1 + len(node)):
                return
            if len(path) < _DEEPEST:
                nodes += reversed(_children(path, node))
            else:
                quota.cut = True
        elif isinstance(node, str) and "\n" in node and "\n" in node.strip() and not begins_value(node):
            if not quota.spend(characters=len(node)):
                return
            if not holds_credential(path):
                yield from _by_line(path, node, quota)
        else:
            yield quota.setting(path, _scalar(node))


def _children(path: tuple[str, ...], node: _Collection) -> list[tuple[tuple[str, ...], object]]:
    if isinstance(node, list):
        if any(isinstance(child, str) and child.startswith("-") for child in node):
            reader = Reader()
            node = [reader.read(Word(child)) if isinstance(child, str) else child for child in node]
        # Settings of one element belong together, apart from those of the next.
        return [(_indexed(path, index) if isinstance(child, dict) else path, child) for index, child in enumerate(node)]
    named = next((node[key] for key in _NAMING if node.get(key)), None)
    name = as_key(named) if isinstance(named, str) else "value"
    is_secret = names_credential(name)
    return [((*path, name if _is_named(key, is_secret) else as_key(str(key))), child) for key, child in node.items()]


def _is_named(key: object, is_secret: bool) -> bool:  # noqa: FBT001
    """Return whether the value under a key is what another key of the same mapping names."""
    if key in _NAMED:
        return True
    # A credential may be under any key that does not announce something else: val, default, content.
    return is_secret and key not in _NAMING and role(key_words(str(key))) is Role.OTHER


def _indexed(path: tuple[str, ...], index: int) -> tuple[str, ...]:
    return (*path[:-1], f"{path[-1]}[{index}]") if path else (f"[{index}]",)


def _scalar(node: object) -> str:
    """Return a YAML scalar as text; a template's read of the environment counts as what it reads."""
    if isinstance(node, str):
        return expression(node, plain=True)
    if node is None:
        return ""
    return str(node).lower() if isinstance(node, bool) else str(node)


def _by_line(path: tuple[str, ...], text: str, quota: Quota) -> Iterator[Line]:
    for pair in pairs(text, quota):
        inner = (*path, *pair.path)
        yield from _inline(inner, pair.text, quota) if pair.is_list else [quota.setting(inner, pair.text)]


def _inline(path: tuple[str, ...], text: str, quota: Quota) -> Iterator[Line]:
    """Yield the settings of a list or mapping in one line."""
    path = quota.mask.path(path)
    if holds_credential(path):
        return
    documents = None
    # As YAML, a table of TOML would be cut at the commas in its strings.
    if (
        _TABLE.match(text) is None
        and text[:1] in _JSON_OPENERS
        and (documents := _json(text)) is None
        and quota.inline < _MOST_INLINE
    ):
        quota.inline += len(text) + _SHORT_INLINE
        documents = _parsed(text, quota)
    if documents:
        for line in _structured(documents, quota):
            yield Line(quota.mask.path((*path, *line.path)), line.value)
        return
    for item in items(text):
        yield quota.setting(path, item)
