"""What is kept of certificates, what may happen to it, and how long things last. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from certs.issue import AUTHORITY_LIFETIME, SERVING_LIFETIME, KeyPair, verify
from certs.reading import merge


class Action(StrEnum):
    """One step. The words are written to logs and metrics."""

    START = "start"
    """Make the first authority. It signs nothing before it is trusted."""
    MEND = "mend"
    """Write what is whole, drop what is not, and trust on whatever is trusted now."""
    ANNOUNCE = "announce"
    """Make the next authority, so that it comes to be trusted."""
    CONFIRM = "confirm"
    """Write down that the bundle was read back; the wait begins."""
    DOUBT = "doubt"
    """The bundle is not there any more: take the confirmation back."""
    SWITCH = "switch"
    """The announced authority signs from now on; the old one is still trusted."""
    RENEW = "renew"
    """Sign a new serving certificate with the same authority."""
    DROP = "drop"
    """Trust the old authority no longer."""
    NONE = "none"
    """Nothing to do."""


class Force(StrEnum):
    """What is to be replaced although it is not due."""

    SERVING = "serving"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now.

    Attributes:
        action: The step.
        reason: Why, or what is being waited for, as a sentence without its full stop.
        due: When to look again at the latest; None when that depends on somebody else.
    """

    action: Action
    reason: str
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long things last.

    Attributes:
        serving_lifetime: Of a serving certificate.
        authority_lifetime: Of an authority.
        trust_wait: From the read-back of a bundle until every API server surely uses it.
        serve_wait: From a new serving certificate until every replica surely serves it.

    Raises:
        ValueError: The authority would expire before its successor could be in its place.
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
    """What is kept.

    Attributes:
        signing: The authority that signs.
        serving: The certificate that replicas serve.
        incoming: The authority that will sign next; it has signed nothing.
        outgoing: The certificates of authorities that sign no more and are trusted still.
        trusted_since: When the bundle with `incoming` was read back.
        served_since: When `outgoing` ceased to be needed for new certificates.
        damage: What of the kept state could not be read, as sentences.
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
        """What clients must trust: the caBundle."""
        authorities = [pair.certificate for pair in (self.signing, self.incoming) if pair is not None]
        return b"".join(merge(self.outgoing, authorities))

    def servable(self, names: Iterable[str], now: datetime) -> bool:
        """Whether clients that trust the bundle accept the serving certificate under all of these names."""
        serving = self.serving
        return serving is not None and all(verify(serving, self.bundle, name, now=now).ok for name in names)
