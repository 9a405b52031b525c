"""Find credentials inside a text: after a name that announces one, or before an "@".

A credential is never part of a host. It is often written without any encoding, so it may contain every delimiter of
its dialect; where that makes two readings possible, both are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from webhook.detection.parse.mentions import LONGEST_VALUE
from webhook.detection.words import names_credential

# The end of a name, its sign, and what may be between them: password=, "apiKey": , requirepass , AccountKey =.
_NAME = (
    r"(?:pass(?:words?|wd|phrase|code|wort|ord|e)?|pwd|pw|secrets?|tokens?|credentials?|auth|authorization|keys?|sig"
    r"|signature|kennwort|wachtwoord|contrasena|senha|cookie|(?<![a-z])(?:pin|psk|otp|jwt|sas|mdp|clave))"
)
_OTHERS = r"requirepass|masterauth|bearer|basic|identified (?:with \w{1,40} )?by"
_ASSIGNED = re.compile(rf"{_NAME}[\"']?\s{{0,9}}[=:]|\b(?:{_NAME}|{_OTHERS})[\"']?\s", re.IGNORECASE)
# Azure's connection strings for MongoDB end in the account's name: …&appName=@account@
_APPLICATION = re.compile(r"[?&]appname=@[\w.-]{1,100}@", re.IGNORECASE)
# What ends the part of a URL that contains its hosts.
_BEHIND_HOSTS = re.compile(r"[/?#;]")
_PARAMETERS = re.compile(r"[?#;]")
_USER = re.compile(r"[?;&](?:user(?:name)?|uid)=", re.IGNORECASE)
# JDBC's drivers that take a user only as a parameter.
_WITHOUT_USER = ("jdbc:sqlserver", "jdbc:postgresql", "jdbc:jtds:", "jdbc:db2")
# What user information contains only where it is not encoded; a key of Azure's ends in "=".
_UNCLEAR = re.compile(r"[\s/,;&?#\"'(]|=(?!=?\Z)")
# The same as the value of an attribute: name="password".
_QUOTED_NAME = re.compile(rf"{_NAME}[\"']", re.IGNORECASE)
_PLACE_FIRST = re.compile(r"[^:]*+:\d{2,5}:")
_MOST_PARTS = 2
_MOST_ITEMS = 64
_BETWEEN = " \t\"'=:><[](,\\"
_OF_A_NAME = "_.-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LONGEST_NAME = 80


def announced(text: str) -> int:
    """Return where the first credential of a text begins, or -1; a text that is too long to be read may be one."""
    return _end(_ASSIGNED.search(text)) if len(text) <= LONGEST_VALUE else 0


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else -1


def is_named(text: str, at: int) -> bool:
    """Return whether a credential's name directly precedes a position."""
    before = text[max(0, at - _LONGEST_NAME) : at].rstrip(_BETWEEN)
    name = before[len(before.rstrip(_OF_A_NAME)) :]
    return bool(name) and names_credential(name)


def in_element(text: str) -> bool:
    """Return whether an XML element names a credential in one of its attributes."""
    return text.lstrip().startswith("<") and _QUOTED_NAME.search(text) is not None


def authority(scheme: str, rest: str, behind: str, *, are_places: Callable[[str], bool]) -> str:
    """Return the hosts of a URL, or "" where a credential could be among them.

    User information ends at the last "@". An "@" after "?", "#" or ";" belongs to a parameter if a parameter before it
    is a user or a credential, or if such URLs have no user information; anywhere else it may end a password that is not
    encoded. With a separator of parameters before it ("&", ",", "="), it may as well be in one of their values.

    Args:
        scheme: The URL's scheme.
        rest: What follows "://".
        behind: What follows the URL in the same text, up to the next URL: it may be the rest of a password.
        are_places: Whether a text is hosts and ports, with commas in between.
    """
    if "@" not in rest and "@" not in behind:
        return _BEHIND_HOSTS.split(rest, maxsplit=1)[0]
    head = _PARAMETERS.split(rest, maxsplit=1)[0]
    parameters = _APPLICATION.sub("", rest[len(head) :])
    sign = parameters.find("@")
    if sign >= 0 or "@" in behind:
        named = [at for at in (announced(parameters), _end(_USER.search(parameters))) if at >= 0]
        explained = bool(named) and (sign < 0 or min(named) <= sign)
        if not explained and not (scheme.startswith(_WITHOUT_USER) and "@" not in head):
            return ""
    user, _, hosts = _with_one_user(head).rpartition("@")
    if is_mixed(user):
        return ""
    before, slash, _ = user.partition("/")
    if slash and (not before or are_places(before)):
        return ""
    return hosts.partition("/")[0]


def without_user(text: str) -> str | None:
    """Return what follows the user information of a text that is not a URL; None where that is not certain."""
    user, _, rest = _with_one_user(text).rpartition("@")
    return rest if is_user(user) else None


def _with_one_user(text: str) -> str:
    """Return a list of places that all have the same user information with that at the front only."""
    if "," not in text:
        return text
    items = [item.rpartition("@") for item in text.split(",", _MOST_ITEMS)]
    # Nothing but a list repeats the user information.
    if len({user for user, _, _ in items}) > 1:
        return text
    return items[0][0] + "@" + ",".join(rest for _, _, rest in items)


def is_mixed(user: str) -> bool:
    """Return whether the text before an "@" contains, besides slashes, what user information must encode."""
    return _UNCLEAR.search(user.replace("/", "")) is not None


def is_user(text: str) -> bool:
    """Return whether a text may be user information, and nothing but that."""
    # With more parts, it is a line of .pgpass.
    if _UNCLEAR.search(text) or text.count(":") > _MOST_PARTS or _PLACE_FIRST.match(text):
        return False
    return announced(text) < 0
