import pytest

from certs.issue import CertificateError, issue_authority, issue_serving
from certs.reading import split
from certs.secret import ForeignSecretError
from certs.state import Action, Force


def test_from_nothing_to_certificates_that_everybody_trusts(world, kit):
    world.settle()
    state = world.state()

    assert state.servable([kit.NAME], world.now)
    assert world.bundles == [state.signing.certificate] * 2


def test_at_rest_nothing_is_written(settled):
    before = (settled.writes, settled.installs)

    look = settled.act(times=5)

    assert (look.wrote, look.took, look.trusted, look.problems) == (False, False, True, ())
    assert (settled.writes, settled.installs) == before


def test_looking_writes_nothing(world, kit):
    look = kit.run(world.keeper().look())

    assert (look.step.action, look.state, world.writes, world.installs) == (Action.START, None, 0, 0)


def test_a_wiped_bundle_is_restored_in_one_go(settled):
    before = list(settled.bundles)
    settled.install(1, b"")

    settled.act()

    assert settled.bundles == before


@pytest.mark.parametrize("calls", range(5))
def test_an_installed_bundle_is_never_replaced_by_that_of_an_older_state(settled, kit, calls):
    # The slow one has made so many of its calls when another announces an authority and installs the bundle.
    settled.install(0, b"")
    slow = settled.keeper().act()
    for _ in range(calls):
        slow.send(None)
    settled.act(force=Force.AUTHORITY, times=3)
    assert settled.bundles == [settled.state().bundle] * 2

    kit.run(slow)

    assert settled.bundles == [settled.state().bundle] * 2


def test_of_a_crowd_one_takes_each_step(kit):
    world = kit.World()
    crowd = [world.keeper().act() for _ in range(20)]
    looks = []
    while crowd:
        for one in list(crowd):
            try:
                one.send(None)
            except StopIteration as stop:
                crowd.remove(one)
                looks.append(stop.value)

    assert [look.step.action for look in looks] == [Action.START] * 20
    assert sum(look.took for look in looks) == 1
    assert all(look.wrote for look in looks)


def test_somebody_elses_secret_is_neither_written_nor_installed(world, kit):
    authority = issue_authority(now=world.now)
    data = {"ca.crt": authority.certificate, "tls.key": authority.key}
    world.secret = kit.Stored("1", {}, {}, data)

    with pytest.raises(ForeignSecretError):
        world.act()

    assert (world.writes, world.installs, world.secret.data) == (0, 0, data)


def test_a_configuration_that_cannot_be_read_keeps_an_authority_from_signing(world):
    world.problem = "Configuration 0: forbidden"

    look = world.act(times=5)

    assert look.problems == ("Configuration 0: forbidden",) * 2
    assert world.state().serving is None


def test_a_configuration_that_cannot_be_read_does_not_keep_a_certificate_from_being_renewed(settled):
    before = settled.state().serving
    settled.problem = "Configuration 0: forbidden"
    settled.now = settled.act().step.due

    settled.act()

    assert settled.state().serving != before


def test_a_certificate_that_somebody_put_there_is_replaced(settled, kit):
    stranger = issue_serving(issue_authority(now=settled.now), [kit.NAME], now=settled.now)
    settled.damage("tls.crt", stranger.certificate)
    settled.damage("tls.key", stranger.key)

    look = settled.act()

    assert (look.step.action, look.took) == (Action.RENEW, True)
    assert settled.state().servable([kit.NAME], settled.now)


def test_damage_is_told_once_it_is_mended_no_more(settled):
    settled.damage("authority.key", b"CANARY")

    look = settled.act()

    assert look.step.action is Action.REPAIR
    assert "authority.key" in look.problems[0]
    assert "CANARY" not in str(look.problems)
    assert settled.act().problems == ()


def test_a_bundle_that_is_none_is_replaced(settled):
    before = settled.bundles[0]
    settled.install(0, b"nonsense")
    settled.lose()

    settled.settle()

    assert before not in settled.bundles
    assert [len(split(bundle)) for bundle in settled.bundles] == [1, 1]


def test_a_name_that_is_none_issues_nothing(world):
    keeper = world.keeper(names=("no name",))

    with pytest.raises(CertificateError, match="not a DNS name"):
        world.settle(keeper)
