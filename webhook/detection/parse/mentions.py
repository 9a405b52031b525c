"""The grammar of hosts and ports, and the mention that a text is."""

from __future__ import annotations

import re

from webhook.core.values import Form, Mention
from webhook.detection.parse.references import REFERENCE, Pattern

LONGEST_VALUE = 16_000
"""Characters of one value. A longer one is not read: where it is cut off, a password could look like a host."""

_LABEL = rf"(?:[A-Za-z0-9_-]|{REFERENCE})"
HOST = rf"{_LABEL}{{1,253}}(?:\.{_LABEL}{{1,253}}){{0,20}}\.?"
PORT = rf"(?:\d{{1,5}}|{REFERENCE})"
_HOST_PORT = Pattern(rf"(?P<host>{HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>{PORT})){{0,1}}(?::\d{{1,5}})?")
# The prefixes by which Thanos, Loki and their kin mark a name for repeated DNS lookups.
_DISCOVERY = re.compile(r"^dns(?:srv(?:noa)?)?\+")


def is_place(text: str) -> bool:
    """Return whether a text is a host, with or without a port, and nothing else."""
    return _HOST_PORT.fullmatch(text) is not None


def mention_of(text: str, scheme: str, form: Form) -> Mention:
    """Parse a text as a place; return one without a host when it is not a place."""
    text = _DISCOVERY.sub("", text.removeprefix("tcp(").removesuffix(")"))
    match = _HOST_PORT.fullmatch(text)
    return Mention(match["host"].strip("[]"), match["port"] or "", scheme, form) if match else Mention("")
