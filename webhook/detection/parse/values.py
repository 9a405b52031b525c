"""Parse one value: the network places that it mentions, or a switch, or a single word.

Nothing of a value survives but hosts, ports, schemes and single words that could be a host. User names, passwords,
paths and parameters are dropped here. Every parser takes time linear in the length of its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from webhook.core.values import Form, Mention, Value, are_alike
from webhook.detection.parse.credentials import announced, authority, is_mixed, is_named, is_user, without_user
from webhook.detection.parse.dialects import dialects
from webhook.detection.parse.encryption import tls_in
from webhook.detection.parse.mentions import HOST, LONGEST_VALUE, PORT, is_place, mention_of
from webhook.detection.parse.passwords import is_passed
from webhook.detection.parse.references import REFERENCE, Pattern, default_of, normalised
from webhook.detection.words import names_credential

_AUTHORITY = Pattern(rf"(?P<place>{HOST}:{PORT})(?:[/?][^\s]*+)?+")
_GO_DSN = re.compile(rf"(?:tcp6?\((?P<place>{HOST}(?::{PORT})?)\)|(?<=@)\((?P<bare>{HOST}:{PORT})\))(?:/|\Z)")
_ORACLE_THIN = re.compile(r"jdbc:oracle:[a-z0-9]{1,10}:(?P<user>[^@]*+)@(?P<rest>.*+)", re.DOTALL)
_ORACLE_PLACE = re.compile(rf"(?://)?(?P<place>{HOST}(?::{PORT})?)")
# A node's number before its place, as poolers and quorums list them: 0:db-0:5432.
_NUMBERED = re.compile(r"^\d{1,3}:(?=[A-Za-z][^:]{0,253}:\d)")
# What may precede a scheme as its driver. Anything else could be the beginning of user:password.
_DRIVERS = (
    r"(?i:jdbc|r2dbc|log4jdbc|odbc|jtds|oracle|dbi|pdo|vertx-reactive|failover|static|discovery|masterslave|fanout)"
)
# What most URLs look like: one, with one host, and user information without delimiters.
_URL = re.compile(
    rf"((?:{_DRIVERS}:(?:[A-Za-z][A-Za-z0-9+._-]{{0,39}}+:){{0,2}})?+[A-Za-z][A-Za-z0-9+._-]{{0,39}}+)://"
    r"(?:[^\s\"'<>`\\|@/?#;,&=(]{1,500}+={0,2}+@)?+"
    r"([A-Za-z0-9_-]{1,253}+(?:\.[A-Za-z0-9_-]{1,253}+){0,20}+)"
    r"(?::(\d{1,5}+))?+(?:[/?#;][^@:\n]*+)?+"
)
_SIGNS = "0123456789+._:-"
_OF_A_SCHEME = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + _SIGNS
_LONGEST_SCHEME = 40
_DRIVEN = re.compile(rf"{_DRIVERS}:(?:[A-Za-z]|\Z)")
# What separates the URLs of a list, and maybe a key of the next one's own.
_BETWEEN = " \t\r\n,;|\"'`"
_SEPARATED = re.compile(rf"[{_BETWEEN}](?:[\w.-]+=)?[\"'(\[]?\Z")
_BEFORE = re.compile(
    rf"(?:[\w.-]{{1,80}}+=[^:,;|@/]*+[,;])*+[^:,;|@]*+(?:(?<=[\w\"'}}\])])[:=]>?+\s*+[\"'\[({{<]*+|{_DRIVERS}:\()?+"
)
_URL_STOP = re.compile(r"[\s\"'<>`\\|]")
# Of a password in one, each line or word could look like a setting.
_BEGINS_VALUE = re.compile(
    r"\s{0,9}(?:[A-Za-z][\w+.-]{0,40}+:){1,4}+//|(?:[A-Za-z][\w .-]{0,40}=[^;=\n]{0,200};){1,20}[A-Za-z][\w .-]{0,40}="
)
_BEGINS_URL = re.compile(r"(?:[\w.-]{1,80}+=)?+[\"']?(?:[A-Za-z][\w+.-]{0,40}+:){1,4}+//")
# Most other values are one word, for which no dialect has to be tried.
_WORD = re.compile(r"[A-Za-z0-9_-]{1,253}")
_SENTENCE = re.compile(r"[^,;\s]\s+[^,;\s]")
_SEPARATORS = re.compile(r"[,;\s]+")
_ON = frozenset({"true", "yes", "on", "1", "enabled"})
_OFF = frozenset({"false", "no", "off", "0", "disabled", "null", "none", "nil", "~", ""})
_SINGLE = Pattern(rf"(?:[A-Za-z0-9_.:+\[\]-]|{REFERENCE}){{1,253}}")
MOST_MENTIONS = 64


def read_value(text: str) -> Value:
    """Parse one value.

    Args:
        text: The value as the container would see it, of any length; a longer one than `LONGEST_VALUE` is not read.

    Returns:
        The parsed value, with at most `MOST_MENTIONS` places. References to variables are kept unexpanded.
    """
    if len(text) > LONGEST_VALUE:
        return Value()
    text = normalised(text.strip().strip("\"'").strip())
    if (url := plain_url(text)) is not None:
        return url
    if len(text) <= 8:
        folded = text.lower()
        if folded in _OFF:
            return Value(switch=False, word=text if text == "0" else "")
        if folded in _ON:
            return Value(switch=True, word=text if text == "1" else "")
    if _WORD.fullmatch(text):
        return Value(() if text.isdigit() else (Mention(text),), word=text)
    mentions = _mentions(text)
    if mentions and (tls := tls_in(text)) is not None:
        mentions = tuple(replace(mention, tls=tls) for mention in mentions)
    return Value(mentions, word=text if len(text) <= 253 and _SINGLE.fullmatch(text) else "")


def begins_value(text: str) -> bool:
    """Return whether a text of several words or lines is one value: a URL, or pairs with a credential among them."""
    value = _BEGINS_VALUE.match(text) if len(text) <= LONGEST_VALUE else None
    return value is not None and ("=" not in value[0] or announced(text) >= 0)


def is_cut(text: str, value: Value) -> bool:
    """Return whether a value may contain more than was read of it."""
    too_long = len(text) > LONGEST_VALUE and (":" in text or "," in text)
    return too_long or len(value.mentions) >= MOST_MENTIONS or text.count("://", 0, LONGEST_VALUE) > MOST_MENTIONS


def plain_url(text: str) -> Value | None:
    """Parse a text that is a URL of the usual form; return None for any other."""
    # This alone rules out nearly all texts that are none.
    url = _URL.fullmatch(text) if "://" in text else None
    if url is None:
        return None
    scheme, host, port = url.groups("")
    tls = tls_in(text) if "=" in text else None
    return Value((Mention(host, port, scheme.lower(), Form.URL, tls=tls),))


def _mentions(text: str) -> tuple[Mention, ...]:
    if (inner := default_of(text)) is not None:
        variable, default = inner
        if names_credential(variable):
            return ()
        return tuple(
            Mention(found.host, found.port, found.scheme, found.form, unless=variable) for found in _mentions(default)
        ) or (Mention("${" + variable + "}"),)
    return tuple(dict.fromkeys(islice(_all_forms(text), MOST_MENTIONS)))


def _all_forms(text: str) -> Iterator[Mention]:
    if text.startswith("jdbc:oracle:") and (thin := _ORACLE_THIN.match(text)):
        yield from _oracle(thin["user"], thin["rest"])
        return
    if "://" in text and (found := list(urls(text))):
        yield from found
        return
    if "(" in text and (dsn := _GO_DSN.match(text, text.rfind("@") + 1)):
        if is_user(text[: max(0, dsn.start() - 1)]):
            yield mention_of(dsn["place"] or dsn["bare"], "mysql", Form.GO_DSN)
        return
    if "@" in text and _BEGINS_URL.match(text):
        return  # what looks like pairs may be a part of the URL's password
    if "=" in text and (dialect := list(dialects(text))):
        yield from dialect
        return
    if "://" not in text:
        yield from _list(text)


def _oracle(user: str, rest: str) -> Iterator[Mention]:
    """Yield the place of Oracle's thin driver, after the last "@"; a descriptor in parentheses is a dialect."""
    if user:
        inner, _, rest = rest.rpartition("@")
        if "?" in user or ";" in user or is_mixed(inner):
            return
    if place := _ORACLE_PLACE.match(rest):
        yield mention_of(place["place"], "oracle", Form.URL)
    else:
        yield from dialects(rest)


class _Url(NamedTuple):
    """A URL in a text: its scheme, where that begins, and the text between "://" and the next URL."""

    scheme: str
    start: int
    text: str


def urls(text: str) -> Iterator[Mention]:
    """Yield every URL in a text, one mention for each host of a multi-host authority."""
    credential = announced(text) if "://" in text else -1
    found = list(islice(_found(text), MOST_MENTIONS))
    if not found or not _may_precede(text[: found[0].start]):
        return
    if credential >= 0:
        found = [url for url in found if url.start < credential]
    found = [url for url in found if not is_named(text, url.start) and not is_passed(text[: url.start])]
    users: set[tuple[str, str]] = set()
    places: list[tuple[str, str]] = []
    for url in reversed(found):
        user, at, _ = url.text.rpartition("@")
        # What precedes a URL with user information is one of the same kind and user, or a part of its password.
        mixed = bool(users) and users != {(url.scheme, user if at else "@")}
        if at:
            users.add((url.scheme, user))
        stop = _URL_STOP.search(url.text)
        end = stop.start() if stop else len(url.text)
        hosts = "" if mixed else authority(url.scheme, url.text[:end], url.text[end:], are_places=_are_places)
        places.append((url.scheme, hosts))
    for scheme, hosts in reversed(places):
        if scheme:
            yield from _in_authority(scheme, hosts)


def _in_authority(scheme: str, hosts: str) -> Iterator[Mention]:
    """Yield the hosts of one URL; only the first where the others may be a user and a password."""
    found: list[Mention] = []
    for place in hosts.removeprefix("(").removesuffix(")").split(",", MOST_MENTIONS):
        mention = mention_of(place.strip(), scheme, Form.URL)
        if "=" in place or not mention.host:
            break
        found.append(mention)
    are_hosts = all(mention.port for mention in found) or are_alike([mention.host for mention in found])
    yield from found if are_hosts else found[:1]


def _found(text: str) -> Iterator[_Url]:
    """Yield the URLs of a text. One begins after a separator; anywhere else it is a part of the one before."""
    scheme, start, behind = "", -1, 0
    for sign in re.finditer("://", text):
        at, after = sign.span()
        # Without a scheme it is not a URL, nor is anything in it.
        following = _scheme(text[max(behind, at - _LONGEST_SCHEME) : at])
        begins = at - len(following)
        separator = _SEPARATED.search(text, max(behind, begins - _LONGEST_SCHEME), begins) if start >= 0 else None
        if start >= 0 and (separator is None or not following):
            continue
        if separator is not None:
            yield _Url(scheme, start, text[behind : separator.start()].rstrip(_BETWEEN))
        scheme, start, behind = following.lower(), begins, after
    if start >= 0:
        yield _Url(scheme, start, text[behind:])


def _scheme(before: str) -> str:
    """Return the scheme at the end of a text, with the drivers before it (jdbc:mysql)."""
    scheme = before[len(before.rstrip(_OF_A_SCHEME)) :].lstrip(_SIGNS)
    return "" if ":" in scheme and not _DRIVEN.match(scheme) else scheme


def _may_precede(text: str) -> bool:
    """Return whether a text before a URL is words, keys or what opens a list, and no list that a password may end."""
    return not text or (_BEFORE.fullmatch(text) is not None and ("/" not in text or text[-1].isspace()))


def _are_places(text: str) -> bool:
    return all(is_place(item) for item in text.split(",", MOST_MENTIONS))


def _list(text: str) -> Iterator[Mention]:
    """Yield hosts with or without ports, of a text of nothing else, but for a path or parameters after them."""
    text = text.strip("[]")
    has_user = "@" in text
    if has_user:
        behind = without_user(text)
        if behind is None:
            return
        text = behind
    items = [item for item in _SEPARATORS.split(text, maxsplit=MOST_MENTIONS)[:MOST_MENTIONS] if item]
    if len(items) > 1 and _is_sentence(text, items):
        return  # words of a sentence: several places have ports or commas
    places: list[Mention] = []
    for item in items:
        bare = _NUMBERED.sub("", item.strip("\"'"))
        authority_ = _AUTHORITY.fullmatch(bare) if ":" in bare else None
        mention = mention_of(authority_["place"] if authority_ else bare, "", Form.HOST_PORT)
        if not mention.host or (not mention.port and (has_user or mention.host.isdigit())):
            return
        places.append(mention if mention.port else Mention(mention.host))
    with_port = sum(1 for place in places if place.port)
    if with_port in {0, len(places)} or are_alike([place.host for place in places]):
        yield from places if "," in text or len(places) in {1, with_port} else ()


def _is_sentence(text: str, items: list[str]) -> bool:
    if ":" not in text and "," not in text:
        return True
    return announced(text) >= 0 or (_SENTENCE.search(text) is not None and not all(":" in item for item in items))
