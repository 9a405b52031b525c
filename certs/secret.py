"""Encode and decode the certificate state as the data of a Kubernetes Secret. Pure.

| key                                       | content                                                          |
|-------------------------------------------|------------------------------------------------------------------|
| `tls.crt`, `tls.key`                      | the serving certificate; empty until the first CA is trusted     |
| `ca.crt`                                  | the bundle that clients must trust                               |
| `authority.crt`, `authority.key`          | the CA that signs                                                |
| `next-authority.crt`, `next-authority.key` | the announced CA                                                |
| `previous-authorities.crt`                | former CAs that are still trusted                                |

The annotations contain the times of the steps that are followed by a wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from certs.files import AUTHORITY, CERTIFICATE, KEY
from certs.issue import CertificateError, KeyPair, check_pair
from certs.reading import merge, split
from certs.state import State

TYPE: Final = "kubernetes.io/tls"
LABEL: Final = "sidecar-policy.dev/certificates"
OURS: Final = "self-managed"
"""The label's value. A Secret without it is not managed by sidecar-policy, and is never written to."""
TRUSTED_SINCE: Final = "sidecar-policy.dev/trusted-since"
SERVED_SINCE: Final = "sidecar-policy.dev/served-since"

_SERVING = (CERTIFICATE, KEY)
_SIGNING = ("authority.crt", "authority.key")
_INCOMING = ("next-authority.crt", "next-authority.key")
_OUTGOING = "previous-authorities.crt"


class ForeignSecretError(Exception):
    """The Secret is not managed by sidecar-policy. The text contains the reason."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a Secret to write.

    Attributes:
        data: The value of each managed key; None removes it. Excluded from the repr, since it contains private keys.
        annotations: The value of each managed annotation; None removes it.
    """

    data: Mapping[str, bytes | None] = field(repr=False)
    annotations: Mapping[str, str | None]


def encode(state: State) -> Content:
    """Encode a state as the content of a Secret, so that `decode` returns an equal one."""
    serving, signing, incoming = state.serving, state.signing, state.incoming
    data: dict[str, bytes | None] = {
        # A Secret of this type must have both keys.
        CERTIFICATE: serving.certificate if serving is not None else b"",
        KEY: serving.key if serving is not None else b"",
        AUTHORITY: state.bundle,
        _OUTGOING: b"".join(state.outgoing) or None,
    }
    for names, pair in ((_SIGNING, signing), (_INCOMING, incoming)):
        data |= dict(zip(names, (pair.certificate, pair.key) if pair is not None else (None, None), strict=True))
    return Content(data, {TRUSTED_SINCE: _formatted(state.trusted_since), SERVED_SINCE: _formatted(state.served_since)})


def decode(labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, bytes]) -> State:
    """Decode a state. Unreadable parts are omitted and reported in `damage`.

    Args:
        labels: The Secret's labels.
        annotations: The Secret's annotations.
        data: The Secret's data, base64-decoded.

    Returns:
        The state. If something is damaged, every readable CA certificate stays trusted.

    Raises:
        ForeignSecretError: The Secret is not managed by sidecar-policy.
    """
    if labels.get(LABEL) != OURS:
        raise ForeignSecretError(f"it has no label {LABEL}={OURS}")
    damage: list[str] = []
    state = State(
        signing=_pair(data, _SIGNING, damage, authority=True),
        serving=_pair(data, _SERVING, damage, authority=False),
        incoming=_pair(data, _INCOMING, damage, authority=True),
        outgoing=_bundle(data, _OUTGOING, damage),
        trusted_since=_time(annotations, TRUSTED_SINCE, damage),
        served_since=_time(annotations, SERVED_SINCE, damage),
    )
    if state.signing is None and state.incoming is None:
        damage.append("there is no CA")
    if state.outgoing and state.incoming is None and state.served_since is None:
        damage.append(f"annotation {SERVED_SINCE} is missing")
    if not damage and data.get(AUTHORITY) != state.bundle:
        damage.append(f"{AUTHORITY} is not the bundle of the CAs")
    if not damage:
        return state
    names = (_OUTGOING, AUTHORITY, _SIGNING[0], _INCOMING[0])
    left = merge(*(_bundle(data, name, []) for name in names))
    return State(
        signing=state.signing,
        serving=state.serving,
        incoming=state.incoming,
        outgoing=left,
        damage=tuple(dict.fromkeys(damage)),
    )


def _pair(data: Mapping[str, bytes], names: tuple[str, str], damage: list[str], *, authority: bool) -> KeyPair | None:
    pair = KeyPair(data.get(names[0], b""), data.get(names[1], b""))
    if not pair.certificate and not pair.key:
        return None
    try:
        check_pair(pair, authority=authority)
    except CertificateError as error:
        damage.append(f"{names[0]} and {names[1]}: {error}")
        return None
    return pair


def _bundle(data: Mapping[str, bytes], name: str, damage: list[str]) -> tuple[bytes, ...]:
    try:
        return split(data.get(name, b""))
    except CertificateError as error:
        damage.append(f"{name} {error}")
        return ()


def _time(annotations: Mapping[str, str], name: str, damage: list[str]) -> datetime | None:
    written = annotations.get(name)
    if not written:
        return None
    try:
        time = datetime.fromisoformat(written)
    except ValueError:
        damage.append(f"annotation {name} is not a time")
        return None
    if time.tzinfo is None:
        damage.append(f"annotation {name} has no time zone")
        return None
    return time


def _formatted(time: datetime | None) -> str | None:
    return time.isoformat() if time is not None else None
