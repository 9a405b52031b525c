import os

from hypothesis import HealthCheck, settings


def test_no_example_fails_by_the_time_it_takes():
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_a_failure_in_ci_can_be_repeated():
    assert settings().print_blob
    assert settings().derandomize is ("CI" in os.environ)
