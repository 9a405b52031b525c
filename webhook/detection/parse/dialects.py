"""Parse connection strings that are key-value pairs, in the dialect of each library, for the places that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.core.values import Form, Mention
from webhook.detection.parse.credentials import announced
from webhook.detection.parse.mentions import HOST, PORT, mention_of
from webhook.detection.words import names_credential

# A descriptor is the whole text, or follows a name or user information.
_TNS = re.compile(r"\s*+(?:[A-Za-z][\w.]{0,60}+\s*+=\s*+)?\(\s*+(?:DESCRIPTION|ADDRESS|PROTOCOL)", re.IGNORECASE)
_TNS_HOST = re.compile(rf"\(\s*HOST\s*=\s*(?P<host>{HOST})\s*\)", re.IGNORECASE)
_TNS_PORT = re.compile(rf"\(\s*PORT\s*=\s*(?P<port>{PORT})\s*\)", re.IGNORECASE)
# Text with an unclosed quote or brace is not a value.
_NAME = re.compile(r"[^=;]*+")
_PAIR_NAME = re.compile(r"[A-Za-z_][\w .-]{0,63}+")
_VALUE = re.compile(
    r"""=\s*+(?P<value>"(?:[^"]|"")*+"|'(?:[^']|'')*+'|\{(?:[^}]|\}\})*+\}|(?!["'{])[^;]*+)\s*+(?:;|\Z)"""
)
_KEYWORD = re.compile(
    r"""\s*+(?:(?P<key>[A-Za-z_]\w{0,60}+)\s*+=\s*+(?P<value>'(?:[^'\\]|\\.)*+'|(?!')\S*+)(?=\s|\Z)|\S++)""",
    re.DOTALL,
)
_PLACES = re.compile(rf"{HOST}(?:,{HOST})*+")
_REDIS_OPTION = re.compile(
    r",\s*(?:password|ssl|abortconnect|abortonconnectfail|defaultdatabase|connecttimeout|synctimeout|allowadmin|"
    r"connectretry|user|keepalive|servicename|sslprotocols|name|channelprefix|resolvedns|asynctimeout)\s*=",
    re.IGNORECASE,
)
# Go programs' sessions and caches: addr=cache:6379,pool_size=100,db=0
_LISTED = re.compile(rf"(?:^|,)addr=(?P<place>{HOST}(?::{PORT})?),")
# PHP's data objects name their driver before the pairs: mysql:host=…;dbname=…
_PDO = re.compile(r"(?P<driver>mysql|pgsql|sqlsrv|dblib|firebird):(?=\s*[A-Za-z]+\s*=)")
_PDO_KINDS = {"mysql": "mysql", "pgsql": "postgresql", "sqlsrv": "mssql", "dblib": "mssql", "firebird": "firebird"}
_HOST_KEYS = tuple(
    "server|data source|datasource|addr|address|network address|host|hostname|servers|"
    "hosts|server name|servername|contact points|contactpoints".split("|")
)
_PLACE_KEYS = frozenset({*_HOST_KEYS, "hostaddr", "port"})
# Not credentials: a user's name is shown nowhere, and is not secret.
_HARMLESS = _PLACE_KEYS | frozenset(
    "database|initial catalog|dbname|user id|user|uid|username|driver|encrypt|ssl mode|sslmode|pooling".split("|")
)
# Azure's strings name no host but in their endpoint.
_WITH_ENDPOINT = frozenset({"accountkey", "sharedaccesskey", "sharedaccesssignature"})
_MOST_ITEMS = 64
_QUOTES = ("'", '"', "{")
# Behind the sign of a pair: its key is none of those, however it is written.
NOT_OF_A_HOST = "".join(rf"(?<!{key}=)" for key in (r"\s", *_HOST_KEYS, "hostaddr"))
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


def dialects(text: str) -> Iterator[Mention]:
    """Yield the places that a text names in one of the dialects."""
    if text.count("addr=") == 1 and (listed := _LISTED.search(text)):
        yield mention_of(listed["place"], "", Form.HOST_PORT)
    elif "(" in text and _TNS.match(text, start := text.rfind("@(") + 1):
        yield from _tns(text, start)
    elif _REDIS_OPTION.search(text):
        yield from _redis(text)
    elif pdo := _PDO.match(text):
        pairs = _told_apart(_properties(text[pdo.end() :]))
        host = pairs.get("host") or pairs.get("server") or ""
        mention = mention_of(host.replace(",", ":"), _PDO_KINDS[pdo["driver"]], Form.ADO)
        if mention.host:
            yield Mention(mention.host, mention.port or pairs.get("port", ""), mention.scheme, Form.ADO)
    elif ";" in text:
        yield from _key_value_pairs(_told_apart(_properties(text)))
    else:
        yield from _libpq(_told_apart(_keywords(text), words=True))


def _tns(text: str, start: int) -> Iterator[Mention]:
    """Yield the place of an Oracle descriptor, as far as no credential precedes it."""
    secret = announced(text)
    end = secret if secret >= 0 else len(text)
    if host := _TNS_HOST.search(text, start, end):
        port = _TNS_PORT.search(text, host.end(), end)
        yield Mention(host["host"], port["port"] if port else "", "oracle", Form.TNS)


def _redis(text: str) -> Iterator[Mention]:
    """Yield the hosts before a password; after one they could be a part of it, except for a single one with a port."""
    before: list[str] = []
    behind: list[str] = []
    places = before
    for item in text.split(",", _MOST_ITEMS):
        key, sign, _ = item.partition("=")
        if not sign:
            places.append(item.strip())
        elif names_credential(key) or announced(item) >= 0:
            places = behind
    for item in before or (behind if len(behind) == 1 else ()):
        mention = mention_of(item, "redis", Form.REDIS)
        if mention.host and (before or mention.port):
            yield mention


def _properties(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of `key=value;…`, and a pair without a key for anything else."""
    at = 0
    while at < len(text):
        name = _NAME.match(text, at)
        at = name.end() if name else len(text)
        if text[at : at + 1] != "=":
            at += 1
            if name and name[0].strip():
                yield "", ""
            continue
        value = _VALUE.match(text, at)
        if value is None:
            yield "", ""
            return
        key = name[0].strip() if name else ""
        yield key if _PAIR_NAME.fullmatch(key) else "", value["value"].strip()
        at = value.end()


def _keywords(text: str) -> Iterator[tuple[str, str]]:
    """Yield the same for `key=value key='value'`."""
    return ((pair["key"] or "", pair["value"] or "") for pair in _KEYWORD.finditer(text))


def _told_apart(pairs: Iterator[tuple[str, str]], *, words: bool = False) -> dict[str, str]:
    """Return the pairs by their keys in lower case, without credentials and what may be a part of one.

    An unquoted credential may contain any character. So after one, parsing ends at the first non-pair, and a host
    counts only where no other is named.

    Args:
        pairs: The pairs; what is not a pair has no key.
        words: Whether a non-pair may precede a credential.
    """
    found: dict[str, str] = {}
    behind: dict[str, str] = {}
    secret = doubtful = False
    for name, value in pairs:
        key = name.lower()
        if not key:
            if secret:
                break
            if not words:
                return {}
            doubtful = True
        elif key not in _HARMLESS and names_credential(key):
            secret = True
            doubtful = doubtful or key in _WITH_ENDPOINT or announced(value) >= 0
            found[key] = ""
        elif secret and key in _PLACE_KEYS:
            doubtful = doubtful or key in behind
            behind[key] = value
        elif not words and value[:1] not in _QUOTES and announced(value) >= 0:
            return {}  # pairs of another dialect, whose password contains this one's separator
        else:
            found[key] = value
    hosts = _PLACE_KEYS - {"port"}
    if doubtful or not hosts.isdisjoint(found) or len(hosts & behind.keys()) > 1:
        behind = {key: value for key, value in behind.items() if key == "port"}
    return behind | found


def _libpq(pairs: dict[str, str]) -> Iterator[Mention]:
    values = {
        key: value
        for key in ("host", "hostaddr", "port", "dbname", "user")
        if _PLACES.fullmatch(value := pairs.get(key, "").strip("'"))
    }
    host = values.get("host") or values.get("hostaddr")
    if host and len(values) > 1:
        for item in host.split(","):
            yield Mention(item, values.get("port", ""), "postgresql", Form.LIBPQ)


def _key_value_pairs(pairs: dict[str, str]) -> Iterator[Mention]:
    """Yield the places of ADO.NET, Npgsql, MySqlConnector, ODBC: `key=value;…`, the host under one of several names."""
    host = next((pairs[key] for key in _HOST_KEYS if pairs.get(key)), "")
    if not host or len(pairs) < 2:
        return
    if host[0] == "(" and _TNS.match(host):
        yield from _tns(host, 0)
        return
    kind = _dialect_kind(pairs)
    for item in host.split(",") if kind == "postgresql" else [host.replace(",", ":")]:
        mention = mention_of(item.strip().removeprefix("tcp:").partition("\\")[0].strip("/"), kind, Form.ADO)
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
