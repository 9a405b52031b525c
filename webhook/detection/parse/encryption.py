"""Parse what a value says of TLS. Only that survives, never the text."""

from __future__ import annotations

import re

from webhook.core.values import Tls, Value

# The parameters of URLs and connection strings. Anything may surround them: what is read is only on or off.
_PARAMETER = re.compile(
    r"(?<![a-z0-9])(?:use[ _-]?|enable[ _-]?|require)?"
    r"(?:ssl|tls|ssl[ _-]?mode|tls[ _-]?mode|ssl[ _-]?enabled|tls[ _-]?enabled|encrypt|ssl[ _-]?negotiation|protocol)"
    r"\s?=\s?['\"]?(?P<value>[a-z0-9_-]{1,20})",
    re.IGNORECASE,
)
_MAY_SAY = re.compile("ssl|tls|encrypt|protocol", re.IGNORECASE)
_ON = frozenset(
    "true yes on 1 enabled required require verify verify-ca verify-full verify_ca verify_full verify_identity "
    "skip-verify mandatory tcps ssl sasl_ssl tls ssl_tls".split()
)
_OFF = frozenset("false no off 0 disabled disable none allow optional plaintext sasl_plaintext null plain".split())
_DIRECT = frozenset({"strict", "direct"})


def tls_in(text: str) -> Tls | None:
    """Return what the parameters of a URL or connection string say of TLS; None when they say nothing."""
    if "=" not in text or not _MAY_SAY.search(text):
        return None
    found = [tls for parameter in _PARAMETER.finditer(text) if (tls := tls_of(parameter["value"])) is not None]
    return Tls.DIRECT if Tls.DIRECT in found else found[0] if found else None


def tls_of(word: str) -> Tls | None:
    """Return what the value of a parameter says of TLS; None when it says nothing."""
    word = word.lower()
    if word in _ON:
        return Tls.ON
    if word in _OFF:
        return Tls.OFF
    return Tls.DIRECT if word in _DIRECT else None


def tls_as_set(value: Value) -> Tls | None:
    """Return what the value of a setting about TLS says of it; None when it says nothing."""
    if not value.readable:
        return Tls.UNKNOWN
    if value.switch is not None:
        return Tls.ON if value.switch else Tls.OFF
    return tls_of(value.word)
