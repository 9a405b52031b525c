"""The table of certs.rotation, row by row."""

from datetime import timedelta

import pytest

from certs.issue import issue_authority, issue_serving
from certs.reading import facts
from certs.rotation import plan, take
from certs.state import Action, Force, Schedule, State, Step

SECOND = timedelta(seconds=1)


@pytest.fixture
def begin(world):
    return world.now


@pytest.fixture
def calm(kit, begin):
    """Certificates in service since `begin`."""
    authority = issue_authority(now=begin, lifetime=kit.SCHEDULE.authority_lifetime)
    serving = issue_serving(authority, [kit.NAME], now=begin, lifetime=kit.SCHEDULE.serving_lifetime)
    return State(signing=authority, serving=serving)


@pytest.fixture
def rotating(kit, begin, calm):
    """The next authority has been announced at `begin`."""
    return take(Step(Action.ANNOUNCE, "so that there is one"), calm, names=[kit.NAME], now=begin, schedule=kit.SCHEDULE)


@pytest.fixture
def ask(kit, begin):
    def ask(state, *, after=timedelta(0), trusted=True, force=None, names=(kit.NAME,)):
        return plan(state, names=names, now=begin + after, trusted=trusted, schedule=kit.SCHEDULE, force=force)

    return ask


@pytest.fixture
def do(kit, begin):
    def do(action, state, *, after=timedelta(0), names=(kit.NAME,), found=()):
        return take(Step(action, ""), state, names=names, now=begin + after, schedule=kit.SCHEDULE, found=found)

    return do


def test_with_nothing_it_starts(ask):
    assert ask(None).action is Action.START


def test_the_first_authority_signs_nothing_before_it_is_trusted(ask, do):
    started = do(Action.START, None)

    assert (started.signing, started.serving, ask(started, trusted=False).action) == (None, None, Action.NONE)
    assert ask(started).action is Action.SWITCH


def test_an_authority_from_before_the_loss_stays_trusted(do, ask, calm):
    started = do(Action.START, None, found=[calm.signing.certificate])

    assert started.bundle == calm.signing.certificate + started.incoming.certificate
    assert ask(started).action is Action.CONFIRM


@pytest.mark.parametrize(
    ("after", "action", "reason"),
    [
        (timedelta(0), Action.NONE, "nothing is due"),
        (timedelta(minutes=13), Action.NONE, "nothing is due"),
        (timedelta(minutes=14), Action.RENEW, "two thirds of the certificate's life"),
        (timedelta(minutes=21), Action.RENEW, "not valid: expired"),
        (timedelta(minutes=61), Action.ANNOUNCE, "no CA is able to sign"),
    ],
)
def test_a_certificate_is_renewed_at_two_thirds_of_its_life(ask, calm, after, action, reason):
    step = ask(calm, after=after)

    assert (step.action, reason in step.reason) == (action, True)


def test_the_authority_goes_first_when_both_are_due(ask, do, calm):
    late = timedelta(minutes=41)
    renewed = do(Action.RENEW, calm, after=timedelta(minutes=26))

    assert ask(renewed, after=late) == Step(Action.ANNOUNCE, "two thirds of the CA's lifetime have passed")


def test_what_is_due_is_said_with_its_time(ask, calm):
    assert ask(calm).due == facts(calm.serving.certificate).renewal


def test_a_certificate_at_the_end_of_its_authority_is_not_renewed_for_nothing(ask, do, rotating):
    capped = do(Action.RENEW, rotating, after=timedelta(minutes=50))

    assert ask(capped, after=timedelta(minutes=58), trusted=False).action is Action.NONE


def test_new_names_are_added_so_that_old_and_new_replicas_agree(ask, do, calm, kit):
    names = ("renamed.mesh.svc",)
    assert ask(calm, names=names).action is Action.RENEW

    renewed = do(Action.RENEW, calm, names=names)

    assert ask(renewed, names=names).action is Action.NONE
    assert ask(renewed, names=(kit.NAME,)).action is Action.NONE
    later = do(Action.RENEW, renewed, names=names, after=timedelta(minutes=15))
    assert facts(later.serving.certificate).dns_names == names


def test_an_announced_authority_is_in_the_bundle_and_signs_nothing(rotating, calm):
    assert rotating.bundle == calm.signing.certificate + rotating.incoming.certificate
    assert rotating.serving == calm.serving


def test_the_wait_begins_with_the_read_back(ask, do, rotating, kit):
    late = timedelta(minutes=5)
    assert (
        ask(rotating, after=late, trusted=False).reason == "the webhook configurations do not contain the CA bundle yet"
    )
    assert ask(rotating, after=late).action is Action.CONFIRM

    confirmed = do(Action.CONFIRM, rotating, after=late)

    assert ask(confirmed, after=late + kit.SCHEDULE.trust_wait - SECOND).action is Action.NONE
    assert ask(confirmed, after=late + kit.SCHEDULE.trust_wait).action is Action.SWITCH


def test_a_bundle_that_is_gone_again_begins_the_wait_anew(ask, do, rotating):
    confirmed = do(Action.CONFIRM, rotating)

    assert ask(confirmed, trusted=False).action is Action.UNCONFIRM
    assert ask(do(Action.UNCONFIRM, confirmed)).action is Action.CONFIRM


def test_the_old_authority_is_trusted_until_every_replica_has_the_new_certificate(ask, do, rotating, calm, kit):
    switched = do(Action.SWITCH, rotating)
    wait = kit.SCHEDULE.serve_wait
    assert switched.outgoing == (calm.signing.certificate,)
    assert (switched.signing, switched.incoming) == (rotating.incoming, None)
    assert ask(switched, after=wait - SECOND).action is Action.NONE

    assert ask(switched, after=wait).action is Action.DROP
    assert do(Action.DROP, switched).bundle == switched.signing.certificate


def test_an_old_authority_that_has_expired_goes_at_once(begin, ask, do, rotating):
    late = timedelta(minutes=61)
    switched = do(Action.SWITCH, do(Action.ANNOUNCE, rotating, after=timedelta(minutes=59)), after=late)

    assert ask(switched, after=late).reason == "the old CA has expired"


def test_while_one_rotation_is_under_way_another_is_not_begun(ask, do, rotating):
    switched = do(Action.SWITCH, rotating)

    assert ask(rotating, trusted=False, force=Force.AUTHORITY).action is Action.NONE
    assert ask(switched, force=Force.AUTHORITY).action is Action.NONE


@pytest.mark.parametrize(("force", "action"), [(Force.SERVING, Action.RENEW), (Force.AUTHORITY, Action.ANNOUNCE)])
def test_what_is_asked_for_is_done_before_its_time(ask, calm, force, action):
    assert ask(calm, force=force) == Step(action, "requested")


def test_a_step_in_the_far_future_counts_from_now(ask, do, rotating, kit):
    confirmed = do(Action.CONFIRM, rotating, after=timedelta(days=3))

    assert ask(confirmed).action is Action.REPAIR
    repaired = do(Action.REPAIR, confirmed)
    assert ask(repaired, after=kit.SCHEDULE.trust_wait).action is Action.SWITCH


def test_a_mended_state_trusts_what_was_trusted(do, calm, begin):
    stranger = issue_authority(now=begin)
    damaged = State(serving=calm.serving, outgoing=(calm.signing.certificate,), damage=("authority.key: lost",))

    repaired = do(Action.REPAIR, damaged, found=[stranger.certificate])

    assert repaired.damage == ()
    assert repaired.outgoing == (calm.signing.certificate, stranger.certificate)
    assert repaired.incoming is not None


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"serving_lifetime": timedelta(days=4000)}, "at least as long"),
        ({"authority_lifetime": timedelta(minutes=40), "serving_lifetime": timedelta(minutes=1)}, "both waits"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(times, said):
    with pytest.raises(ValueError, match=said):
        Schedule(**times)
