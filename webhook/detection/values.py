"""One value -> what it says: the network places that it mentions, or that it is a switch or a single word.

Nothing of a value survives but hosts, ports, schemes and single words that could be a host. User names, passwords,
paths and parameters are left behind here. Every pattern runs in time linear in the length of its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from webhook.detection.references import REFERENCE, default_of, normalised

_LABEL = rf"(?:[A-Za-z0-9_-]|{REFERENCE})"
_HOST = rf"{_LABEL}{{1,253}}(?:\.{_LABEL}{{1,253}}){{0,20}}\.?"
_PORT = rf"(?:\d{{1,5}}|{REFERENCE})"
_HOST_PORT = re.compile(rf"(?P<host>{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>{_PORT})){{0,1}}(?::\d{{1,5}})?")
_BARE_AUTHORITY = re.compile(rf"(?:[^\s@/]{{0,256}}@)?(?P<place>{_HOST}:{_PORT})(?:[/?][^\s]*)?")
# How Thanos, Loki and their kin say that a name is to be looked up again and again.
_DISCOVERY = re.compile(r"^dns(?:srv(?:noa)?)?\+")
_GO_DSN = re.compile(rf"(?:^|@)(?:tcp6?)\((?P<place>{_HOST}(?::{_PORT})?)\)|@\((?P<bare>{_HOST}:{_PORT})\)/")
_ORACLE_THIN = re.compile(rf"jdbc:oracle:[a-z0-9]{{1,10}}:[^@\s]{{0,256}}@(?://)?(?P<place>{_HOST}(?::{_PORT})?)")
_TNS_HOST = re.compile(rf"\(\s*HOST\s*=\s*(?P<host>{_HOST})\s*\)", re.IGNORECASE)
_TNS_PORT = re.compile(rf"\(\s*PORT\s*=\s*(?P<port>{_PORT})\s*\)", re.IGNORECASE)
# A node's number before its place, as poolers and quorums list them: 0:db-0:5432.
_NUMBERED = re.compile(r"^\d{1,3}:(?=[A-Za-z][^:]{0,253}:\d)")
_SCHEME_END = re.compile(r"[A-Za-z][A-Za-z0-9+._:-]{0,39}\Z")
_URL_STOP = re.compile(r"[\s\"'<>`\\|]")
# Most values are one word, about which no dialect has to be asked.
_WORD = re.compile(r"[A-Za-z0-9_-]{1,253}")
_SEPARATORS = re.compile(r"[,;\s]+")
_ON = frozenset({"true", "yes", "on", "1", "enabled"})
_OFF = frozenset({"false", "no", "off", "0", "disabled", "null", "none", "nil", "~", ""})
_MAX_MENTIONS = 64


class Form(StrEnum):
    """How a value names a place."""

    URL = "URL"
    ADO = "connection string"
    LIBPQ = "libpq connection string"
    GO_DSN = "Go DSN"
    TNS = "TNS descriptor"
    REDIS = "StackExchange.Redis string"
    HOST_PORT = "host:port"
    BARE = "host"


class Mention(Struct, frozen=True, array_like=True, gc=False):
    """A network place that a value names.

    Attributes:
        host: The host; references to variables stand in it as ${NAME} or ${NAME:-default}.
        port: Digits, a reference, or "" when none is given.
        scheme: The URL's scheme in lower case; for dialects the kind that the dialect belongs to; else "".
        form: How it was written.
        unless: A variable that, when it is set, replaces the text that the mention comes from.
    """

    host: str
    port: str = ""
    scheme: str = ""
    form: Form = Form.BARE
    unless: str = ""


class Value(Struct, frozen=True, array_like=True, gc=False):
    """What one value says.

    Attributes:
        mentions: The places it names.
        switch: True or False for a value that only switches something; empty values switch off.
        word: The value itself where it is a single word that could be a host, a port or a technology; else "".
        readable: False for a value that may not be read or is not there.
    """

    mentions: tuple[Mention, ...] = ()
    switch: bool | None = None
    word: str = ""
    readable: bool = True


UNREADABLE = Value(readable=False)
_SINGLE = re.compile(rf"(?:[A-Za-z0-9_.:+\[\]-]|{REFERENCE}){{1,253}}")


def read_value(text: str) -> Value:
    """Reduce one value to what it says.

    Args:
        text: The value as the container would see it, of any length.

    Returns:
        What it says. References to variables are kept unexpanded.
    """
    text = normalised(text.strip().strip("\"'").strip())
    folded = text.lower() if len(text) <= 8 else ""
    if folded in _OFF and len(text) <= 8:
        return Value(switch=False, word=text if text == "0" else "")
    if folded in _ON:
        return Value(switch=True, word=text if text == "1" else "")
    if _WORD.fullmatch(text):
        return Value(() if text.isdigit() else (Mention(text),), word=text)
    return Value(_mentions(text), word=text if len(text) <= 253 and _SINGLE.fullmatch(text) else "")


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
        yield _place(thin["place"], "oracle", Form.URL)
        return
    if "=" in text and (dialect := list(_dialects(text))):
        yield from dialect
        return
    if "(" in text and (dsn := _GO_DSN.search(text)):
        yield _place(dsn["place"] or dsn["bare"], "mysql", Form.GO_DSN)
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
            mention = _place(place.strip(), name, Form.URL)
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
    return authority if _HOST_PORT.fullmatch(authority) else rest


def _place(text: str, scheme: str, form: Form) -> Mention:
    text = _DISCOVERY.sub("", text.removeprefix("tcp(").removesuffix(")"))
    match = _HOST_PORT.fullmatch(text)
    return Mention(match["host"].strip("[]"), match["port"] or "", scheme, form) if match else Mention("")


def _list(text: str) -> Iterator[Mention]:
    """Hosts with or without ports, one or several, and nothing else; at most a path or parameters behind them."""
    items = [item for item in _SEPARATORS.split(text.strip("[]"), maxsplit=_MAX_MENTIONS) if item]
    if len(items) > 1 and ":" not in text and "," not in text:
        return  # words of a sentence: several places have ports or commas
    places: list[Mention] = []
    for item in items:
        bare = _NUMBERED.sub("", item.strip("\"'"))
        authority = _BARE_AUTHORITY.fullmatch(bare)
        mention = _place(authority["place"] if authority else bare, "", Form.HOST_PORT)
        if not mention.host or (mention.host.isdigit() and not mention.port):
            return
        places.append(mention if mention.port else Mention(mention.host))
    if len(places) == 1 or all(place.port for place in places) or "," in text:
        yield from places


_PAIR = re.compile(r"\s*(?P<key>[A-Za-z][A-Za-z0-9 _.-]{0,60}?)\s*=\s*(?P<value>\{[^}]{0,200}\}|[^;]*)")
_LIBPQ = re.compile(
    rf"(?:^|\s)(?P<key>host|hostaddr|port|dbname|user)\s*=\s*(?P<value>'?{_HOST}(?:,{_HOST})*'?)(?=\s|$)"
)
_REDIS_OPTION = re.compile(
    r",\s*(?:password|ssl|abortconnect|abortonconnectfail|defaultdatabase|connecttimeout|synctimeout|allowadmin|"
    r"connectretry|user|keepalive|servicename|sslprotocols|name|channelprefix|resolvedns|asynctimeout)\s*=",
    re.IGNORECASE,
)
# Go programs' sessions and caches: addr=cache:6379,pool_size=100,db=0
_LISTED = re.compile(rf"(?:^|,)addr=(?P<place>{_HOST}(?::{_PORT})?),")
# PHP's data objects name their driver before the pairs: mysql:host=…;dbname=…
_PDO = re.compile(r"(?P<driver>mysql|pgsql|sqlsrv|dblib|firebird):(?=\s*[A-Za-z]+\s*=)")
_PDO_KINDS = {"mysql": "mysql", "pgsql": "postgresql", "sqlsrv": "mssql", "dblib": "mssql", "firebird": "firebird"}
_HOST_KEYS = tuple("server|data source|datasource|addr|address|network address|host|hostname|servers".split("|"))
_DATABASE_FILES = (".db", ".sqlite", ".sqlite3", ".sdf", ".mdb")
_MSSQL_KEYS = frozenset(
    {
        "initial catalog",
        "integrated security",
        "trusted_connection",
        "trustservercertificate",
        "multipleactiveresultsets",
    }
)
_MYSQL_KEYS = frozenset(
    {"allowuservariables", "allowpublickeyretrieval", "sslmode", "treattinyasboolean", "convertzerodatetime", "charset"}
)


def _dialects(text: str) -> Iterator[Mention]:
    if listed := _LISTED.search(text):
        yield _place(listed["place"], "", Form.HOST_PORT)
    elif tns := _TNS_HOST.search(text):
        port = _TNS_PORT.search(text)
        yield Mention(tns["host"], port["port"] if port else "", "oracle", Form.TNS)
    elif redis := _REDIS_OPTION.search(text):
        for item in text[: redis.start()].split(","):
            mention = _place(item.strip(), "redis", Form.REDIS)
            if mention.host:
                yield mention
    elif pdo := _PDO.match(text):
        pairs = {pair["key"].lower(): pair["value"].strip() for pair in _PAIR.finditer(text[pdo.end() :])}
        host = pairs.get("host") or pairs.get("server") or ""
        mention = _place(host.replace(",", ":"), _PDO_KINDS[pdo["driver"]], Form.ADO)
        if mention.host:
            yield Mention(mention.host, mention.port or pairs.get("port", ""), mention.scheme, Form.ADO)
    elif ";" in text:
        yield from _key_value_pairs({pair["key"].lower(): pair["value"].strip() for pair in _PAIR.finditer(text)})
    else:
        yield from _libpq(text)


def _libpq(text: str) -> Iterator[Mention]:
    pairs = {pair["key"]: pair["value"].strip("'") for pair in _LIBPQ.finditer(text)}
    host = pairs.get("host") or pairs.get("hostaddr")
    if host and len(pairs) > 1:
        for item in host.split(","):
            yield Mention(item, pairs.get("port", ""), "postgresql", Form.LIBPQ)


def _key_value_pairs(pairs: dict[str, str]) -> Iterator[Mention]:
    """ADO.NET, Npgsql, MySqlConnector, ODBC: `key=value;…` with the host under one of several names."""
    host = next((pairs[key] for key in _HOST_KEYS if pairs.get(key)), "")
    if not host or len(pairs) < 2:
        return
    kind = _dialect_kind(pairs)
    for item in host.split(",") if kind == "postgresql" else [host.replace(",", ":")]:
        mention = _place(item.strip().removeprefix("tcp:").partition("\\")[0].strip("/"), kind, Form.ADO)
        if mention.host and not mention.host.endswith(_DATABASE_FILES):
            yield Mention(mention.host, mention.port or pairs.get("port", ""), kind, Form.ADO)


def _dialect_kind(pairs: dict[str, str]) -> str:
    driver = pairs.get("driver", "").lower()
    for word, kind in (
        ("sql server", "mssql"),
        ("tds", "mssql"),
        ("postgres", "postgresql"),
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
        ("oracle", "oracle"),
    ):
        if word in driver:
            return kind
    if _MSSQL_KEYS & pairs.keys():
        return "mssql"
    if pairs.get("port") == "3306" or (_MYSQL_KEYS & pairs.keys() and "server" in pairs):
        return "mysql"
    if "host" in pairs and pairs.keys() & {"database", "port", "searchpath", "sslmode", "pooling"}:
        return "postgresql"
    if "virtualhost" in pairs or "prefetchcount" in pairs or "publisherconfirms" in pairs:
        return "rabbitmq"
    if "host" in pairs:
        return ""
    return "mssql" if pairs.keys() & {"database", "user id", "uid", "user"} else ""
