"""What real drivers say of real servers is what the record has, which docs/symptoms.md explains."""

import pytest
import yaml
from drivers import DRIVERS
from measure_drivers import RECORD, SITUATIONS, arrange, ask, confirmed, missing, stage

RECORDED = yaml.safe_load(RECORD.read_text())["drivers"]


@pytest.fixture(scope="module")
def shop(bed):
    if reason := missing():
        pytest.skip(f"not all servers and clients are here: {reason}")
    with stage(bed):
        yield bed


def test_the_record_is_of_these_drivers():
    assert {name: one["version"] for name, one in RECORDED.items()} == {
        name: one.version() if not one.program else RECORDED[name]["version"] for name, one in DRIVERS.items()
    }


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_driver_says_what_is_recorded(shop, situation):
    recorded = {name: one["outcomes"][situation] for name, one in RECORDED.items()}
    arrange(shop, SITUATIONS[situation])
    seen = ask(shop, SITUATIONS[situation])
    if seen != recorded:
        seen = confirmed(shop, SITUATIONS[situation])

    assert seen == recorded
