"""Split keys into words, and classify their values: a location, a port, a switch, a credential.

Everything compares whole words, so POSTGRES_HOST does not contain "es host" and ksql is not sql.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

LONGEST_NAME = 253
"""Characters of a name that are read, its last: no name in Kubernetes has more."""
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

_TOGETHER = re.compile(
    "(pg|db|sql|mq|redis|mysql|mongo|mongodb|postgres|kafka|rabbitmq|amqp|smtp|mail|ldap|nats|memcached|cache|zk|es)"
    "(hosts?|port|ur[li]|dsn|servers?|user|password|database|config|settings|nodes|brokers?|addr|address|endpoint)"
)
_LOCATION = frozenset(
    "host hosts hostname hostnames server servers address addresses addr addrs endpoint endpoints url urls uri uris "
    "dsn connection connections conn service svc broker brokers bootstrap node nodes seed seeds ip ips fqdn location "
    "datasource jdbc connect quorum primary master leader writer reader replica replicas slave sentinel sentinels "
    "upstream contactpoints connectionstring connstr connectionuri connectionurl dns bootstrapservers "
    "brokerlist hostport ensemble".split()
)
_LOCATION_PAIRS = frozenset(
    {
        ("connection", "string"),
        ("connection", "strings"),
        ("conn", "string"),
        ("conn", "str"),
        ("contact", "points"),
        ("contact", "point"),
        ("host", "name"),
        ("host", "names"),
        ("server", "name"),
        ("redis", "configuration"),
        ("data", "source"),
        ("broker", "list"),
        ("data", "sourcename"),
    }
)
# Which of several, and not where: a wallet has a seed, and a replica a password.
_WHICH = frozenset("seed seeds primary master leader writer reader replica replicas slave node".split())
_PORT = frozenset({"port", "ports"})
# DATABASE_PORT_NUMBER in images that are configured by environment, port_value in proxies.
_PORT_PAIRS = frozenset({("port", "number"), ("port", "value")})
_CHOICE = frozenset(
    "driver type provider engine backend adapter dialect client kind flavor flavour vendor protocol implementation "
    "driverclassname dbtype mailer".split()
)
_PROVIDER = _CHOICE | frozenset("store storage broker connection transport platform db database mode name".split())
_SWITCH = frozenset("enabled enable disabled disable use".split())
# What they name is one text, and never a map.
_ONE_TEXT = frozenset("password passwd passwrd passw pass pwd psw pw pswd pword passphrase passcode".split())
_ONE_TEXTS = frozenset((word,) for word in _ONE_TEXT)
_PASSWORD = _ONE_TEXT | frozenset(
    "passwords secret secrets token tokens "
    "credential credentials cred creds "
    "apikey key keys auth sig signature sas salt pepper bearer authorization cookie cookies privatekey psk pin otp "
    "totp jwt hmac jaas userinfo nkeys license licence "
    # The same in other languages; of what is not ASCII, the part that is.
    "kennwort passwort kennwoerter passwoerter geheimnis schluessel passe motdepasse mdp contrasena contrasenya "
    "contrase clave secreto senha segredo chave parola segreto wachtwoord haslo heslo geslo lozinka sifre parol parool "
    "jelszo losenord senord passord kodeord adgangskode salasana katasandi".split()
)
_CREDENTIAL = _PASSWORD | frozenset("username user users login pat".split())
# Suffixes of a word that mark a credential: SSHPASS, requirepass, masterauth, sharedaccesskey.
_PASSWORD_ENDINGS = (
    *("password", "passwd", "pass", "pwd", "secret", "token", "key", "auth", "cookie", "passphrase", "credentials"),
    *("kennwort", "passwort", "wachtwoord"),
)
# Maps of these are not credentials, but may have credentials as keys.
_ACCOUNT = "account"
_ANNOUNCING = {*_CREDENTIAL, *_PASSWORD_ENDINGS, _ACCOUNT}
may_announce = re.compile(
    "|".join(sorted(word for word in _ANNOUNCING if not any(part in word for part in _ANNOUNCING - {word})))
).search
"""A fast pre-check: every key that announces a credential, in lower case, matches it."""
# Words of keys whose addresses are not connection targets: listen, advertise and no-proxy addresses.
_ASIDE = frozenset(
    "no noproxy advertised listener listeners bind listen allowed origins cors callback redirect issuer audience "
    "whitelist allowlist".split()
)
_NO_LOCATION = _ASIDE | {"prefix", "path", "from", "sender", "max", "min", "limit", "count", "timeout"}
# The words of a key whose value switches TLS: a subject before them, words that only say that it is a switch behind.
_ENCRYPTING = frozenset("ssl tls sslmode tlsmode usessl usetls enablessl enabletls encrypt encryption secure".split())
_SECURITY_PROTOCOL = ("security", "protocol")
_BESIDE_ENCRYPTING = frozenset("use is enable enabled mode require required".split())
STRUCTURE = frozenset().union(
    *(_LOCATION, _PORT, _PROVIDER, _SWITCH, _CREDENTIAL, _NO_LOCATION, *_LOCATION_PAIRS, *_PORT_PAIRS)
)
"""All words that classify a value."""


class Role(Enum):
    """The kind of value that a key announces."""

    LOCATION = "location"
    PORT = "port"
    PROVIDER = "provider"
    SWITCH = "switch"
    CREDENTIAL = "credential"
    OTHER = "other"


def words(text: str) -> tuple[str, ...]:
    """Return a key, host or driver name as lower-case words: EventBusConnection and event_bus.connection are the same.

    Of a text longer than any name, only the end is read.
    """
    return tuple(part for word in _WORD.findall(text[-LONGEST_NAME:]) for part in _apart(word.lower()))


@lru_cache(maxsize=8192)
def key_words(key: str) -> tuple[str, ...]:
    """Return `words` of a key, cached, since keys repeat from pod to pod. Never call it with a value."""
    return words(key)


def _apart(word: str) -> tuple[str, ...]:
    """Split a word that is two written as one, such as PGHOST and dbhost."""
    together = _TOGETHER.fullmatch(word)
    return (together[1], together[2]) if together else (word,)


def _role(tokens: tuple[str, ...]) -> Role:
    tokens = _without_number(tokens)
    if not tokens:
        return Role.OTHER
    if tokens[-1] in _CREDENTIAL or tokens[-1].endswith(_PASSWORD_ENDINGS):
        return Role.CREDENTIAL
    if tokens[-1] in _PORT or tokens[-2:] in _PORT_PAIRS:
        return Role.PORT
    if tokens[-1] in _SWITCH or tokens[0] in _SWITCH:
        return Role.SWITCH
    if tokens[-1] in _WHICH and _is_password_of_one(tokens):
        return Role.CREDENTIAL
    if tokens[-1] in _LOCATION or tokens[-2:] in _LOCATION_PAIRS:
        return Role.OTHER if _NO_LOCATION.intersection(tokens) else Role.LOCATION
    if tokens[-1] in _PROVIDER:
        return Role.PROVIDER
    return Role.CREDENTIAL if not _PASSWORD.isdisjoint(tokens) else Role.OTHER


@lru_cache(maxsize=8192)
def role(tokens: tuple[str, ...]) -> Role:
    """Return the kind of value that the last words of a key announce."""
    return _role(tokens)


@lru_cache(maxsize=8192)
def is_credential(key: str) -> bool:
    """Return whether a key announces a credential; cached, so never call it with a value."""
    return role(key_words(key)) is Role.CREDENTIAL


def _is_password_of_one(tokens: tuple[str, ...]) -> bool:
    """Return whether a credential precedes the words that only select one of several: REDIS_PASSWORD_MASTER."""
    before = next((word for word in reversed(tokens) if word not in _WHICH), "")
    return before in _PASSWORD or before.endswith(_PASSWORD_ENDINGS)


def says_where(tokens: tuple[str, ...]) -> bool:
    """Return whether the last word of a place's key is about a place, whatever the others are."""
    tokens = _without_number(tokens)
    return bool(tokens) and tokens[-1] not in _WHICH


def names_credential(text: str) -> bool:
    """Return the same for a name from a value, without caching."""
    return _role(words(text)) is Role.CREDENTIAL


def announces_credentials(tokens: tuple[str, ...]) -> bool:
    """Return whether a map under a key of these words may have credentials or users for keys; not cached."""
    if not tokens:
        return False
    single = tokens[-1].removesuffix("s")
    return single == _ACCOUNT or Role.CREDENTIAL in {_role(tokens), _role((single,))}


def holds_credential(path: tuple[str, ...]) -> bool:
    """Return whether the value under these keys is a credential: by the last key, or as a part of a credential.

    A value below a credential is one as well (`secrets.redis`), unless its own key announces something else
    (`credentials.host`); below a password no key does, for what looks like one is the password's next line.
    """
    if not path or is_credential(path[-1]):
        return bool(path)
    above = path[:-1]
    if not any(map(is_credential, above)):
        return False
    return role(key_words(path[-1])) is Role.OTHER or any(key_words(key)[-1:] in _ONE_TEXTS for key in above)


def is_aside(tokens: tuple[str, ...]) -> bool:
    """Return whether the key names a listen, advertise or no-proxy address, not a connection target."""
    return bool(_ASIDE.intersection(tokens))


def may_be_provider(tokens: tuple[str, ...]) -> bool:
    """Return whether the value may name a technology: "connection" and "broker" are both locations and choices."""
    return bool(tokens) and tokens[-1] in _PROVIDER


def subject(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a key is about: its words without those that only classify its value (DB_HOST_PORT -> db)."""
    tokens = _without_number(tokens)
    while tokens and (tokens[-1] in _LOCATION or tokens[-1] in _PORT or tokens[-1] in _CHOICE or tokens[-1] == "name"):
        if tokens[-2:] in _LOCATION_PAIRS:
            tokens = tokens[:-1]
        tokens = tokens[:-1]
    return subject(tokens[:-2]) if tokens[-2:] in _PORT_PAIRS else tokens


def switched(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a switch is about: REDIS_ENABLED, ENABLE_REDIS and USE_REDIS all switch "redis"."""
    return tuple(word for word in tokens if word not in _SWITCH)


def encrypted_subject(tokens: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return what a key switches TLS for: ("redis",) of REDIS_USE_TLS; None for the keys of anything else."""
    end = len(tokens)
    while end and tokens[end - 1] in _BESIDE_ENCRYPTING:
        end -= 1
    if end and tokens[end - 1] in _ENCRYPTING:
        end -= 1
    elif tokens[-2:] == _SECURITY_PROTOCOL:
        # The term is Kafka's own, and its clients' files name it nowhere else.
        return tokens[:-2] or ("kafka",)
    else:
        return None
    while end and tokens[end - 1] in _BESIDE_ENCRYPTING:
        end -= 1
    return tokens[:end]


def _without_number(tokens: tuple[str, ...]) -> tuple[str, ...]:
    end = len(tokens)
    while end and tokens[end - 1].isdigit():
        end -= 1
    return tokens[:end]
