"""What one value says: the network places that it mentions, or that it is a switch or a single word.

Nothing of a value survives but hosts, ports, schemes and single words that could be a host.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from webhook.detection.parse.references import REFERENCE, Pattern

LONGEST_VALUE = 16_000
"""Characters of one value. A longer one is not read: where it is cut off, a password could look like a host."""

_LABEL = rf"(?:[A-Za-z0-9_-]|{REFERENCE})"
HOST = rf"{_LABEL}{{1,253}}(?:\.{_LABEL}{{1,253}}){{0,20}}\.?"
PORT = rf"(?:\d{{1,5}}|{REFERENCE})"
_HOST_PORT = Pattern(rf"(?P<host>{HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>{PORT})){{0,1}}(?::\d{{1,5}})?")
# Letters that names of one kind share.
_ALIKE = 3
# How Thanos, Loki and their kin say that a name is to be looked up again and again.
_DISCOVERY = re.compile(r"^dns(?:srv(?:noa)?)?\+")


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


def is_place(text: str) -> bool:
    """Whether a text is a host, with or without a port, and nothing else."""
    return _HOST_PORT.fullmatch(text) is not None


def are_alike(names: list[str]) -> bool:
    """Whether names are those of one kind of host, and not of a host, a user and a password.

    They differ in numbers or domains, or all begin or all end in the same way.
    """
    first = names[0]
    return all(
        ("." in first and "." in name) or name[:_ALIKE] == first[:_ALIKE] or name[-_ALIKE:] == first[-_ALIKE:]
        for name in names
    )


def mention_of(text: str, scheme: str, form: Form) -> Mention:
    """The place that a text is; one without a host when it is none."""
    text = _DISCOVERY.sub("", text.removeprefix("tcp(").removesuffix(")"))
    match = _HOST_PORT.fullmatch(text)
    return Mention(match["host"].strip("[]"), match["port"] or "", scheme, form) if match else Mention("")
