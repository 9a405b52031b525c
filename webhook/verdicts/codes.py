"""The ways in which connections break, as label values of a counter that begins at zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from webhook.core.verdict import End, Outcome

_BREAKING: Final[Mapping[End, Mapping[str, tuple[Outcome, ...]]]] = {
    End.CLIENT: {
        "http-declared": (Outcome.HANGS, Outcome.BLACKHOLED),
        "tls-declared-http": (Outcome.BLACKHOLED,),
        "server-first-sniffed": (Outcome.HANGS,),
        "port-captured": (Outcome.HANGS,),
        "not-in-registry": (Outcome.BLACKHOLED,),
        "hold-missing": (Outcome.STARTS_TOO_EARLY,),
        "job-never-finishes": (Outcome.NEVER_ENDS,),
    },
    End.SERVER: {
        "http-declared": (Outcome.PROTOCOL_ERROR, Outcome.HANGS, Outcome.REFUSED),
        "tls-declared-http": (Outcome.REFUSED, Outcome.PROTOCOL_ERROR),
        "http-version": (Outcome.PROTOCOL_ERROR,),
        "server-first-sniffed": (Outcome.HANGS,),
        "permissive-waits": (Outcome.HANGS,),
        "strict-refuses": (Outcome.REFUSED, Outcome.PROTOCOL_ERROR, Outcome.HANGS),
        "init-before-sidecar": (Outcome.REFUSED, Outcome.PROTOCOL_ERROR, Outcome.HANGS),
        "mtls-not-terminated": (Outcome.REFUSED, Outcome.PROTOCOL_ERROR),
        "no-endpoint": (Outcome.REFUSED, Outcome.PROTOCOL_ERROR),
    },
}


def breaking() -> Iterator[tuple[str, str, str]]:
    """Yield each outcome of a connection that breaks, with the codes and the ends that it comes with."""
    for end, codes in _BREAKING.items():
        for code, outcomes in codes.items():
            yield from ((outcome.value, code, end.value) for outcome in outcomes)
