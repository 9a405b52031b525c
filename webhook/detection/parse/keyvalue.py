"""Parse a text of keys and values, line by line, into pairs, each with the keys that lead to it.

`key = value` in all its spellings, INI and TOML sections, XML elements, and nesting by indentation, which Python,
JavaScript, HCL and pretty-printed JSON share. Comments are ignored. Every pattern is anchored, or bounded in what it
tries from one place: nothing is read twice because it did not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from webhook.detection.parse.credentials import announced, in_element, is_named
from webhook.detection.parse.lines import Quota, as_key, lines_of
from webhook.detection.parse.mentions import LONGEST_VALUE
from webhook.detection.parse.references import normalised
from webhook.detection.words import Role, holds_credential, key_words, names_credential, role

_DEEPEST = 30
_MOST_ATTRIBUTES = 20
_COMMENT = re.compile(r"\s*(?:#(?!\{)|//|;|--\s|/\*|\*\s(?!\s{0,80}=)|<!--|REM\s|\{\{[-\s]*/\*)")
_KEY = re.compile(
    r"""\s*(?:-\s+)?(?:export\s+|set\s+|const\s+|let\s+|var\s+|define\(\s*|ENV\s+)?
    (?P<key>"[^"\n]{1,200}"|'[^'\n]{1,200}'|[A-Za-z_$][\w.$-]{0,200}(?:::[\w.]{1,100}){0,9}(?:\[['"\w.-]{1,200}\])*+|\d{1,4}|\*)
    \s*(?P<sign>=>|:=|=|:(?!//)|,(?=\s*['"])|\s(?=['"])|(?=\{\s*$))\s*(?P<rest>.*)$""",
    re.VERBOSE,
)
_XML = re.compile(r"\s*<(?P<key>[A-Za-z][\w.:-]{0,100})(?:\s[^<>]{0,1000}+)?+>(?P<rest>[^<>]{1,1000}+)</")
# A Hadoop-style property: its name and its value are elements of their own.
_HADOOP = re.compile(r"<name>([^<>]{1,200}+)</name>\s{0,50}+<value>([^<>]{0,1000}+)</value>")
_XML_NAME = re.compile(r"""(?:name|key)\s*+=\s*+["'](?P<key>[^"']{1,200}+)["']""")
_XML_VALUE = re.compile(r"""[^<>]{0,400}?value\s*+=\s*+(?:"(?P<rest>[^"]{0,1000}+)"|'(?P<other>[^']{0,1000}+)')""")
_XML_TEXT = re.compile(r"[^<>]{0,400}+>(?P<rest>[^<>]{1,1000}+)</")
_ENVIRONMENT = re.compile(
    r"""(?:environ(?:\.get)?|getenv|env|ENV(?:\.fetch)?|process\.env|GetEnvironmentVariable)
    \s*[\[(.]\s*['"]?(?P<name>[A-Za-z_]\w{0,120})['"]?\s*[\])]?\s*
    (?:(?:,|\|\||\?\?|\bor\b|\?:)\s*
    (?P<default>"(?:[^"\\\n]|\\.){0,400}+"|'(?:[^'\\\n]|\\.){0,400}+')(?![\w@:/.]))?""",
    re.VERBOSE,
)
# The beginning of user:password@host is not a key.
_USER = re.compile(r"\s*+(?:-\s++)?[\"']?[\w.$-]{1,200}+:(?![\s@])(?:(?!://)[^@]){1,500}@")
_TAG = re.compile(r"\s*+<(?P<name>[A-Za-z][\w.:-]{0,100})(?:\s[^<>]{0,1000}+)?+>\s*+")
# Strings of several lines in TOML and Python, and in Ruby's and Lua's kin.
_LONG_QUOTES = ('"""', "'''")
_OPENED = re.compile(r"[:=]\s{0,9}(?P<quote>[\"'])(?:(?!(?P=quote)).)*\Z")
_CONTINUED = "\\"
_QUOTES = re.compile(r"[\"'\[\]]+")
# The key in a program's lookup, settings["host"], is not a value.
_SUBSCRIPT = re.compile(r"""(?<=[\w\])])\[\s?(?:"[^"\n]{0,100}"|'[^'\n]{0,100}')\s?\]""")
_STRINGS = re.compile(r"""(?<!\\)(?:"((?:[^"\\\n]|\\.){1,1000}+)"|'((?:[^'\\\n]|\\.){1,1000}+)')""")
_BEHIND_PLACES = frozenset(" \t,;)]}>") | {""}
_BEHIND_STRINGS = _BEHIND_PLACES | frozenset(":./=+%|&")
_SIGNS = frozenset({"=", "=>", ":", ":="})
_SHORT = 10
_FIRST = 2
_CALL = re.compile(r"\w\(")
_NUMBERED_PLACE = re.compile(r"[\w.$(){}-]+:\d{2,5}")
_SHORT_RUN = " " * 80
_LONG_RUN = re.compile(r"(?<!\s)\s{80,}+")
_TRAILING_COMMENT = re.compile(r"(?<!\s)\s++(?:#|//)\s.*")
_SERVER = re.compile(r"\s*server\s+(?:[\w.-]{1,120}\s+)?(?P<place>[\w.-]{1,253}:\d{2,5})(?:[\s;]|$)")
_SPACED = re.compile(r"@?(?P<key>[A-Za-z][\w.-]{0,60}+)\s++(?P<rest>[^\s;]{1,500}+)\s*+;?")
_SPACED_ROLES = frozenset({Role.LOCATION, Role.PORT, Role.PROVIDER})
_OPENERS = ("", "{", "[", "(", "{{", "[{", "|", ">", "|-", ">-", "|+", ">+", "dict(", "({")


class Pair(NamedTuple):
    """A value, the keys that lead to it, and whether it is a list or mapping in one line."""

    path: tuple[str, ...]
    text: str
    is_list: bool = False


def pairs(text: str, quota: Quota) -> Iterator[Pair]:
    """Yield the pairs of a text, line by line, as far as the quota reaches."""
    where = _Where()
    if "</name>" in text:
        text = _HADOOP.sub(r"\1 = \2", text)
    hidden_until = ""
    for raw in lines_of(text, quota):
        if hidden_until:
            hidden_until = _still_hidden(raw, hidden_until)
            continue
        line = raw.expandtabs(4)
        if len(line) >= len(_SHORT_RUN):
            line = _LONG_RUN.sub(_SHORT_RUN, line)
        if not line.strip() or _COMMENT.match(line) or where.is_section(line):
            continue
        if not where.enter(line):
            quota.cut = True
            continue
        for number, pair in enumerate(_line(line, where)):
            if number and not quota.spend():
                return
            yield pair
        # The next line goes on with this one's credential.
        hidden_until = _goes_on(line)


def _goes_on(line: str) -> str:
    """Return the sign up to which the credential that a line begins goes on; "" where none does."""
    if line.endswith("\\"):
        return _CONTINUED if announced(line) >= 0 or names_credential(line) else ""
    if "<" in line:
        tag = _TAG.fullmatch(line)
        return f"</{tag['name']}" if tag and (names_credential(tag["name"]) or in_element(line)) else ""
    quotes = next((quotes for quotes in _LONG_QUOTES if line.count(quotes) & 1), "")
    if not quotes and (opened := _OPENED.search(line)):
        quotes = opened["quote"]
    return quotes if quotes and (announced(line) >= 0 or names_credential(line.partition(quotes)[0])) else ""


def _still_hidden(line: str, until: str) -> str:
    """Return `until` where a line is within a credential and does not end it."""
    if until == _CONTINUED:
        return until if line.endswith("\\") else ""
    return "" if until in line else until


class _Where:
    """The position of a line in the structure of a text.

    Attributes:
        above: The keys above the line.
        indent: How far it is indented.
        named: The name of an XML property whose value has not come yet.
    """

    def __init__(self) -> None:
        self.above: tuple[str, ...] = ()
        self.indent = 0
        self.named = ""
        self._section: tuple[str, ...] = ()
        self._seen: dict[str, int] = {}
        self._nesting: list[tuple[int, str]] = []

    def is_section(self, line: str) -> bool:
        """Enter the INI or TOML section that a line begins; return whether it begins one."""
        name = _section(line) if "[" in line else ""
        if name:
            number = self._seen[name] = self._seen.get(name, -1) + 1
            *above, last = name.split(".")
            self._section = (*map(as_key, above), f"{as_key(last)}[{number}]" if number else as_key(last))[-_DEEPEST:]
            self._nesting = []
        return bool(name)

    def enter(self, line: str) -> bool:
        """Move to a line; return whether it is not too deep."""
        self.indent = len(line) - len(line.lstrip(" -"))
        while self._nesting and self._nesting[-1][0] >= self.indent:
            self._nesting.pop()
        self.above = (*self._section, *(key for _, key in self._nesting))
        return len(self._nesting) <= _DEEPEST

    def open(self, key: str) -> None:
        """Add the line's key above the lines that are indented further."""
        self._nesting.append((self.indent, key))


def _section(line: str) -> str:
    """Return the name of an INI or TOML section, or "" if the line is not one."""
    stripped = line.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return ""
    name = stripped.strip("[]").strip()
    return "" if len(name) > 200 or any(sign in name for sign in "[]=") else name.strip("\"'")


def _line(line: str, where: _Where) -> Iterator[Pair]:
    if "#" in line or "//" in line:
        line = _TRAILING_COMMENT.sub("", line)
    if "server" in line and (server := _SERVER.match(line)):
        yield Pair((*where.above, "server"), server["place"])
        return
    pair = _KEY.match(line) or _attributes(line) or _XML.match(line) or _spaced(line)
    if pair is None:
        yield from (Pair(where.above, item) for item in items(line) if where.above or "://" in item)
        return
    key = as_key(_QUOTES.sub(".", pair["key"]).strip("."))
    if "@" in pair["rest"] and _USER.match(line):
        key = "…"
    if "<" in line:
        key, where.named = _of_property(key, where.named, pair["rest"])
    path = (*where.above, key)
    rest = pair["rest"].strip().rstrip(",;")
    # What is indented further than a credential may be its next line.
    if rest in _OPENERS or rest.endswith(_OPENERS[1:]) or holds_credential(path):
        # A block may be called after a credential: variable "redis_password" {
        where.open("password" if is_named(rest, len(rest) - 1) else key)
    elif rest.startswith(("{", "[", "(")):
        yield Pair(path, rest, is_list=True)
    else:
        yield Pair(path, expression(rest))


def _of_property(key: str, named: str, text: str) -> tuple[str, str]:
    """Return the key of an XML element, and the pending name: a property's name and value are separate elements."""
    match key.lower():
        case "name":
            return key, as_key(text.strip())
        case "value" if named:
            return named, ""
        case _:
            return key, named


def _attributes(line: str) -> dict[str, str] | None:
    """Return a key and its value in XML attributes, or a key in one and its value as the element's text."""
    if "name" not in line and "key" not in line:
        return None
    names = list(islice(_XML_NAME.finditer(line), _MOST_ATTRIBUTES))
    for behind in (_XML_VALUE, _XML_TEXT):
        for name in names:
            if value := behind.match(line, name.end()):
                return {"key": name["key"], "rest": value["rest"] or value.groupdict().get("other") or ""}
    return None


def _spaced(line: str) -> re.Match[str] | None:
    """Match a key and its value with only space between them, if the key announces a place, port or choice."""
    pair = _SPACED.fullmatch(line.strip())
    return pair if pair and role(key_words(pair["key"])) in _SPACED_ROLES else None


def expression(text: str, *, plain: bool = False) -> str:
    """Return a right-hand side as the value it has: a read of the environment becomes a reference with its default.

    Args:
        text: The right-hand side.
        plain: Whether it is a value already, of YAML or JSON, so that quotes in it are its own.
    """
    if len(text) <= LONGEST_VALUE and ("nv" in text or "NV" in text) and (call := _ENVIRONMENT.search(text)):
        default = (call["default"] or "").strip("\"'")
        return "${" + call["name"] + (":-" + default if default else "") + "}"
    if plain or len(text) > LONGEST_VALUE:
        return text
    text = normalised(text)
    string = _STRINGS.match(text)
    if string is None or not _ends_string(text, string) or ("@" in text and "@" not in string[0]):
        return text.rstrip(")")
    return string[1] or string[2]


def _ends_string(text: str, string: re.Match[str]) -> bool:
    """Return whether what looks like a string is one, and not the beginning of a password with a quote in it."""
    behind = text[string.end() : string.end() + 2]
    if ":" in string[0]:
        return behind[:1] in _BEHIND_PLACES or behind == "/>"
    return behind[:1] in _BEHIND_STRINGS


def items(text: str) -> list[str]:
    """Return the values of a line without a key: quoted strings, else what follows a list's dash, else URLs."""
    text_without_keys = _SUBSCRIPT.sub("", text) if '"' in text or "'" in text else ""
    if strings := list(_STRINGS.finditer(text_without_keys)):
        return [] if in_element(text) else _values(text_without_keys, strings)
    bare = text.strip().removeprefix("- ").rstrip(",;")
    if "://" in bare and names_credential(bare[: bare.index("://")].partition(" ")[0]):
        return []
    return [bare] if "://" in bare or _NUMBERED_PLACE.fullmatch(bare) else []


def _values(text: str, strings: list[re.Match[str]]) -> list[str]:
    """Return the strings that are not recognisable as credentials."""
    if not all(_ends_string(text, string) for string in strings) or "@" in _STRINGS.sub("", text):
        return []
    # Of several arguments of a call, one may be a password.
    call = _CALL.search(text)
    if call and is_named(text, call.end()):
        return []
    is_call = len(strings) > 1 and call is not None
    found = []
    for number, string in enumerate(strings):
        content, start = string[1] or string[2], string.start()
        named = text[max(0, start - _SHORT) : start].rstrip().endswith("=")
        is_first_url = number < _FIRST and "://" in content
        if number and ":" not in content and _is_of_a_place(text, strings[number - 1], start):
            continue
        if not is_named(text, start) and (not is_call or named or is_first_url):
            found.append(content)
    return found


def _is_of_a_place(text: str, key: re.Match[str], start: int) -> bool:
    """Return whether the string before this one is its key, but not a name: this one may be that place's password."""
    return text[key.end() : start].strip() in _SIGNS and as_key(key[1] or key[2]) == "…"
