from hypothesis import HealthCheck, settings


def test_no_example_fails_by_the_time_it_takes():
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
