"""Results as tables: for a terminal, and as Markdown for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from figures import Figures, Side, Spread
from goals import CONNECTIONS, GROWTH, LARGE_CONNECTIONS, OPEN, START, Outcome, alone, created, many

Rows = Sequence[Sequence[str]]

KILOBYTES = {"small": "6 KB", "large": "220 KB"}
OURS = tuple(f"{who}, {pods}" for who in ("ours", "two of ours") for pods in ("new pods", "replicas"))
ORDER = ("floor", "floor in Python", "go lean", "go typed", *OURS)


def text(rows: Rows) -> str:
    """Rows, of which the first is the heading, with columns of equal width."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown(rows: Rows) -> str:
    """The same as a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def verdicts(outcomes: Iterable[Outcome]) -> Rows:
    """Every goal with what was measured, between what half of the rounds lie, and whether it is met."""
    rows: list[tuple[str, ...]] = [("Target", "Limit", "Measured", "Half of the rounds", "")]
    for outcome in outcomes:
        goal, found = outcome.goal, outcome.measured
        measured = ("not measured", "-") if found is None else (f"{found.median:.2f} {goal.unit}", _spread(found))
        said = "met" if outcome.met else "NOT MET"
        rows.append((goal.name, f"<= {goal.limit:g} {goal.unit}", *measured, said))
    return rows


def alone_tables(figures: Figures) -> Iterator[tuple[str, Rows]]:
    """Of the server alone, a title and a table for each size and load."""
    loads = [("small", one) for one in (*CONNECTIONS, "open")] + [("large", one) for one in LARGE_CONNECTIONS]
    for size, load in loads:
        scenario = alone(size, load)
        if not figures.arms(scenario):
            continue
        how = f"{OPEN} requests/s, open loop" if isinstance(load, str) else many(load, "connection")
        yield f"{KILOBYTES[size]}, {how}", _alone(figures, scenario)


def _alone(figures: Figures, scenario: str) -> Rows:
    rows: list[tuple[str, ...]] = [
        ("Server", "p50 ms", "p99 ms", "p99.9 ms", "req/s", "CPU µs/req", "RSS MB", "p50 / typed", "p99 / typed")
    ]
    measured = figures.arms(scenario)
    for arm in (arm for arm in ORDER if arm in measured):
        side = Side(scenario, arm)
        cells = [_number(figures.median(side, measure), 2) for measure in ("p50", "p99", "p999")]
        cells += [_number(figures.median(side, measure), 0) for measure in ("perSecond", "cpu", "rss")]
        ratios = [_told(figures.ratio(measure, side, Side(scenario, "go typed"))) for measure in ("p50", "p99")]
        rows.append((arm, *cells, *ratios))
    return rows


def growth_table(figures: Figures) -> Rows:
    """How the answer takes longer as policies and pods grow."""
    rows: list[tuple[str, ...]] = [("", "p50 ms", "p99 ms", "CPU µs/req", "p50 to the one above")]
    above: Side | None = None
    for arm in ("10 rules", "1,000 rules", "10 values", "100 values", "1,000 values", "2,000 values"):
        side = Side(GROWTH, arm)
        cells = [_number(figures.median(side, measure), 2) for measure in ("p50", "p99")]
        first = above is None or above.arm.endswith("rules") != arm.endswith("rules")
        ratio = "" if first else _told(figures.ratio("p50", side, above))
        rows.append((arm, *cells, _number(figures.median(side, "cpu"), 0), ratio))
        above = side
    return rows


def start_table(figures: Figures) -> Rows:
    """How long each server takes to start."""
    arms = ("go typed", "floor in Python", "ours")
    return [("Server", "ready after s"), *((arm, _told(figures.spread("ready", Side(START, arm)))) for arm in arms)]


def profile_table(figures: Figures, profile: Mapping[str, Mapping[str, int]]) -> Rows:
    """Where the CPU time of ours goes, in microseconds of a request and as a share; without parts below a hundredth."""
    rows: list[tuple[str, ...]] = [
        ("", *(f"{heading} {what}" for heading in KILOBYTES.values() for what in ("µs/req", "share")))
    ]
    shares = {size: _shares(profile.get(size, {})) for size in KILOBYTES}
    spent = {size: figures.median(Side(alone(size, 8), "ours, new pods"), "cpu") or 0.0 for size in KILOBYTES}
    parts = sorted({part for met in shares.values() for part in met}, key=lambda part: -shares["small"].get(part, 0.0))
    for part in parts:
        of_part = {size: met.get(part, 0.0) for size, met in shares.items()}
        if max(of_part.values()) >= 0.01:
            cells = [(f"{share * spent[size]:,.0f}", f"{share:.0%}") for size, share in of_part.items()]
            rows.append((part, *(cell for pair in cells for cell in pair)))
    rows.append(("all", *(cell for value in spent.values() for cell in (f"{value:,.0f}", ""))))
    return rows


def _shares(met: Mapping[str, int]) -> dict[str, float]:
    total = sum(met.values())
    return {part: count / total for part, count in met.items()}


def created_tables(figures: Figures, arms: Sequence[str]) -> Iterator[tuple[str, Rows]]:
    """Of the API server, a title and a table for each number of clients."""
    for clients in CONNECTIONS:
        scenario = created(clients)
        if figures.arms(scenario):
            yield many(clients, "client"), _created(figures, scenario, arms)


def _created(figures: Figures, scenario: str, arms: Sequence[str]) -> Rows:
    rows: list[tuple[str, ...]] = [
        ("Webhook", "p50 ms", "p99 ms", "pods/s", "added p50 ms", "added p99 ms", "added p50 / typed")
    ]
    for arm in arms:
        side, added = Side(scenario, arm), Side(scenario, arm, "none")
        cells = [_number(figures.median(side, measure), 2) for measure in ("p50", "p99")]
        cells.append(_number(figures.median(side, "perSecond"), 0))
        if arm == "none":
            cells += ["", "", ""]
        else:
            cells += [_number(figures.median(added, measure), 2) for measure in ("p50", "p99")]
            cells.append(_told(figures.ratio("p50", added, Side(scenario, "go typed", "none"))))
        rows.append((arm, *cells))
    return rows


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _told(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} ({_spread(spread)})"


def _spread(of: Spread) -> str:
    return f"{of.low:.2f} … {of.high:.2f}"
