"""Percentiles, targets, and the page that is written from what was measured."""

import json
import math
import re

import pytest
import results
from results import Target, percentile
from scale_document import PAGE, TABLES, render

LOAD = {"reviews": 10, "p50": 0.001, "p99": 0.002, "max": 0.003}
LAG = {"count": 100.0, "0.005": 2.0}
STAGE = {"seconds": 50.0, "resident_mb": 200.0, "peak_mb": 210.0, "objects": 1_000}
EXCERPT = {"excerpt": "14:00", "pods_per_second": 27.0, "busy": 0.5, "predicted_busy": 0.4, "busiest": 0.6}
EXCERPT |= {"predicted_busiest": 0.7, "p99": 0.01, "predicted_p99": 0.02, "opened": 30, "predicted_opened": 40}
EXCERPT |= {"generator_busy": 0.2, "late_p99": 0.001}
COST = {"server": 0.0005, "generator": 0.0002, "p50": 0.0008}
FOUND = {
    "cluster": {
        "stages": dict.fromkeys(("nothing", "namespaces", "services", "authorities", "half", "whole"), STAGE),
        "load": {
            "idle": LOAD,
            "relist": LOAD | {"p99": 2.5},
            "control": LOAD | {"p99": 1.2},
            "large": LOAD,
            "rounds": {"relist": [{"p99": 2.5}], "control": [{"p99": 1.2}]},
            "lag": {"before": LAG, "after relists": LAG},
        },
    },
    "simulation": {
        **dict.fromkeys(("single", "known", "new", "connecting"), COST),
        "speed": 20,
        "servers_1": [EXCERPT, EXCERPT],
        "servers_2": [EXCERPT, EXCERPT | {"p99": 0.006}],
    },
}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share, value):
    assert percentile(range(100, 0, -1), share) == value


def test_of_nothing_there_is_no_percentile():
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize(("measured", "verdict"), [(60.0, "met"), (60.1, "NOT MET"), (math.nan, "NOT MET")])
def test_a_target_says_whether_it_is_met(measured, verdict):
    assert str(Target("ready", 60.0, measured, "s")).endswith(f"target 60 s: {verdict}")


def test_what_one_part_found_leaves_the_others_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FILE", tmp_path / "scale" / "results.json")
    for part, value in (("cluster", 1), ("simulation", 2), ("cluster", 3)):
        results.keep(part, {"value": value})

    assert json.loads(results.FILE.read_text()) == {"cluster": {"value": 3}, "simulation": {"value": 2}}


def test_the_page_has_a_place_for_every_table_and_no_other():
    assert sorted(re.findall(r"<!-- figures: (\w+) -->", PAGE.read_text())) == sorted(TABLES)


def test_writing_the_page_changes_tables_and_nothing_else():
    page = render(PAGE.read_text(), FOUND)

    assert "| p99 of decisions during a relist, by that of idle | 2 x | 2.5 x | **no** |" in page
    assert render(page, FOUND) == page
    assert _prose(page) == _prose(PAGE.read_text())


def test_the_page_says_how_far_predictions_are_off_either_way():
    page = render(PAGE.read_text(), FOUND)

    assert "one server within a factor of 1.2 of how busy servers were and of 2.0 of p99" in page
    assert "two within one of 1.2 of how busy servers were and of 3.3 of p99" in page


def test_what_was_not_measured_stays_as_it_was():
    page = render(PAGE.read_text(), FOUND)

    assert render(page, {}) == page
    assert render(page, {"cluster": FOUND["cluster"]}) == page


def _prose(page):
    return re.sub(r"(?<= figures: )(\w+).*?(?=<!-- end of figures -->)", r"\1", page, flags=re.DOTALL)
