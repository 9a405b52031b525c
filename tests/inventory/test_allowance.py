import pytest

from webhook.core.surroundings import Reference
from webhook.inventory.allowance import BURST, BURST_IN_ALL, LONGEST_ABSENT_SECONDS, PER_SECOND, Allowance


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def allowance(clock):
    return Allowance(2.0, clock)


def config_map(number=0):
    return Reference("ConfigMap", "shop", f"c{number}")


def taken(allowance, asker, count=1000):
    return sum(allowance.take(config_map(number), asker) for number in range(count))


def test_a_namespace_has_a_number_of_reads_at_once_and_over_time(allowance, clock):
    assert taken(allowance, "tenant") == BURST
    clock.now += 2
    assert taken(allowance, "tenant") == 2 * PER_SECOND


def test_the_flood_of_one_namespace_leaves_the_others_what_they_have(allowance):
    for _ in range(100):
        taken(allowance, "tenant")

    assert allowance.take(config_map(), "shop")


def test_all_namespaces_together_have_a_number_of_reads(allowance):
    assert sum(taken(allowance, f"n{number}") for number in range(50)) == BURST_IN_ALL


def test_the_time_to_read_what_was_found_counts(allowance, clock):
    allowance.spend("tenant", 10.0)

    assert taken(allowance, "tenant") == 0
    clock.now += 20
    assert taken(allowance, "tenant") == 0
    clock.now += 200
    assert taken(allowance, "tenant") == BURST


def test_what_is_absent_is_asked_for_again_after_ever_longer_times(allowance, clock):
    pauses = []
    for _ in range(8):
        allowance.miss(config_map())
        began = clock.now
        while not allowance.take(config_map(), "shop"):
            clock.now += 0.5
        pauses.append(clock.now - began)

    assert pauses == [2, 4, 8, 16, 32, LONGEST_ABSENT_SECONDS, LONGEST_ABSENT_SECONDS, LONGEST_ABSENT_SECONDS]


def test_what_was_found_is_asked_for_soon_when_it_is_gone_again(allowance, clock):
    for _ in range(5):
        allowance.miss(config_map())
    allowance.find(config_map())
    allowance.miss(config_map())
    clock.now += 2

    assert allowance.take(config_map(), "shop")


def test_the_api_server_may_ask_for_a_pause(allowance, clock):
    allowance.pause(30.0)

    assert not allowance.take(config_map(), "shop")
    clock.now += 30
    assert allowance.take(config_map(), "shop")


def test_what_is_remembered_is_bounded(allowance):
    for number in range(30_000):
        allowance.miss(config_map(number))
        allowance.take(config_map(), f"n{number}")

    assert len(allowance._absent) == 10_000
    assert len(allowance._namespaces) <= 1_000
