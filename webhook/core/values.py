"""What parsed texts contain: the network places that they mention, setting by setting.

Nothing of a text survives but hosts, ports, schemes and single words that could be a host.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

# Letters that names of one kind share.
_ALIKE = 3


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


class Tls(StrEnum):
    """What settings say of TLS on a connection."""

    OFF = "off"
    ON = "on"
    """There is TLS, from the beginning or behind the protocol's own first bytes, as is usual for the backend."""
    DIRECT = "direct"
    """There is TLS from the beginning, though the backend's protocol usually negotiates it."""
    UNKNOWN = "unknown"
    """A setting decides it that could not be read."""


class Mention(Struct, frozen=True, array_like=True, gc=False):
    """A network place that a value names.

    Attributes:
        host: The host; references to variables are written as ${NAME} or ${NAME:-default}.
        port: Digits, a reference, or "" when none is given.
        scheme: The URL's scheme in lower case; for dialects the kind that the dialect belongs to; else "".
        form: How it was written.
        unless: A variable that, when it is set, replaces the text that the mention comes from.
        tls: What the value says of TLS, apart from its scheme; None when it says nothing.
    """

    host: str
    port: str = ""
    scheme: str = ""
    form: Form = Form.BARE
    unless: str = ""
    tls: Tls | None = None


class Value(Struct, frozen=True, array_like=True, gc=False):
    """The parsed content of one value.

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


class Line(Struct, frozen=True, array_like=True, gc=False):
    """One setting.

    Attributes:
        path: The keys that lead to it, outermost first; empty for a value without a key.
        value: The parsed value.
    """

    path: tuple[str, ...]
    value: Value


class Content(Struct, frozen=True, array_like=True, gc=False):
    """The shape of one key's text; the text itself is not stored.

    Attributes:
        value: Its content as the value of an environment variable.
        lines: Its content as a mounted file, setting by setting; empty for a single value.
        cut: Whether it was truncated, because it exceeds a limit.
    """

    value: Value
    lines: tuple[Line, ...] = ()
    cut: bool = False


UNREADABLE_CONTENT = Content(UNREADABLE)


def are_alike(names: list[str]) -> bool:
    """Return whether names are those of one kind of host, and not of a host, a user and a password.

    They differ in numbers or domains, or all begin or all end in the same way.
    """
    first = names[0]
    return all(
        ("." in first and "." in name) or name[:_ALIKE] == first[:_ALIKE] or name[-_ALIKE:] == first[-_ALIKE:]
        for name in names
    )
