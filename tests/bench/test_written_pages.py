import shutil
from pathlib import Path

import pages
import publish
import pytest
from figures import Figures, Sample
from goals import GOALS, alone

ROOT = Path(__file__).parents[2]
ABOUT = {"date": "2026-01-01", "rounds": 1, "cores": 2, "versions": {"Go": "1.26"}}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/benchmarks.md"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def run(*parts, ours=1.0):
    """A run in which what ours is held against took 2 ms, ours as long as said, and no webhook at all 1 ms."""
    took = {goal.under[:2]: 2.0 for goal in GOALS if goal.under} | {(alone("small", "open"), "go typed"): 2.0}
    took |= {(goal.over.scenario, "none"): 1.0 for goal in GOALS if goal.over.beyond}
    took |= {goal.over[:2]: ours for goal in GOALS}
    samples = [Sample(*side, 0, dict.fromkeys(("p50", "p99", "ready"), value)) for side, value in took.items()]
    samples += [Sample(alone("small", 8), "ours, new pods", 1, {"cpu": 200.0})]
    profile = {"small": {"webhook/detection": 3, "webhook/core": 1}}
    return publish.Run(Figures(samples), dict.fromkeys(parts, ABOUT), profile, ["none", "go typed", "Istio"])


def test_the_pages_hold_every_target_with_what_was_measured(project):
    publish.write_pages(project, run("alone", "apiserver"))

    page = (project / "docs/benchmarks.md").read_text()
    assert [goal.name for goal in GOALS if f"| {goal.name} |" not in page] == []
    assert f"{len(GOALS)} of {len(GOALS)} targets met." in page


def test_a_target_that_is_not_met_is_told_on_the_page(project):
    publish.write_pages(project, run("alone", "apiserver", ours=2.02))

    page = (project / "docs/benchmarks.md").read_text()
    assert "| 6 KB, new pods, 1 connection: p50 / go typed | <= 1 x | 1.01 x | 1.01 … 1.01 | NOT MET |" in page


def test_the_sentence_in_the_readme_has_the_measured_ratio(project):
    publish.write_pages(project, run("alone", "apiserver", ours=1.5))

    assert "and 0.75 x for an uncached pod" in " ".join((project / "README.md").read_text().split())


def test_the_page_says_where_the_time_of_a_request_goes(project):
    publish.write_pages(project, run("alone", "apiserver"))

    assert "\n| webhook/detection | 150 | 75% | 0 | 0% |\n" in (project / "docs/benchmarks.md").read_text()


def test_both_pictures_are_drawn(project):
    publish.write_pages(project, run("alone", "apiserver"))

    assert {path.name for path in (project / "docs").glob("*.svg")} == {"bench-server.svg", "bench-apiserver.svg"}


def test_a_picture_says_of_how_many_rounds_it_is(project):
    whole = run("alone", "apiserver")
    again = [
        Sample(one.scenario, one.arm, 1, one.figures) for one in whole.figures.samples if "apiserver" in one.scenario
    ]

    publish.write_pages(project, whole._replace(figures=Figures([*whole.figures.samples, *again])))

    assert "Medians of 1 interleaved" in (project / "docs/bench-server.svg").read_text()
    assert "Medians of 2 interleaved" in (project / "docs/bench-apiserver.svg").read_text()


def test_a_run_of_one_part_is_not_written_into_the_pages(project):
    with pytest.raises(ValueError, match="not measured: API server"):
        publish.write_pages(project, run("alone"))


def test_targets_of_a_part_that_was_not_measured_are_left_out_of_the_report():
    whole = run("alone", "apiserver")
    figures = Figures(one for one in whole.figures.samples if not one.scenario.startswith("apiserver"))

    text = publish.as_text(whole._replace(figures=figures))

    assert "6 KB, new pods, 1 connection: p50" in text
    assert "not measured" not in text


def test_what_stands_outside_of_the_marks_is_kept():
    page = "before\n<!-- bench: x -->\nold\n<!-- end: x -->\nafter\n"

    assert pages.filled(page, "x", "new\n") == "before\n<!-- bench: x -->\nnew\n<!-- end: x -->\nafter\n"


@pytest.mark.parametrize(
    "page",
    [
        "nothing",
        "<!-- bench: x -->",
        "<!-- end: x --> <!-- bench: x -->",
        "<!-- bench: x --><!-- end: x --><!-- bench: x --><!-- end: x -->",
    ],
)
def test_a_page_without_its_marks_is_an_error(page):
    with pytest.raises(ValueError, match="the page needs"):
        pages.filled(page, "x", "new")
