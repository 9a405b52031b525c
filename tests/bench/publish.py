"""What is told of a run: on the terminal, in docs/benchmarks.md, its charts, and the README's sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pages
import pictures
import tables
from figures import Figures, Side
from goals import GOALS, Outcome, alone, created, outcomes

Abouts = Mapping[str, Mapping[str, Any]]
TITLES = {"alone": "Server alone", "apiserver": "API server"}


class Run(NamedTuple):
    """What was measured.

    Attributes:
        figures: All samples.
        abouts: When and with what, by part.
        profile: By size of the pods: how often the profiler met each part of ours.
        arms: The names of the API server's arms, in their order.
    """

    figures: Figures
    abouts: Abouts
    profile: Mapping[str, Mapping[str, int]]
    arms: Sequence[str]


def reached(run: Run) -> list[Outcome]:
    """The goals of the parts that were measured, with what was measured."""
    measured = {one.scenario for one in run.figures.samples}
    return outcomes(run.figures, [goal for goal in GOALS if goal.over.scenario in measured])


def as_text(run: Run) -> str:
    """The whole report for a terminal; the targets come last."""
    return "\n\n".join([*_sections(run), tables.text(tables.verdicts(reached(run))), _verdict(run)])


def _sections(run: Run) -> Iterator[str]:
    for part, about in run.abouts.items():
        yield f"{TITLES[part]}: {_about(about)}"
        if part == "alone":
            for title, rows in tables.alone_tables(run.figures):
                yield f"{title}\n{tables.text(rows)}"
            yield f"growth, 1 connection\n{tables.text(tables.growth_table(run.figures))}"
            yield f"start\n{tables.text(tables.start_table(run.figures))}"
            yield f"where the CPU time goes\n{tables.text(tables.profile_table(run.figures, run.profile))}"
        else:
            for title, rows in tables.created_tables(run.figures, run.arms):
                yield f"{title}\n{tables.text(rows)}"


def write_pages(root: Path, run: Run) -> None:
    """Write tables, charts and the README's sentence.

    Args:
        root: The project's directory.
        run: Has both parts.

    Raises:
        ValueError: A part was not measured, or a page lacks its marks.
    """
    if missing := [title for part, title in TITLES.items() if part not in run.abouts]:
        raise ValueError(f"not measured: {', '.join(missing)}")
    docs = root / "docs"
    (docs / "bench-server.svg").write_text(pictures.server(run.figures))
    (docs / "bench-apiserver.svg").write_text(pictures.api_server(run.figures, run.arms))
    content = {
        "targets": f"{tables.markdown(tables.verdicts(reached(run)))}\n\n{_verdict(run)}",
        "server": _markdown(tables.alone_tables(run.figures)),
        "growth": tables.markdown(tables.growth_table(run.figures)),
        "start": tables.markdown(tables.start_table(run.figures)),
        "profile": tables.markdown(tables.profile_table(run.figures, run.profile)),
        "apiserver": _markdown(tables.created_tables(run.figures, run.arms)),
        "about": "\n".join(f"- {TITLES[part]}: {_about(about)}." for part, about in run.abouts.items()),
    }
    pages.fill(docs / "benchmarks.md", content)
    pages.fill(root / "README.md", {"summary": summary(run.figures)})


def summary(figures: Figures) -> str:
    """Return the README's summary: the costs, as ratios."""
    small, pods = alone("small", 1), created(1)
    known = _times(figures, Side(small, "ours, replicas"), Side(small, "go typed"))
    new = _times(figures, Side(small, "ours, new pods"), Side(small, "go typed"))
    spared = _times(figures, Side(pods, "ours + Istio, skipped", "none"), Side(pods, "Istio", "none"))
    return (
        f"A skipped pod avoids Istio's injector: the latency added to its creation is {spared} that of the injector\n"
        "alone, on a real API server. With detection, ten rules, metrics and a decision log a review takes\n"
        f"{known} as long as in a webhook in Go (`net/http`, `encoding/json`, `k8s.io/api`) that sets one label on\n"
        f"every pod, and {new} for an uncached pod. All are medians with one client;\n"
        "[benchmarks](docs/benchmarks.md) describes the measurement, and which targets are not met."
    )


def _times(figures: Figures, over: Side, under: Side) -> str:
    ratio = figures.ratio("p50", over, under)
    return "?" if ratio is None else f"{ratio.median:.2f} x"


def _verdict(run: Run) -> str:
    found = reached(run)
    return f"{sum(one.met for one in found)} of {len(found)} targets met."


def _markdown(titled: Iterator[tuple[str, tables.Rows]]) -> str:
    return "\n\n".join(f"**{title}**\n\n{tables.markdown(rows)}" for title, rows in titled)


def _about(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in about["versions"].items())
    return f"{about['date']}, {about['rounds']} rounds, {about['cores']} cores shared by all; {versions}"
