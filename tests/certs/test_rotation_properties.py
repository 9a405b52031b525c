"""Whatever happens in whatever order: no client is ever shown a certificate that it does not trust.

Several keepers run at once, each interrupted between any two of its calls, for as long as it pleases the others; some
never come back. API servers learn of a bundle late, and replicas of a certificate, each within what the waits allow
for. The Secret is edited and deleted.
"""

import functools
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certs.issue import CertificateError, KeyPair, check_pair
from certs.reading import facts, split
from certs.state import Force

TRUST_LAG = timedelta(seconds=4)
"""API servers use a bundle that was current within this time. Shorter than rotation.RESTART_WAIT."""
SERVE_LAG = timedelta(seconds=30)
"""Replicas serve a certificate that was current within this time."""
SKEWS = [timedelta(0), timedelta(seconds=0.4), timedelta(seconds=-0.4)]
KEYS = (
    "ca.crt tls.crt tls.key authority.crt authority.key next-authority.crt next-authority.key previous-authorities.crt"
).split()

GO_ON = st.tuples(st.just("go on"), st.integers(0, 2), st.integers(1, 30))
ADVANCE = st.tuples(st.just("advance"), st.sampled_from([0.1, 1, 5, 13, 41, 300]), st.just(0))
CRASH = st.tuples(st.just("crash"), st.integers(0, 2), st.just(0))
FORCE = st.tuples(st.just("force"), st.integers(0, 2), st.sampled_from(["serving", "authority"]))
DAMAGE = st.tuples(st.just("damage"), st.sampled_from(KEYS), st.sampled_from([None, b"", b"garbage"]))
LOSE = st.tuples(st.just("lose"), st.just(0), st.just(0))
EVENT = st.one_of(GO_ON, GO_ON, GO_ON, GO_ON, ADVANCE, ADVANCE, FORCE, CRASH, DAMAGE, LOSE)
EVENTS = st.lists(EVENT, min_size=5, max_size=60)
CALM = st.lists(st.one_of(GO_ON, GO_ON, GO_ON, GO_ON, ADVANCE, FORCE, CRASH), min_size=5, max_size=60)
"""Without edits of the Secret, rotations get farther."""


def recent(history, now, lag):
    """Everything that was current at some time within `lag`."""
    older = [value for time, value in history if time <= now - lag]
    return older[-1:] + [value for time, value in history if time > now - lag]


def served(world):
    """The certificates that replicas may be serving. A pair that does not fit is taken up by nobody."""
    pairs = {
        (stored.data.get("tls.crt", b""), stored.data.get("tls.key", b""))
        for stored in recent(world.secrets, world.now, SERVE_LAG)
        if stored is not None
    }
    return {certificate for certificate, key in pairs if fits(certificate, key)}


@functools.cache
def fits(certificate, key):
    try:
        check_pair(KeyPair(certificate, key), authority=False)
    except CertificateError:
        return False
    return True


@functools.cache
def trusts(bundle, certificate):
    """Whether a client with this bundle trusts the certificate's authority."""
    leaf = x509.load_pem_x509_certificate(certificate)
    for authority in split(bundle):
        try:
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


class Crowd:
    """Replicas that act on one world in turns."""

    def __init__(self, world):
        self.world = world
        self.keepers = [world.keeper(skew=skew) for skew in SKEWS]
        self.running = [None] * len(SKEWS)
        self.forced = [None] * len(SKEWS)

    def happen(self, event, which, how):
        if event == "go on":
            self.go_on(which, how)
        elif event == "crash":
            if self.running[which] is not None:
                self.running[which].close()
            self.running[which] = None
        elif event == "force":
            self.forced[which] = how
        elif event == "damage":
            self.world.damage(which, how)
        elif event == "lose":
            self.world.lose()
        elif event == "advance":
            self.advance(timedelta(seconds=which))

    def go_on(self, which, calls):
        for _ in range(calls):
            if self.running[which] is None:
                self.running[which] = self.keepers[which].act(self.forced[which])
                self.forced[which] = None
            try:
                self.running[which].send(None)
            except StopIteration:
                self.running[which] = None
            self.check()

    def advance(self, time):
        """Let time pass. A replica that is alive looks every few seconds, so somebody does before much has passed."""
        end = self.world.now + time
        while self.world.now < end:
            self.world.now = min(end, self.world.now + timedelta(seconds=20))
            self.check()
            if time > timedelta(seconds=20):
                self.world.act(self.keepers[0], times=3)

    def check(self):
        world = self.world
        for certificate in served(world):
            assert world.now < facts(certificate).not_after
            for bundle in (bundle for used in world.used for bundle in recent(used, world.now, TRUST_LAG)):
                assert trusts(bundle, certificate)


@settings(max_examples=200)
@given(st.sampled_from([None, Force.SERVING, Force.AUTHORITY]), st.one_of(CALM, EVENTS))
def test_no_client_is_ever_shown_a_certificate_that_it_does_not_trust(kit, begun, events):
    world = kit.World()
    if begun is not None:
        world.settle()
        world.act(force=begun)
    crowd = Crowd(world)

    for event in events:
        crowd.happen(*event)


BEGUN_TOO_LATE = [("advance", 0.1, 0), ("go on", 0, 6), ("go on", 1, 18), ("lose", 0, 0), ("go on", 0, 6)]
"""One replica is about to begin when another has begun and serves; then the Secret is lost, and the first goes on."""


@example(BEGUN_TOO_LATE)
@settings(max_examples=100)
@given(EVENTS)
def test_it_always_comes_to_rest_with_one_authority_that_everybody_trusts(kit, events):
    world = kit.World()
    crowd = Crowd(world)
    for event in events:
        crowd.happen(*event)

    world.settle()

    state = world.state()
    assert (state.incoming, state.outgoing, state.damage) == (None, (), ())
    assert state.servable([kit.NAME], world.now)
    assert world.bundles == [state.signing.certificate] * 2


def test_three_lives_of_the_authority_go_by_without_a_gap(settled, kit):
    crowd = Crowd(settled)
    authorities = set()
    for _ in range(3 * 60 * 6):  # in steps of ten seconds
        crowd.world.act(crowd.keepers[1])
        crowd.advance(timedelta(seconds=10))
        authorities.add(settled.state().signing.certificate)

    assert len(authorities) >= 4
    assert settled.writes < 40


def test_after_a_long_sleep_it_begins_anew(settled, kit):
    settled.now += timedelta(days=900)

    settled.settle()

    assert settled.state().servable([kit.NAME], settled.now)
    assert settled.state().outgoing == ()
