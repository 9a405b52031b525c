"""Remove credentials from the words of a command line, before anything else reads them.

In a script, an unquoted credential may contain characters that end a word or a command for the shell. So what is glued
to a credential is removed with it, and nothing before an "@" is a place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from webhook.detection.parse.credentials import announced
from webhook.detection.parse.shellwords import KEYWORDS, SEPARATORS, Word, base_name, shell_words
from webhook.detection.words import Role, is_credential, key_words, names_credential, role

_ASSIGNED = re.compile(r"(?P<key>[A-Za-z_][\w.]{0,120})=")
_FLAG = re.compile(r"--?(?P<key>[A-Za-z_][\w.:-]{0,120})(?P<sign>=?)")
_FLAG_LAST = re.compile(r"(?<!\S)-[A-Za-z]\s{0,9}\Z")
_LONGEST_COMMAND = 200
_PORT = re.compile(r"\d{2,5}|\$.*", re.DOTALL)
# The name of a setting that a command stores: aws_secret_access_key, /shop/redis/password.
_SETTING = re.compile(r"/?(?:[A-Za-z0-9]{1,60}[./_-]){0,9}(?P<last>[A-Za-z]{1,60})")
# Flags that pass a credential to these programs, in the same word or in the next.
_PROGRAMS = {
    "redis-cli valkey-cli keydb-cli redis-benchmark": "-a",
    "mysql mysqladmin mysqldump mysqlcheck mysqlimport mysqlpump mariadb mariadb-admin mariadb-dump": "-p",
    "mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat cqlsh rabbitmqadmin sshpass influx": "-p",
    "clickhouse clickhouse-client arangosh cypher-shell nodetool": "-p",
    "mosquitto_pub mosquitto_sub mosquitto_rr sqlcmd bcp isql tsql osql": "-P",
    "ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldappasswd ldapcompare": "-w",
    "curl wget": "-u",
    "smbclient": "-U",
}
_PASSED = {program: flag for programs, flag in _PROGRAMS.items() for program in programs.split()}
# Programs and their commands that accept credentials as plain words, maybe after a URL.
_POSITIONAL = frozenset(
    "mc mcli htpasswd mosquitto_passwd vault chpasswd add-user.sh add_user change_password authenticate_user".split()
)
# The flags where the program is unknown, as for an image's own entry point.
_USER = frozenset({"-u", "-U"})
_PORTS = frozenset({"-p", "-P"})
_DOUBTFUL = frozenset({"-a", "-w"})
_LONGEST_FLAG = 120
_SHORT = frozenset("pPuUaw")
# Words of commands and of SQL that a credential follows.
_ANNOUNCING = frozenset(
    "auth password passwd pass pwd secret token login requirepass masterauth account identified by authorization "
    "bearer basic".split()
)


class _Next(Enum):
    """The expected kind of the next word."""

    ANYTHING = 0
    CREDENTIAL = 1
    CREDENTIAL_UNLESS_URL = 2
    CREDENTIAL_UNLESS_PORT = 3
    USER_OR_CREDENTIAL = 4


def without_credentials(words: Sequence[Word]) -> list[str]:
    """Return the texts of a script's words, with "" for each that is a credential or may be a part of one."""
    reader = Reader(is_script=True)
    return _before_at(words, [reader.read(word) for word in words])


def is_passed(before: str) -> bool:
    """Return whether a command line up to a word passes that word as a credential, even if it is a URL: -a WORD."""
    before = before[-_LONGEST_COMMAND:].rstrip("\"'")
    if not _FLAG_LAST.search(before):
        return False
    reader = Reader()
    for word in shell_words(before):
        reader.read(word)
    return reader.expects_credential_of_any_form


def may_be_glued(flag: str) -> bool:
    """Return whether a word may be a flag of one letter, followed by a credential: -pSECRET."""
    return flag[1:2] in _SHORT and role(key_words(flag[:_LONGEST_FLAG])) is Role.OTHER


class Reader:
    """A reader of words, one after the other, that removes credentials.

    Args:
        is_script: Whether the words were split by the shell's rules, and not written as a list.
    """

    def __init__(self, *, is_script: bool = False) -> None:
        self._following = _Next.ANYTHING
        self._is_script = is_script
        self._program = ""
        # Of pairs, those whose key is repeated after a credential may be a part of it.
        self._assigned: set[str] = set()
        self._is_past_assigned = False
        # What is glued to the last word is a part of the credential in it; what follows may be one.
        self._within = self._behind = self._is_positional = self._is_past_url = False

    @property
    def expects_credential(self) -> bool:
        """Whether the next word is a credential, unless it is a URL or a port."""
        return self._following is not _Next.ANYTHING or self._is_positional

    @property
    def expects_credential_of_any_form(self) -> bool:
        """Whether the next word is a credential, even if it is a URL."""
        return self._following not in {_Next.ANYTHING, _Next.CREDENTIAL_UNLESS_URL}

    def read(self, word: Word) -> str:
        """Return the word's text, or "" for a credential."""
        text, expected = word.text, self._following
        if text in SEPARATORS:
            self._following = _Next.ANYTHING
            self._program = ""
            self._assigned.clear()
            self._is_positional = self._is_past_url = self._is_past_assigned = False
            self._within = self._within and word.is_glued and text != "\n"
            self._behind = False
            return text
        if self._within and word.is_glued:
            self._behind = True
            return ""
        self._following = _Next.ANYTHING
        self._within = False
        if expected is not _Next.ANYTHING and _announces(text):
            self._following = expected
            return ""
        is_flag = text.startswith("-")
        if expected is not _Next.ANYTHING and not is_flag and not _is_harmless(text, expected):
            if expected is _Next.USER_OR_CREDENTIAL:
                self._following = _Next.CREDENTIAL
            return self._credential()
        if is_flag:
            return self._flag(text)
        if "=" in text and (assigned := _ASSIGNED.match(text)) and self._is_assigned(assigned["key"]):
            return self._credential()
        if "=" in text and announced(text) >= 0:
            # A connection string, whose parser removes its credentials.
            self._within = self._behind = self._is_script
            return text
        self._within = self._is_script and ("://" in text or text.count(":") > 1)
        return self._plain(text)

    def _is_assigned(self, key: str) -> bool:
        """Return whether a pair with this key is a credential, or may be a part of the one before it."""
        if is_credential(key):
            self._is_past_assigned = True
            return True
        if self._is_past_assigned and key in self._assigned:
            return True
        self._assigned.add(key)
        return False

    def _credential(self) -> str:
        self._within = self._behind = self._is_script
        return ""

    def _flag(self, text: str) -> str:
        self._behind = False
        flag, short = _FLAG.match(text), text[:2]
        if flag is None:
            return text
        if short == _PASSED.get(self._program):
            if len(text) > 2:
                # Of a name in full (-password) the next word is one as well.
                self._following = _Next.CREDENTIAL if is_credential(flag["key"]) else _Next.ANYTHING
                return self._credential()
            self._following = _Next.CREDENTIAL
        elif len(text) == 2:
            if short in _USER:
                self._following = _Next.CREDENTIAL_UNLESS_URL
            elif short in _PORTS:
                self._following = _Next.CREDENTIAL_UNLESS_PORT
            elif short in _DOUBTFUL and not self._program:
                self._following = _Next.CREDENTIAL
        elif is_credential(flag["key"]):
            if flag["sign"]:
                return self._credential()
            self._following = _Next.CREDENTIAL
        return text

    def _plain(self, text: str) -> str:
        if text.startswith(">"):
            return ""  # a password in Redis's rules of a user
        if self._behind and (":" in text or "@" in text) and "://" not in text:
            return ""
        if self._is_positional:
            is_place = text.startswith("http") and "://" in text and not self._is_past_url
            self._is_past_url = self._is_past_url or is_place
            return text if is_place else ""
        self._is_positional = text in _POSITIONAL
        if _announces(text):
            # AUTH password, or AUTH user password.
            self._following = _Next.USER_OR_CREDENTIAL if text.lower() == "auth" else _Next.CREDENTIAL
        elif self._program and (named := _SETTING.fullmatch(text)) and names_credential(named["last"]):
            self._following = _Next.CREDENTIAL
        elif (not self._program and text not in KEYWORDS) or base_name(text) in _PASSED:
            self._program = base_name(text)
            self._behind = False
        return text


def _announces(text: str) -> bool:
    name = text.rstrip(":=")
    return name.lower() in _ANNOUNCING or (name != text and is_credential(name))


def _is_harmless(text: str, expected: _Next) -> bool:
    if expected is _Next.CREDENTIAL_UNLESS_URL:
        return "://" in text
    return expected is _Next.CREDENTIAL_UNLESS_PORT and _PORT.fullmatch(text) is not None


def _before_at(words: Sequence[Word], texts: list[str]) -> list[str]:
    """Remove what looks like a place, and may be the beginning of a password that an "@" ends."""
    kept = list(texts)
    unclear = follows_glued = False
    for position in range(len(texts) - 1, -1, -1):
        word = words[position]
        text = word.text
        if text in SEPARATORS:
            unclear = unclear and word.is_glued and follows_glued and text != "\n"
        else:
            if unclear:
                kept[position] = ""
            if "://" in text or text.startswith("-"):
                unclear = "@" in text.partition("://")[0]
            elif "@" in text:
                unclear = True
                if word.is_glued and position and words[position - 1].is_glued:
                    kept[position] = ""
        follows_glued = word.is_glued
    return kept
