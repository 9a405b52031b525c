"""A configuration file -> its settings, each with the path of keys that leads to it.

YAML and JSON are parsed as such. Everything else, and YAML that does not parse because it is still a template, is read
line by line: `key = value` in all its spellings, INI and TOML sections, and nesting by indentation, which Python,
JavaScript, HCL and pretty-printed JSON share. Comments say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import yaml

from webhook.detection.commands import read_script
from webhook.detection.lines import Line, setting
from webhook.detection.mentions import Value
from webhook.detection.references import normalised
from webhook.detection.values import read_value
from webhook.detection.words import Role, key_words, role
from webhook.yamltext import CONFIGURATION, nodes
from webhook.yamlvalues import AsText, plain

_MOST_LINES = 10_000
_LONGEST_LINE = 20_000
_DEEPEST = 30


def read_file(text: str) -> tuple[Line, ...]:
    """The settings of a file of any format.

    Args:
        text: The whole file.

    Returns:
        Its settings in order; lines that say nothing are left out.
    """
    if text.startswith("#!"):
        return read_script(text)
    settings = _parsed(text)
    lines = _structured(settings) if settings is not None else _by_line(text)
    return tuple(line for line in lines if _says_something(line.value))


def _says_something(value: Value) -> bool:
    return bool(value.mentions) or value.switch is not None or bool(value.word)


def _parsed(text: str) -> list[object] | None:
    """The documents of a YAML or JSON text, or None when it is something else."""
    if len(text) > CONFIGURATION.characters:
        return None
    if text.lstrip()[:1] in _JSON_OPENERS and (found := _json(text)) is not None:
        return found
    try:
        documents = [plain(node) for node in nodes(text, CONFIGURATION, AsText)]
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


def _structured(documents: list[object]) -> list[Line]:
    found: list[Line] = []
    budget = [_MOST_LINES]
    for document in documents:
        _walk((), document, budget, found)
    return found


def _walk(path: tuple[str, ...], node: object, budget: list[int], found: list[Line]) -> None:
    """Find every scalar below a node. The budget bounds documents whose aliases would unfold without end."""
    budget[0] -= 1
    if budget[0] < 0 or len(path) > _DEEPEST:
        return
    if isinstance(node, str):
        if "\n" in node.strip():
            found += [Line((*path, *line.path), line.value) for line in _by_line(node)]
        else:
            found.append(setting(path, _scalar(node)))
    elif isinstance(node, dict):
        named = node.get("name") or node.get("key")
        for key, child in node.items():
            told = named if key == "value" and isinstance(named, str) else str(key)
            _walk((*path, told), child, budget, found)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            # Settings of one element belong together, apart from those of the next.
            _walk(_indexed(path, index) if isinstance(child, dict) else path, child, budget, found)
    elif isinstance(node, int | float):
        found.append(setting(path, _scalar(node)))
    elif node is None:
        found.append(Line(path, read_value("")))


def _indexed(path: tuple[str, ...], index: int) -> tuple[str, ...]:
    return (*path[:-1], f"{path[-1]}[{index}]") if path else (f"[{index}]",)


def _scalar(node: str | float) -> str:
    """A YAML scalar as text; a template's read of the environment counts as what it reads."""
    if isinstance(node, str) and ("ENV" in node or "env" in node) and _ENVIRONMENT.search(node):
        return _expression(node)
    return str(node).lower() if isinstance(node, bool) else str(node)


_COMMENT = re.compile(r"\s*(?:#(?!\{)|//|;|--\s|/\*|\*\s(?!\s{0,80}=)|<!--|REM\s|\{\{[-\s]*/\*)")
_TRAILING_COMMENT = re.compile(r"\s+(?:#|//)\s.*$")
_SECTION = re.compile(r"\s*\[+\s*(?P<name>[^\[\]=]{1,200}?)\s*\]+\s*$")
_KEY = re.compile(
    r"""\s*(?:-\s+)?(?:export\s+|set\s+|const\s+|let\s+|var\s+|define\(\s*|ENV\s+)?
    (?P<key>"[^"\n]{1,200}"|'[^'\n]{1,200}'|[A-Za-z_$][\w.$-]{0,200}(?:::[\w.]{1,100}){0,9}(?:\[['"\w.-]{1,200}\])*|\d{1,4}|\*)
    \s*(?P<sign>=>|:=|=|:(?!//)|,(?=\s*['"])|\s(?=['"])|(?=\{\s*$))\s*(?P<rest>.*)$""",
    re.VERBOSE,
)
_XML = re.compile(r"\s*<(?P<key>[A-Za-z][\w.:-]{0,100})(?:\s[^<>]{0,1000})?>(?P<rest>[^<>]{1,1000})</")
# A Hadoop-style property: its name and its value are elements of their own.
_HADOOP = re.compile(r"<name>([^<>]{1,200})</name>\s{0,50}<value>([^<>]{0,1000})</value>")
_XML_NAMED = re.compile(
    r"""\s*<[A-Za-z][\w.:-]{0,100}\s[^<>]{0,400}?(?:name|key)\s*=\s*["'](?P<key>[^"']{1,200})["'][^<>]{0,400}>(?P<rest>[^<>]{1,1000})</"""
)
_XML_PAIR = re.compile(
    r"""(?:name|key)\s*=\s*["'](?P<key>[^"']{1,200})["'][^<>]{0,400}?value\s*=\s*["'](?P<rest>[^"']{0,1000})["']"""
)
_ENVIRONMENT = re.compile(
    r"""(?:environ(?:\.get)?|getenv|env|ENV(?:\.fetch)?|process\.env|GetEnvironmentVariable)
    \s*[\[(.]\s*['"]?(?P<name>[A-Za-z_]\w{0,120})['"]?\s*[\])]?\s*
    (?:(?:,|\|\||\?\?|\bor\b|\?:)\s*(?P<default>"[^"\n]{0,400}"|'[^'\n]{0,400}'))?""",
    re.VERBOSE,
)
_QUOTES = re.compile(r"[\"'\[\]]+")
# The key in a program's look-up, settings["host"], is no value.
_SUBSCRIPT = re.compile(r"""(?<=[\w\])])\[\s?(?:"[^"\n]{0,100}"|'[^'\n]{0,100}')\s?\]""")
_STRINGS = re.compile(r""""([^"\n]{1,1000})"|'([^'\n]{1,1000})'""")


_SHORT_RUN = " " * 80
_LONG_RUN = re.compile(r"\s{80,}")


def _by_line(text: str) -> Iterator[Line]:
    section: tuple[str, ...] = ()
    seen: dict[str, int] = {}
    nesting: list[tuple[int, str]] = []
    for raw in _HADOOP.sub(r"\1 = \2", text).splitlines()[:_MOST_LINES]:
        # Patterns for lines try every way to split a run of spaces, so that none may be long.
        line = raw[:_LONGEST_LINE].expandtabs(4)
        if len(line) >= len(_SHORT_RUN):
            line = _LONG_RUN.sub(_SHORT_RUN, line)
        if not line.strip() or _COMMENT.match(line):
            continue
        if "[" in line and (header := _SECTION.match(line)):
            name = header["name"].strip("\"'")
            seen[name] = seen.get(name, -1) + 1
            section = _indexed(tuple(name.split(".")), seen[name]) if seen[name] else tuple(name.split("."))
            nesting = []
            continue
        indent = len(line) - len(line.lstrip(" -"))
        while nesting and nesting[-1][0] >= indent:
            nesting.pop()
        above = (*section, *(key for _, key in nesting))
        yield from _line(above, line, nesting, indent)


def _line(above: tuple[str, ...], line: str, nesting: list[tuple[int, str]], indent: int) -> Iterator[Line]:
    if "#" in line or "//" in line:
        line = _TRAILING_COMMENT.sub("", line)
    if place := _upstream(line):
        yield setting((*above, "server"), place)
        return
    pair = _KEY.match(line) or _XML_PAIR.search(line) or _XML_NAMED.search(line) or _XML.match(line) or _spaced(line)
    if pair is None:
        yield from (Line(above, read_value(item)) for item in _items(line) if above or "://" in item)
        return
    key = _QUOTES.sub(".", pair["key"]).strip(".")
    path = (*above, key)
    rest = pair["rest"].strip().rstrip(",;")
    if rest in _OPENERS or rest.endswith(_OPENERS[1:]):
        nesting.append((indent, key))
        return
    if rest.startswith(("{", "[", "(")) and (inline := _inline(path, rest)):
        yield from inline
        return
    yield setting(path, _expression(rest))


def _upstream(line: str) -> str | None:
    """The place of a proxy's `server host:port …` line; a name may stand before it."""
    server = _SERVER.match(line) if "server" in line else None
    return server["place"] if server else None


_SERVER = re.compile(r"\s*server\s+(?:[\w.-]{1,120}\s+)?(?P<place>[\w.-]{1,253}:\d{2,5})(?:[\s;]|$)")


def _spaced(line: str) -> re.Match[str] | None:
    """A key and its value with nothing but space between them, as far as the key announces a place, port or choice."""
    pair = _SPACED.match(line)
    return pair if pair and role(key_words(pair["key"])) in _SPACED_ROLES else None


_SPACED = re.compile(r"\s*@?(?P<key>[A-Za-z][\w.-]{0,60})\s+(?P<rest>[^\s;]{1,500})\s*;?\s*$")
_SPACED_ROLES = frozenset({Role.LOCATION, Role.PORT, Role.PROVIDER})
_OPENERS = ("", "{", "[", "(", "{{", "[{", "|", ">", "|-", "dict(", "({")


def _expression(text: str) -> str:
    """A right-hand side as the value it has: a read of the environment becomes a reference with its default."""
    if ("nv" in text or "NV" in text) and (call := _ENVIRONMENT.search(text)):
        default = (call["default"] or "").strip("\"'")
        return "${" + call["name"] + (":-" + default if default else "") + "}"
    text = normalised(text)
    strings = _STRINGS.match(text)
    return (strings[1] or strings[2]) if strings else text.rstrip(")")


def _inline(path: tuple[str, ...], text: str) -> list[Line]:
    documents = _parsed(text)
    if documents:
        return [Line((*path, *line.path), line.value) for line in _structured(documents)]
    return [Line(path, read_value(item)) for item in _items(text)]


def _items(text: str) -> list[str]:
    """The values of a line without a key: quoted strings, else what stands behind a list's dash, else URLs alone."""
    if found := [first or second for first, second in _STRINGS.findall(_SUBSCRIPT.sub("", text))]:
        return found
    bare = text.strip().removeprefix("- ").rstrip(",;")
    return [bare] if "://" in bare or re.fullmatch(r"[\w.$(){}-]+:\d{2,5}", bare) else []
