"""Command lines and shell scripts -> their settings: flags, assignments, and the places that programs dial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from webhook.detection.lines import Line, setting
from webhook.detection.mentions import Form, Mention, Value
from webhook.detection.references import REFERENCE, normalised
from webhook.detection.values import read_value

_TOKEN = re.compile(r"""(?:\\\n|[^\s;|&<>"'`]|"(?:[^"\\]|\\.)*"|'[^']*')+|[;|&\n]""")
_SEPARATORS = frozenset(";|&\n")
_FLAG = re.compile(r"-{1,2}D?(?P<key>[A-Za-z_][\w.:-]{0,120})(?:=(?P<value>.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][\w.]{0,120})=(?P<value>.*)", re.DOTALL)
_DEV_TCP = re.compile(rf"/dev/tcp/(?P<host>(?:[\w.-]|{REFERENCE})+)/(?P<port>\d+|{REFERENCE})")
_PLACE = re.compile(rf"(?:[\w.-]|{REFERENCE}){{1,253}}:(?:\d{{2,5}}|{REFERENCE})(?:/\S*)?")
# A host and a port as a program passes them: create_connection(('host', 5432)).
_PAIR = re.compile(r"""\(\s{0,9}["'](?P<host>[\w.-]{1,253})["']\s{0,9},\s{0,9}(?P<port>\d{2,5})\s{0,9}\)""")
_GO_DSN = re.compile(r"\S*tcp\(\S+\)\S*")
_COMMENT = re.compile(r"(?m)^\s*#.*$")
# Programs that take host and port as two words.
_DIALERS = frozenset({"nc", "ncat", "netcat", "telnet", "cqlsh"})
# Programs whose first plain word is a host.
_HOST_FIRST = frozenset({"mongosh", "mongo", "cqlsh"})
# Programs that look a name up without opening a connection to what it names.
_LOOKUPS = frozenset({"getent", "nslookup", "dig", "host", "ping", "echo", "printf"})
# Flags that say nothing of what they are about by themselves: the program's name does.
_PLAIN_FLAGS = {
    "h": "host",
    "H": "host",
    "host": "host",
    "hostname": "host",
    "server": "server",
    "S": "server",
    "b": "broker",
}
_PLAIN_PORTS = {"p": "port", "P": "port", "port": "port"}
# Programs that take -hHOST in one piece.
_GLUED_HOST = frozenset(
    {"mysql", "mysqladmin", "mysqldump", "mariadb", "mariadb-admin", "mariadb-dump", "psql", "pg_isready"}
)
SHELLS = frozenset({"sh", "bash", "ash", "dash", "env", "/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/env"})
"""Programs that run what stands behind them."""

_MOST_TOKENS = 5_000


def read_command(arguments: Sequence[str]) -> tuple[Line, ...]:
    """The settings in a container's command and arguments.

    Args:
        arguments: `command` and `args`, one after the other.

    Returns:
        Flags and assignments with their names as path, dialled places without one.
    """
    lines: list[Line] = []
    plain: list[str] = []
    for argument in arguments:
        if "\n" in argument.strip() or (re.search(r"\s", argument.strip()) and not argument.startswith("-")):
            lines += read_script(argument)
        else:
            plain.append(normalised(argument, bare=True))
    return (*_settings(plain[:_MOST_TOKENS]), *lines)


def read_script(text: str) -> tuple[Line, ...]:
    """The settings in a shell script."""
    text = normalised(_COMMENT.sub("", text), bare=True)
    pairs = [_dialled_at(pair["host"], pair["port"]) for pair in _PAIR.finditer(text)]
    tokens = [match[0] for _, match in zip(range(_MOST_TOKENS), _TOKEN.finditer(text), strict=False)]
    return (*_settings([_unquoted(token) for token in tokens]), *pairs)


def programs(arguments: Sequence[str]) -> tuple[str, ...]:
    """The base names of the programs that a command line starts, in order; words of a script's control flow too."""
    text = "\n".join(argument for argument in arguments if argument)
    tokens = [_unquoted(match[0]) for _, match in zip(range(_MOST_TOKENS), _TOKEN.finditer(text), strict=False)]
    return tuple(PurePosixPath(token.strip("()`$")).name for token in tokens if not token.startswith("-"))


def _unquoted(token: str) -> str:
    return token.replace('"', "").replace("'", "").strip("`") if token not in _SEPARATORS else token


def _settings(tokens: Sequence[str]) -> Iterator[Line]:
    start = 0
    for end in range(len(tokens) + 1):
        if end == len(tokens) or tokens[end] in _SEPARATORS:
            if end > start:
                yield from _command(tokens[start:end])
            start = end + 1


def _command(tokens: Sequence[str]) -> Iterator[Line]:
    """The settings of one simple command."""
    words = [token.removeprefix("$(").removeprefix("(") for token in tokens]
    program = _program(words)
    if program in _DIALERS and (dialled := _dialled(words)):
        yield dialled
    if program in _HOST_FIRST:
        yield from _first_host(program, words)
    skip = False
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if skip:
            skip = False
            continue
        if program in _GLUED_HOST and (glued := re.fullmatch(r"-h(?P<host>[A-Za-z$][^\s=]{1,253})", word)):
            yield setting((program, "host"), glued["host"])
        elif word.startswith("-") and (flag := _FLAG.fullmatch(word)):
            takes_next = flag["value"] is None and bool(following) and not following.startswith("-")
            value = following if takes_next else flag["value"]
            # Behind --conf and its like stands a setting with a name of its own.
            named_itself = bool(_ASSIGNMENT.fullmatch(following)) and not re.search(r"\s", following)
            skip = takes_next and not named_itself and (_named(flag["key"]) or "://" in following)
            if value:
                yield setting(_path(program, flag["key"]), value)
        elif "=" in word and (assignment := _ASSIGNMENT.fullmatch(word)):
            yield setting((assignment["key"],), assignment["value"])
        else:
            yield from _word(program, word)


def _program(words: Sequence[str]) -> str:
    """The program that a simple command runs, behind shell keywords, assignments and wrappers."""
    for word in words:
        if word in _KEYWORDS or word.startswith("-") or ("=" in word and _ASSIGNMENT.fullmatch(word)):
            continue
        return word.rstrip("/").rpartition("/")[2]
    return ""


_KEYWORDS = frozenset(
    "until while if ! then do else exec sudo timeout time [ [[ { eval nohup env command wait4x set export local".split()
) | {str(seconds) for seconds in range(61)}


def _named(flag: str) -> bool:
    return len(flag) > 1 or flag in _PLAIN_FLAGS or flag in _PLAIN_PORTS


def _path(program: str, flag: str) -> tuple[str, ...]:
    plain = _PLAIN_FLAGS.get(flag) or _PLAIN_PORTS.get(flag)
    if plain is None:
        return (flag,)
    return (program, plain) if program not in SHELLS else (plain,)


def _word(program: str, word: str) -> Iterator[Line]:
    if "://" in word:
        yield Line((), read_value(word))
    elif "/dev/tcp/" in word and (tcp := _DEV_TCP.search(word)):
        yield _dialled_at(tcp["host"], tcp["port"])
    elif (
        (":" in word or "(" in word) and program not in _LOOKUPS and (_PLACE.fullmatch(word) or _GO_DSN.fullmatch(word))
    ):
        yield Line((), read_value(word))


def _dialled(words: Sequence[str]) -> Line | None:
    """The place of `nc -z host port`: the last two plain words that are a host and a port."""
    plain = [word.strip(")") for word in words if not word.startswith("-")]
    for host, port in pairwise(plain):
        if re.fullmatch(rf"\d{{1,5}}|{REFERENCE}", port) and re.fullmatch(rf"(?:[\w.-]|{REFERENCE})+", host):
            if host in _DIALERS or host.isdigit():
                continue
            return _dialled_at(host, port)
    return None


def _dialled_at(host: str, port: str) -> Line:
    return Line((), Value((Mention(host, port, form=Form.HOST_PORT),)))


def _first_host(program: str, words: Sequence[str]) -> Iterator[Line]:
    at = next((position for position, word in enumerate(words) if PurePosixPath(word).name == program), None)
    following = words[at + 1 : at + 2] if at is not None else []
    for word in following:
        if not word.startswith("-") and "://" not in word:
            yield setting((program, "host"), word.partition("/")[0])
