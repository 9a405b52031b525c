"""Parse command lines and shell scripts for settings: flags, assignments, and the places that programs dial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from webhook.core.values import Form, Line, Mention, Value
from webhook.detection.parse.lines import Quota, setting
from webhook.detection.parse.mentions import LONGEST_VALUE
from webhook.detection.parse.passwords import Reader, may_be_glued, without_credentials
from webhook.detection.parse.references import REFERENCE, normalised
from webhook.detection.parse.shellwords import KEYWORDS, MOST_WORDS, SEPARATORS, Word, base_name, shell_words
from webhook.detection.parse.values import begins_value
from webhook.detection.words import key_words, names_credential

_SPACE = re.compile(r"\s")
# No program has such a name: it is a place, or a list whose password may contain spaces.
_NO_PROGRAM = re.compile(r"[\w.*]+(?:[:,@]|\|[\w.-]*\|)")
_GIVEN = re.compile(r"--?(?P<key>[A-Za-z][\w.-]{0,120})=")
# Flags followed by a script; what follows another long flag is its value.
_SCRIPT_FLAGS = frozenset("command cmd exec run shell script eval execute entrypoint args".split())
_LONG_FLAG = re.compile(r"--[A-Za-z][\w.-]{2,120}")
_FLAG = re.compile(r"-{1,2}D?(?P<key>[A-Za-z_][\w.:-]{0,120})(?:=(?P<value>.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][\w.]{0,120})=(?P<value>.*)", re.DOTALL)
_DEV_TCP = re.compile(rf"/dev/tcp/(?P<host>(?:[\w.-]|{REFERENCE}){{1,253}})/(?P<port>\d+|{REFERENCE})")
_PLACE = re.compile(rf"(?:[\w.-]|{REFERENCE}){{1,253}}:(?:\d{{2,5}}|{REFERENCE})(?:/\S*)?")
_DIALLED_HOST = re.compile(rf"(?:[\w.-]|{REFERENCE}){{1,253}}")
_DIALLED_PORT = re.compile(rf"\d{{1,5}}|{REFERENCE}")
# A host and a port as a program passes them: create_connection(('host', 5432)).
_PAIR = re.compile(r"""\(\s{0,9}["'](?P<host>[\w.-]{1,253})["']\s{0,9},\s{0,9}(?P<port>\d{2,5})\s{0,9}\)""")
_COMMENT = re.compile(r"(?m)^[^\S\n]*+#.*$")
# Programs that take host and port as two words.
_DIALERS = frozenset({"nc", "ncat", "netcat", "telnet", "cqlsh"})
# Programs whose first plain word is a host.
_HOST_FIRST = frozenset({"mongosh", "mongo", "cqlsh"})
# Programs that look up a name without opening a connection to it.
_LOOKUPS = frozenset({"getent", "nslookup", "dig", "host", "ping", "echo", "printf"})
# Flags that do not name what they are about: the program's name does.
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
"""Programs that run their arguments."""

_RUNS = frozenset({"-c", "-lc", "-ec", "-xc", "-exc", "-euc", "-euxc"})
"""Flags of shells that a script follows."""
_LONGEST_SCRIPT = 200_000


def read_command(arguments: Sequence[str], quota: Quota | None = None) -> tuple[Line, ...]:
    """Return the settings in a container's command and arguments.

    Args:
        arguments: `command` and `args`, one after the other.
        quota: How much of them is parsed and stored; afterwards `cut` is set if that was not all.

    Returns:
        Flags and assignments with their names as path, dialled places without one.
    """
    if not arguments:
        return ()
    quota = quota or Quota()
    reader = Reader()
    plain: list[str] = []
    scripts: list[str] = []
    flag = ""
    for position, argument in enumerate(arguments[:MOST_WORDS]):
        stripped = argument.strip()
        is_script = _is_script(stripped) or (flag in _RUNS and not SHELLS.isdisjoint(arguments[:position]))
        if is_script and not _is_value_of(flag, stripped) and not reader.expects_credential:
            scripts.append(argument)
        else:
            text = argument if len(argument) > LONGEST_VALUE else normalised(argument, bare=True)
            plain.append(reader.read(Word(text)))
        flag = stripped
    if len(arguments) > MOST_WORDS:
        quota.cut = True
    return quota.kept(chain(_settings(plain, quota), *(script(text, quota) for text in scripts)))


def _is_script(argument: str) -> bool:
    """Return whether an argument is several words: no flag, no URL, no connection string, or of several lines."""
    space = _SPACE.search(argument)
    given = _GIVEN.match(argument)
    if (
        space is None
        or begins_value(argument[given.end() :] if given else argument)
        or _NO_PROGRAM.match(argument)
        or _passes_credential(argument)
    ):
        return False
    return "\n" in argument or (argument[0] != "-" and "://" not in argument[: space.start()])


def _is_value_of(flag: str, argument: str) -> bool:
    """Return whether an argument of several words is the value of the flag before it, not script or configuration."""
    return "\n" not in argument and _LONG_FLAG.fullmatch(flag) is not None and _SCRIPT_FLAGS.isdisjoint(key_words(flag))


def _passes_credential(argument: str) -> bool:
    flag = _GIVEN.match(argument)
    return flag is not None and names_credential(flag["key"])


def script(text: str, quota: Quota) -> Iterator[Line]:
    """Yield the settings in a shell script, as far as the quota reaches."""
    if not quota.spend():
        return
    if len(text) > _LONGEST_SCRIPT:
        quota.cut = True
        # A line is read whole or not at all.
        text = text[: text.rfind("\n", 0, _LONGEST_SCRIPT) + 1]
    text = normalised(_COMMENT.sub("", text), bare=True)
    words = shell_words(text)
    if len(words) > MOST_WORDS:
        quota.cut = True
        words.pop()
    yield from _settings(without_credentials(words), quota)
    for pair in _PAIR.finditer(text):
        yield _dialled_at(pair["host"], pair["port"])


def programs(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the base names of the programs that a command line starts, in order, with a script's control words."""
    text = "\n".join(argument for argument in arguments if argument)[:_LONGEST_SCRIPT]
    words = shell_words(text)[:MOST_WORDS]
    return tuple(base_name(word.text.strip("()`$")) for word in words if not word.text.startswith("-"))


def _settings(words: Sequence[str], quota: Quota) -> Iterator[Line]:
    start = 0
    for end in range(len(words) + 1):
        if end == len(words) or words[end] in SEPARATORS:
            if end > start:
                if not quota.spend(end - start):
                    return
                yield from _command(words[start:end], quota)
            start = end + 1


def _command(tokens: Sequence[str], quota: Quota) -> Iterator[Line]:
    """Yield the settings of one simple command."""
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
            # --conf and its like are followed by a setting with a name of its own.
            named_itself = bool(_ASSIGNMENT.fullmatch(following)) and not _SPACE.search(following)
            skip = takes_next and not named_itself and (_named(flag["key"]) or "://" in following)
            unclear = may_be_glued(word)
            if value and not (unclear and flag["value"] and ":" not in value):
                yield quota.setting(() if unclear else _path(program, flag["key"]), value)
        elif "=" in word and (assignment := _ASSIGNMENT.fullmatch(word)):
            yield quota.setting((assignment["key"],), assignment["value"])
        else:
            yield from _word(program, word, quota)


def _program(words: Sequence[str]) -> str:
    """Return the program that a simple command runs, after shell keywords, assignments and wrappers with flags."""
    wrapped = False
    for word in words:
        if word.startswith("-") and not wrapped:
            return ""
        wrapped = wrapped or word in KEYWORDS
        if word and word not in KEYWORDS and word[0] != "-" and not ("=" in word and _ASSIGNMENT.fullmatch(word)):
            return base_name(word)
    return ""


def _named(flag: str) -> bool:
    return len(flag) > 1 or flag in _PLAIN_FLAGS or flag in _PLAIN_PORTS


def _path(program: str, flag: str) -> tuple[str, ...]:
    plain = _PLAIN_FLAGS.get(flag) or _PLAIN_PORTS.get(flag)
    if plain is None:
        return (flag,)
    return (program, plain) if program not in SHELLS else (plain,)


def _word(program: str, word: str, quota: Quota) -> Iterator[Line]:
    if "://" in word:
        yield quota.setting((), word)
    elif "/dev/tcp/" in word and (tcp := _DEV_TCP.search(word)):
        yield _dialled_at(tcp["host"], tcp["port"])
    elif (":" in word or "(" in word) and program not in _LOOKUPS and (_PLACE.fullmatch(word) or _is_go_dsn(word)):
        yield quota.setting((), word)


def _is_go_dsn(word: str) -> bool:
    """Return whether a word is user:password@tcp(host:port)/database."""
    return ")" in word.partition("tcp(")[2][1:] and _SPACE.search(word) is None


def _dialled(words: Sequence[str]) -> Line | None:
    """Return the place of `nc -z host port`: the last two plain words that are a host and a port."""
    plain = [word.strip(")") for word in words if not word.startswith("-")]
    for host, port in pairwise(plain):
        if _DIALLED_PORT.fullmatch(port) and _DIALLED_HOST.fullmatch(host):
            if host in _DIALERS or host.isdigit():
                continue
            return _dialled_at(host, port)
    return None


def _dialled_at(host: str, port: str) -> Line:
    return Line((), Value((Mention(host, port, form=Form.HOST_PORT),)))


def _first_host(program: str, words: Sequence[str]) -> Iterator[Line]:
    at = next((position for position, word in enumerate(words) if base_name(word) == program), None)
    following = words[at + 1 : at + 2] if at is not None else []
    for word in following:
        if not word.startswith("-") and "://" not in word:
            yield setting((program, "host"), word.partition("/")[0])
