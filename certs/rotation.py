"""Plan and take the next step of certificate rotation. Pure: no clock, no I/O; only keys are random.

Clients must trust a CA before any server presents a certificate that it signed, and keep trusting the old CA until no
server presents its certificates any more. So a CA is replaced in steps, each stored before the next is taken, by
whichever replica is first:

| state                                         | step     | before the next                                      |
|-----------------------------------------------|----------|------------------------------------------------------|
| nothing                                       | start    | the bundle is in the webhook configurations          |
| a certificate past 2/3 of its life, new names | renew    |                                                      |
| a CA past 2/3 of its life                     | announce | the bundle with both is in the configurations        |
| a bundle that has been read back              | confirm  | `trust_wait`: every API server uses it               |
| a configuration without the CA bundle         | doubt    | as after announce                                    |
| an announced CA, trusted for `trust_wait`     | switch   | `serve_wait`: every replica serves the new one       |
| an old CA that is not needed any more         | drop     |                                                      |
| damage; before anything is signed, a bundle   | mend     | as after start or switch                             |
| with a CA that is not in the Secret           |          |                                                      |

A stored state is complete in itself: after a crash any replica continues from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from certs.issue import CLOCK_SKEW, KeyPair, issue_authority, issue_serving, verify
from certs.reading import facts, merge, split
from certs.state import Action, Force, Schedule, State, Step

RESTART_WAIT: Final = timedelta(seconds=5)
"""Replaces `trust_wait` while there is no certificate to serve: longer than an API server takes to receive a change,
but short enough that replicas without a certificate do not delay admission."""


def plan(
    state: State | None,
    *,
    names: Sequence[str],
    now: datetime,
    trusted: bool,
    schedule: Schedule,
    held: Sequence[bytes] = (),
    force: Force | None = None,
) -> Step:
    """Return the next step.

    Args:
        state: The stored state; None if there is none.
        names: The DNS SANs of the serving certificate; at least one.
        now: The time, timezone-aware. It is compared with times written by other replicas' clocks.
        trusted: Whether every managed webhook configuration contains exactly `state.bundle`.
        schedule: Lifetimes and waits.
        held: The certificates in the managed webhook configurations.
        force: What to replace although it is not due; ignored while a CA is being replaced.

    Returns:
        The step; `Action.NONE` with the time of the next one if nothing is due.
    """
    if state is None:
        return Step(Action.START, "there are no certificates yet")
    damage = (*state.damage, *_from_the_future(state, now))
    if damage:
        return Step(Action.REPAIR, "; ".join(damage))
    if _lacks_installed(state, held):
        return Step(Action.REPAIR, "a configuration trusts a CA that is not in the Secret")
    situation = _Situation(state, tuple(names), now, trusted, schedule, force)
    return (
        situation.reissue()
        or situation.announce()
        or situation.switch()
        or situation.renew()
        or situation.drop()
        or situation.rest()
    )


def take(
    step: Step,
    state: State | None,
    *,
    names: Sequence[str],
    now: datetime,
    schedule: Schedule,
    found: Sequence[bytes] = (),
) -> State:
    """Apply a step that `plan` returned.

    Args:
        step: The step.
        state: The state that it was planned for.
        names: The DNS SANs of the serving certificate.
        now: The time, timezone-aware.
        schedule: Lifetimes and waits.
        found: The certificates in the managed webhook configurations. They stay trusted if the state was lost, since
            replicas may still serve certificates that these signed.

    Returns:
        The state to store.

    Raises:
        CertificateError: A name is not a valid DNS name.
    """
    kept = state or State()
    action = step.action
    if action in {Action.START, Action.ANNOUNCE}:
        incoming = issue_authority(now=now, lifetime=schedule.authority_lifetime)
        outgoing = merge(kept.outgoing, found) if action is Action.START else kept.outgoing
        return replace(kept, incoming=incoming, outgoing=outgoing, trusted_since=None)
    if action is Action.REPAIR:
        return _repaired(kept, now, schedule, found)
    if action is Action.CONFIRM:
        return replace(kept, trusted_since=now)
    if action is Action.UNCONFIRM:
        return replace(kept, trusted_since=None)
    if action is Action.RENEW and kept.signing is not None:
        return replace(kept, serving=_issue(kept.signing, _names(kept, names), now, schedule))
    if action is Action.SWITCH and kept.incoming is not None:
        before = () if kept.signing is None else split(kept.signing.certificate)
        return State(
            signing=kept.incoming,
            serving=_issue(kept.incoming, names, now, schedule),
            outgoing=merge(kept.outgoing, before),
            served_since=now,
        )
    return replace(kept, outgoing=(), served_since=None) if action is Action.DROP else kept


@dataclass(frozen=True)
class _Situation:
    """A state without damage, and all that its next step depends on. Each method implements a row of the table."""

    state: State
    names: tuple[str, ...]
    now: datetime
    trusted: bool
    schedule: Schedule
    force: Force | None

    @cached_property
    def can_sign(self) -> bool:
        signing = self.state.signing
        if signing is None:
            return False
        authority = facts(signing.certificate)
        return authority.not_before <= self.now < authority.not_after

    @cached_property
    def servable(self) -> bool:
        return self.state.servable(self.names, self.now)

    def reissue(self) -> Step | None:
        if self.servable or not self.can_sign:
            return None
        return Step(Action.RENEW, self._unservable())

    def announce(self) -> Step | None:
        state = self.state
        if state.incoming is not None:
            gone = self.now >= facts(state.incoming.certificate).not_after
            return Step(Action.ANNOUNCE, "the announced CA has expired") if gone else None
        if state.signing is None or not self.can_sign:
            return Step(Action.ANNOUNCE, "no CA is able to sign")
        if state.outgoing:
            return None
        if self.force is Force.AUTHORITY:
            return Step(Action.ANNOUNCE, "requested")
        if self.now >= facts(state.signing.certificate).renewal:
            return Step(Action.ANNOUNCE, "two thirds of the CA's lifetime have passed")
        return None

    def switch(self) -> Step | None:
        state = self.state
        if state.incoming is None:
            return None
        if not self.trusted:
            reason = "a configuration no longer contains the CA bundle"
            return Step(Action.UNCONFIRM, reason) if state.trusted_since else None
        if not (self.servable or state.signing or state.outgoing):
            return Step(Action.SWITCH, "the first CA is trusted")
        if state.trusted_since is None:
            return Step(Action.CONFIRM, "the webhook configurations contain the CA bundle")
        return Step(Action.SWITCH, "the announced CA is trusted") if self.now >= self._trust_ends() else None

    def renew(self) -> Step | None:
        state = self.state
        if state.serving is None or state.signing is None or not self.can_sign:
            return None
        if self.force is Force.SERVING:
            return Step(Action.RENEW, "requested")
        serving = facts(state.serving.certificate)
        # Near the expiry of the CA a new certificate would not outlive the current one.
        until = min(self.now + self.schedule.serving_lifetime, facts(state.signing.certificate).not_after)
        if self.now >= serving.renewal and until.replace(microsecond=0) > serving.not_after:
            return Step(Action.RENEW, "two thirds of the certificate's lifetime have passed")
        return None

    def drop(self) -> Step | None:
        if self.state.incoming is not None or not self.state.outgoing:
            return None
        if self.now >= self._serve_ends():
            return Step(Action.DROP, "every replica serves a certificate of the new CA")
        if all(self.now >= facts(certificate).not_after for certificate in self.state.outgoing):
            return Step(Action.DROP, "the old CA has expired")
        return None

    def rest(self) -> Step:
        state = self.state
        if state.incoming is not None and not self.trusted:
            return Step(Action.NONE, "the webhook configurations do not contain the CA bundle yet")
        if state.incoming is not None:
            return Step(Action.NONE, "waiting until API servers have reloaded the CA bundle", self._trust_ends())
        if state.outgoing:
            return Step(Action.NONE, "waiting until replicas serve the new certificate", self._serve_ends())
        ends = [facts(pair.certificate).renewal for pair in (state.serving, state.signing) if pair is not None]
        return Step(Action.NONE, "nothing is due", min(ends))

    def _trust_ends(self) -> datetime:
        wait = self.schedule.trust_wait
        return (self.state.trusted_since or self.now) + (wait if self.servable else min(wait, RESTART_WAIT))

    def _serve_ends(self) -> datetime:
        return (self.state.served_since or self.now) + self.schedule.serve_wait

    def _unservable(self) -> str:
        serving = self.state.serving
        if serving is None:
            return "there is no serving certificate"
        for name in self.names:
            found = verify(serving, self.state.bundle, name, now=self.now)
            if not found.ok:
                return f"the serving certificate is not valid: {found.reason}"
        return "the serving certificate is not valid"


def _repaired(state: State, now: datetime, schedule: Schedule, found: Sequence[bytes]) -> State:
    own = {pair.certificate for pair in (state.signing, state.incoming) if pair is not None}
    outgoing = tuple(certificate for certificate in merge(state.outgoing, found) if certificate not in own)
    # A skewed clock does not revoke the confirmation: two replicas would confirm and repair in turn without end.
    confirmed = min(state.trusted_since, now) if state.trusted_since and not state.damage else None
    incoming = state.incoming
    if incoming is None and state.signing is None:
        incoming = issue_authority(now=now, lifetime=schedule.authority_lifetime)
    served_since = now if outgoing else None
    return replace(
        state, incoming=incoming, outgoing=outgoing, trusted_since=confirmed, served_since=served_since, damage=()
    )


def _lacks_installed(state: State, held: Sequence[bytes]) -> bool:
    """Return whether a state that has signed nothing yet would remove an installed CA from the configurations.

    The replica that started it may have read them before another replica's CA was installed, whose Secret has been lost
    since and whose certificates are still served. Once something is signed, a CA that is not in the state was dropped.
    """
    if state.signing is not None or state.trusted_since is not None:
        return False
    return not set(held) <= set(split(state.bundle))


def _from_the_future(state: State, now: datetime) -> list[str]:
    """Return a problem for each step time in the future: written by a skewed clock, it would delay the next step."""
    times = (state.trusted_since, state.served_since)
    return ["the time of the last step is in the future" for time in times if time and time > now + CLOCK_SKEW]


def _names(state: State, names: Sequence[str]) -> tuple[str, ...]:
    """Return the desired names, and if some of them are new, also those of the current certificate.

    During an upgrade that changes them, old and new replicas desire different names: without the union they would
    replace each other's certificates without end.
    """
    had = () if state.serving is None else facts(state.serving.certificate).dns_names
    return tuple(names) if set(names) <= set(had) else tuple(dict.fromkeys((*names, *had)))


def _issue(authority: KeyPair, names: Sequence[str], now: datetime, schedule: Schedule) -> KeyPair:
    return issue_serving(authority, names, now=now, lifetime=schedule.serving_lifetime)
