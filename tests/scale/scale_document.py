"""Write the figures of docs/scale.md from build/scale/results.json: `make scale-docs`.

A table stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`; what is around it is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from day import PEAK, PEAK_PER_HOUR
from estimate import HEADROOM, Cluster, Estimate, costs, estimate
from results import FILE, targets

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
_BLOCK = re.compile(r"(?<=<!-- figures: )(\w+)( -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
LARGE = {
    "Namespaces": 50_000,
    "Services": 100_000,
    "ConfigMaps with the cluster's CA": 50_000,
    "ConfigMaps of 10 kB": 100_000,
}
"""A cluster of 50,000 namespaces."""
Figures = dict[str, Any]


def render(page: str, found: Figures) -> str:
    """The page with the figures that were found; where a part has not been measured, with those that it had."""

    def block(there: re.Match[str]) -> str:
        parts, table = TABLES[there[1]]
        return f"{there[1]}{there[2]}\n{table(found)}\n\n" if parts <= found.keys() else there[0]

    return _BLOCK.sub(block, page)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _targets(found: Figures) -> str:
    rows = [
        (one.name, f"{one.most:g} {one.unit}", f"{one.measured:.3g} {one.unit}", "yes" if one.met else "**no**")
        for one in targets(found["cluster"])
    ]
    return _table(("", "Target", "Measured", "Met"), rows)


def _objects(found: Figures) -> str:
    cost = costs(found["cluster"])
    rows = [(kind, f"{kilobytes:.1f} kB") for kind, kilobytes in cost.object_kb.items()]
    rows.append(("1,000 ConfigMaps of 10 kB", f"{cost.object_kb['ConfigMaps of 10 kB']:.1f} MB"))
    rows.append(("The server in an empty cluster", f"{cost.base_mb:.0f} MB"))
    whole = found["cluster"]["stages"]["whole"]
    rows.append(
        ("Total, and peak during the initial lists", f"{whole['resident_mb']:.0f} MB, {whole['peak_mb']:.0f} MB")
    )
    return _table(("Kept of each", "Resident memory"), rows)


def _relist(found: Figures) -> str:
    load = found["cluster"]["load"]
    rows: list[tuple[str, ...]] = [("Idle", f"{load['idle']['reviews']:,}", "1.00", "1.00", "1.00")]
    for name, what in (
        ("relist", "Relist of everything"),
        ("control", "Control: another process reads the same"),
        ("large", "ConfigMaps of 1 MB are received"),
    ):
        some = load[name]
        rows.append((what, f"{some['reviews']:,}", *(f"{some[key]:.2f}" for key in ("p50", "p99", "max"))))
    rounds = ", ".join(f"{one['p99']:.2f}" for one in load["rounds"]["relist"])
    controls = ", ".join(f"{one['p99']:.2f}" for one in load["rounds"]["control"])
    before, after = load["lag"]["before"], load["lag"]["after relists"]
    count, late = (int(after[key] - before[key]) for key in ("count", "0.005"))
    said = (
        f"p99 in each round: {rounds}; of the other process: {controls}. "
        f"Of {count} wake-ups of the event loop, relists included, {late} were over 5 ms late."
    )
    return f"{_table(('During', 'Reviews', 'p50', 'p99', 'Slowest'), rows)}\n\n{said}"


def _estimate(found: Figures) -> str:
    need = _need(found)
    review = _review(found)
    rows = (
        ("Reviews", f"{PEAK_PER_HOUR:,} pods an hour, two of each", f"{need.reviews_per_second:.0f} a second"),
        ("CPU", f"at most {review * 1e6:.0f} µs for each review", f"{need.cores * 1000:.0f} m"),
        ("CPU in the worst minutes", f"{_burst(found):.0f} pods a second", f"{need.burst_cores * 1000:.0f} m"),
        ("Replicas", f"at most {HEADROOM:.0%} busy in the worst minutes, and two", f"{need.replicas}"),
        ("Memory of each", ", ".join(f"{count:,} {kind}" for kind, count in LARGE.items()), f"{need.memory_mb:.0f} MB"),
        (
            "Start of each",
            f"{costs(found['cluster']).config_map_seconds * 1e3:.1f} ms for each ConfigMap of 10 kB",
            f"{need.start_seconds:.0f} s",
        ),
    )
    lines = [("", "From", "Needed"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ("---", "---", "---:"), *lines[1:]))


def _costs(found: Figures) -> str:
    simulation = found["simulation"]
    single, known, new, connecting = (simulation[name] for name in ("single", "known", "new", "connecting"))
    rows = (
        ("A review of a pod like one before, among others", known["server"], known["generator"]),
        ("The same of a new pod", new["server"], new["generator"]),
        ("To begin, where there was nothing to do", single["server"] - known["server"], None),
        (
            "A connection",
            connecting["server"] - known["server"],
            connecting["generator"] - known["generator"],
        ),
    )
    told = [(what, *("" if seconds is None else f"{seconds * 1e6:.0f} µs" for seconds in some)) for what, *some in rows]
    return _table(("CPU", "Server", "Generator"), told)


def _simulation(found: Figures) -> str:
    simulation = found["simulation"]
    tables = [f"At {simulation['speed']:.0f} times the day's speed:"]
    for count, servers in ((1, "One server"), (2, "Two servers")):
        rows = [
            (
                one["excerpt"],
                f"{one['pods_per_second']:.0f}",
                f"{one['busy']:.0%}",
                f"{one['predicted_busy']:.0%}",
                f"{one['busiest']:.0%}",
                f"{one['predicted_busiest']:.0%}",
                f"{one['opened']:,}",
                f"{one['predicted_opened']:,}",
                f"{one['p99'] * 1e3:.0f} ms",
                f"{one['predicted_p99'] * 1e3:.0f} ms",
            )
            for one in simulation[f"servers_{count}"]
        ]
        head = (servers, "Pods/s", "busy", "predicted", "busiest", "predicted", "connections", "predicted", "p99")
        tables.append(_table((*head, "predicted"), rows))
    tables.append(f"{_factors(simulation)} {_generator(simulation)}")
    return "\n\n".join(tables)


def _factors(simulation: Figures) -> str:
    """How far predictions are off, either way, at most."""

    def furthest(count: int, name: str) -> float:
        ratios = [one[name] / one[f"predicted_{name}"] for one in simulation[f"servers_{count}"]]
        return max(*ratios, 1 / min(ratios))

    one, two = (
        f"{name} of {furthest(count, 'busy'):.1f} of how busy servers were and of {furthest(count, 'p99'):.1f} of p99"
        for count, name in ((1, "with one server within a factor"), (2, "with two within one"))
    )
    return f"Predictions were {one}, {two}."


def _generator(simulation: Figures) -> str:
    both = [one for count in (1, 2) for one in simulation[f"servers_{count}"]]
    busy, late = max(one["generator_busy"] for one in both), max(one["late_p99"] for one in both)
    return (
        f"The generator was busy for at most {busy:.0%} of an excerpt, and sent one of a hundred requests up to "
        f"{late * 1e3:.0f} ms late."
    )


def _burst(found: Figures) -> float:
    return max(one["pods_per_second"] for one in found["simulation"]["servers_1"])


def _need(found: Figures) -> Estimate:
    return estimate(
        Cluster(round(PEAK * 3600), _burst(found), LARGE),
        costs(found["cluster"]),
        _review(found),
    )


def _review(found: Figures) -> float:
    """The most that one review takes: of a pod that is new, while there is nothing else to do."""
    simulation = found["simulation"]
    return simulation["new"]["server"] + simulation["single"]["server"] - simulation["known"]["server"]


_MEASURED, _SIMULATED = {"cluster"}, {"simulation"}
TABLES: dict[str, tuple[set[str], Callable[[Figures], str]]] = {
    "targets": (_MEASURED, _targets),
    "objects": (_MEASURED, _objects),
    "relist": (_MEASURED, _relist),
    "estimate": (_MEASURED | _SIMULATED, _estimate),
    "costs": (_SIMULATED, _costs),
    "simulation": (_SIMULATED, _simulation),
}
"""For each table, the parts of the results that it is of, and how it is written."""


def main() -> int:
    """Write the page."""
    if not FILE.exists():
        print(f"error: {FILE} is not there: run `make scale` first", file=sys.stderr)
        return 1
    PAGE.write_text(render(PAGE.read_text(), json.loads(FILE.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
