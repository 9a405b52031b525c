"""The certificate state, the steps of its rotation, and the schedule. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from certs.issue import AUTHORITY_LIFETIME, SERVING_LIFETIME, KeyPair, verify
from certs.reading import merge


class Action(StrEnum):
    """One step of the rotation. The values are label values of a metric and appear in logs, so they never change."""

    START = "start"
    """Issue the first CA. It signs nothing before it is trusted."""
    REPAIR = "mend"
    """Store the intact parts, drop the damaged ones, and keep every installed CA trusted."""
    ANNOUNCE = "announce"
    """Issue the next CA and add it to the bundle."""
    CONFIRM = "confirm"
    """Record that the bundle was read back; `trust_wait` begins."""
    UNCONFIRM = "doubt"
    """Clear the confirmation, since the bundle is gone from a configuration."""
    SWITCH = "switch"
    """Sign with the announced CA from now on; the old one stays trusted."""
    RENEW = "renew"
    """Sign a new serving certificate with the same CA."""
    DROP = "drop"
    """Remove the old CA from the bundle."""
    NONE = "none"
    """Nothing to do."""


class Force(StrEnum):
    """What to replace although it is not due."""

    SERVING = "serving"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step.

    Attributes:
        action: The step.
        reason: Why, or what is being waited for, as a sentence without its full stop.
        due: When to plan again at the latest; None if that depends on an external change.
    """

    action: Action
    reason: str
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Lifetimes and waits.

    Attributes:
        serving_lifetime: Lifetime of a serving certificate; 365 days by default.
        authority_lifetime: Lifetime of a CA; 3650 days by default.
        trust_wait: Time from the read-back of a bundle until every API server uses it; 5 minutes by default.
        serve_wait: Time from a new serving certificate until every replica serves it; 10 minutes by default.

    Raises:
        ValueError: The CA would expire before its successor could replace it.
    """

    serving_lifetime: timedelta = SERVING_LIFETIME
    authority_lifetime: timedelta = AUTHORITY_LIFETIME
    trust_wait: timedelta = timedelta(minutes=5)
    serve_wait: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        if self.authority_lifetime < self.serving_lifetime:
            raise ValueError("the CA must be valid for at least as long as the serving certificate")
        if self.authority_lifetime / 3 <= self.trust_wait + self.serve_wait:
            raise ValueError(
                "a third of the CA's lifetime must be longer than both waits together: it is replaced in that time"
            )


@dataclass(frozen=True)
class State:
    """The certificate state that all replicas share.

    Attributes:
        signing: The CA that signs.
        serving: The certificate that replicas serve.
        incoming: The announced CA; it has signed nothing yet.
        outgoing: The certificates of former CAs that are still trusted.
        trusted_since: When the bundle with `incoming` was read back.
        served_since: When `outgoing` ceased to sign new certificates.
        damage: Which parts of the stored state could not be read, as sentences.
    """

    signing: KeyPair | None = None
    serving: KeyPair | None = None
    incoming: KeyPair | None = None
    outgoing: tuple[bytes, ...] = ()
    trusted_since: datetime | None = None
    served_since: datetime | None = None
    damage: tuple[str, ...] = ()

    @cached_property
    def bundle(self) -> bytes:
        """The caBundle: all CAs that clients must trust, in PEM."""
        authorities = [pair.certificate for pair in (self.signing, self.incoming) if pair is not None]
        return b"".join(merge(self.outgoing, authorities))

    def servable(self, names: Iterable[str], now: datetime) -> bool:
        """Return whether clients that trust the bundle accept the serving certificate for all of these names.

        Args:
            names: The DNS names that clients connect to.
            now: The time, timezone-aware.
        """
        serving = self.serving
        return serving is not None and all(verify(serving, self.bundle, name, now=now).ok for name in names)
