"""Connection strings that are pairs of keys and values, each library's in its own way -> the places that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.detection.mentions import HOST, PORT, Form, Mention, mention_of

_TNS_HOST = re.compile(rf"\(\s*HOST\s*=\s*(?P<host>{HOST})\s*\)", re.IGNORECASE)
_TNS_PORT = re.compile(rf"\(\s*PORT\s*=\s*(?P<port>{PORT})\s*\)", re.IGNORECASE)
_PAIR = re.compile(r"\s*(?P<key>[A-Za-z][A-Za-z0-9 _.-]{0,60}?)\s*=\s*(?P<value>\{[^}]{0,200}\}|[^;]*)")
_LIBPQ = re.compile(rf"(?:^|\s)(?P<key>host|hostaddr|port|dbname|user)\s*=\s*(?P<value>'?{HOST}(?:,{HOST})*'?)(?=\s|$)")
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
_HOST_KEYS = tuple("server|data source|datasource|addr|address|network address|host|hostname|servers".split("|"))
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
    """The places that a text names in one of the dialects."""
    if listed := _LISTED.search(text):
        yield mention_of(listed["place"], "", Form.HOST_PORT)
    elif tns := _TNS_HOST.search(text):
        port = _TNS_PORT.search(text)
        yield Mention(tns["host"], port["port"] if port else "", "oracle", Form.TNS)
    elif redis := _REDIS_OPTION.search(text):
        for item in text[: redis.start()].split(","):
            mention = mention_of(item.strip(), "redis", Form.REDIS)
            if mention.host:
                yield mention
    elif pdo := _PDO.match(text):
        pairs = {pair["key"].lower(): pair["value"].strip() for pair in _PAIR.finditer(text[pdo.end() :])}
        host = pairs.get("host") or pairs.get("server") or ""
        mention = mention_of(host.replace(",", ":"), _PDO_KINDS[pdo["driver"]], Form.ADO)
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
