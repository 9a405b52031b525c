"""One value -> what it says: the network places that it mentions, or that it is a switch or a single word.

Nothing of a value survives but hosts, ports, schemes and single words that could be a host. User names, passwords,
paths and parameters are left behind here. Every pattern runs in time linear in the length of its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.detection.dialects import dialects
from webhook.detection.mentions import HOST, PORT, Form, Mention, Value, is_place, mention_of
from webhook.detection.references import REFERENCE, Pattern, default_of, normalised

_BARE_AUTHORITY = Pattern(rf"(?:[^\s@/]{{0,256}}@)?(?P<place>{HOST}:{PORT})(?:[/?][^\s]*)?")
_GO_DSN = re.compile(rf"(?:^|@)(?:tcp6?)\((?P<place>{HOST}(?::{PORT})?)\)|@\((?P<bare>{HOST}:{PORT})\)/")
_ORACLE_THIN = re.compile(rf"jdbc:oracle:[a-z0-9]{{1,10}}:[^@\s]{{0,256}}@(?://)?(?P<place>{HOST}(?::{PORT})?)")
# A node's number before its place, as poolers and quorums list them: 0:db-0:5432.
_NUMBERED = re.compile(r"^\d{1,3}:(?=[A-Za-z][^:]{0,253}:\d)")
# What most URLs look like: one, with one host, without user information.
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+._:-]{0,39})://([A-Za-z0-9_-]{1,253}+(?:\.[A-Za-z0-9_-]{1,253}+){0,20}+)"
    r"(?::(\d{1,5}+))?+(?:[/?#;][^@:\n]*+)?+"
)
_SCHEME_END = re.compile(r"[A-Za-z][A-Za-z0-9+._:-]{0,39}\Z")
_URL_STOP = re.compile(r"[\s\"'<>`\\|]")
# Most other values are one word, about which no dialect has to be asked.
_WORD = re.compile(r"[A-Za-z0-9_-]{1,253}")
_SEPARATORS = re.compile(r"[,;\s]+")
_ON = frozenset({"true", "yes", "on", "1", "enabled"})
_OFF = frozenset({"false", "no", "off", "0", "disabled", "null", "none", "nil", "~", ""})
_SINGLE = Pattern(rf"(?:[A-Za-z0-9_.:+\[\]-]|{REFERENCE}){{1,253}}")
_MAX_MENTIONS = 64


def read_value(text: str) -> Value:
    """Reduce one value to what it says.

    Args:
        text: The value as the container would see it, of any length.

    Returns:
        What it says. References to variables are kept unexpanded.
    """
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
    return Value(_mentions(text), word=text if len(text) <= 253 and _SINGLE.fullmatch(text) else "")


def plain_url(text: str) -> Value | None:
    """What a text says that is a URL as most are; None for any other."""
    # Nearly all texts that are none are told by this alone.
    url = _URL.fullmatch(text) if "://" in text else None
    if url is None:
        return None
    scheme, host, port = url.groups("")
    return Value((Mention(host, port, scheme.lower(), Form.URL),))


def _mentions(text: str) -> tuple[Mention, ...]:
    if (inner := default_of(text)) is not None:
        variable, default = inner
        return tuple(
            Mention(found.host, found.port, found.scheme, found.form, unless=variable) for found in _mentions(default)
        ) or (Mention(text),)
    found: list[Mention] = []
    for mention in _all_forms(text):
        if mention not in found:
            found.append(mention)
        if len(found) == _MAX_MENTIONS:
            break
    return tuple(found)


def _all_forms(text: str) -> Iterator[Mention]:
    if "://" in text:
        yield from urls(text)
        return
    if text.startswith("jdbc:") and (thin := _ORACLE_THIN.match(text)):
        yield mention_of(thin["place"], "oracle", Form.URL)
        return
    if "=" in text and (dialect := list(dialects(text))):
        yield from dialect
        return
    if "(" in text and (dsn := _GO_DSN.search(text)):
        yield mention_of(dsn["place"] or dsn["bare"], "mysql", Form.GO_DSN)
        return
    yield from _list(text)


def urls(text: str) -> Iterator[Mention]:
    """Every URL in a text, one mention for each host of a multi-host authority."""
    end = 0
    for separator in re.finditer("://", text):
        if separator.start() < end:
            continue
        scheme = _SCHEME_END.search(text, max(0, separator.start() - 40), separator.start())
        if scheme is None:
            continue
        stop = _URL_STOP.search(text, separator.end())
        end = stop.start() if stop else len(text)
        following = text.find("://", separator.end(), end)
        if following > 0 and "," in text[separator.end() : following]:
            end = text.rfind(",", separator.end(), following)
        name = scheme[0].lower().rpartition("=")[2]
        for place in _authority(text[separator.end() : end]).split(","):
            mention = mention_of(place.strip(), name, Form.URL)
            if mention.host:
                yield mention


def _authority(rest: str) -> str:
    """The hosts of what follows "://": without user information, path, parameters.

    Passwords are often not percent-encoded, so an "@" behind a "/" still ends the user information: better to
    lose a host than to take a part of a password for one.
    """
    rest = re.split(r"[?#;]", rest, maxsplit=1)[0] if "@" not in rest else rest
    if "@" in rest:
        before_query = rest.partition("?")[0]
        rest = (before_query if "@" in before_query else _unless_valid(rest)).rpartition("@")[2]
    return re.split(r"[/?#;]", rest, maxsplit=1)[0].removeprefix("(").removesuffix(")")


def _unless_valid(rest: str) -> str:
    """`rest` up to its query when that is a place by itself; else all of it, whose "@" ends a password."""
    authority = re.split(r"[/?#;]", rest, maxsplit=1)[0]
    return authority if is_place(authority) else rest


def _list(text: str) -> Iterator[Mention]:
    """Hosts with or without ports, one or several, and nothing else; at most a path or parameters behind them."""
    items = [item for item in _SEPARATORS.split(text.strip("[]"), maxsplit=_MAX_MENTIONS) if item]
    if len(items) > 1 and ":" not in text and "," not in text:
        return  # words of a sentence: several places have ports or commas
    places: list[Mention] = []
    for item in items:
        bare = _NUMBERED.sub("", item.strip("\"'"))
        authority = _BARE_AUTHORITY.fullmatch(bare) if ":" in bare else None
        mention = mention_of(authority["place"] if authority else bare, "", Form.HOST_PORT)
        if not mention.host or (mention.host.isdigit() and not mention.port):
            return
        places.append(mention if mention.port else Mention(mention.host))
    if len(places) == 1 or all(place.port for place in places) or "," in text:
        yield from places
