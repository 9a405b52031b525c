"""Render decisions: a table or one line each for users, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook.analysis.connections import Connected
from webhook.core.decision import Action, Decision, Mode
from webhook.core.verdict import Outcome, Verdict
from webhook.problem import printable
from webhook.verdicts.compose import Judged

_HEADINGS = ("NAMESPACE", "WORKLOAD", "DECISION", "RULE", "TALKS-TO", "SERVES", "CONNECTIONS", "EVIDENCE")


def as_object(connected: Connected) -> dict[str, Any]:
    """Return one decision as plain JSON values.

    Returns:
        The workload, the decision, the evidence, and what becomes of each connection. `rule` is None where no rule
        decided; `host` and `port` of a dependency are None where they are unknown.
    """
    workload, decision = connected.decided.workload, connected.decided.decision
    return {
        "kind": workload.kind,
        "namespace": workload.namespace,
        "name": workload.name,
        "action": decision.action.value,
        "rule": decision.rule,
        "mode": decision.mode.value,
        "reason": decision.reason.code,
        "explanation": decision.reason.sentence,
        "matched": list(decision.matched),
        "ports": list(decision.ports),
        "hold": decision.hold,
        "dependencies": [
            {
                "kind": judged.kind,
                "confidence": judged.confidence.value,
                "host": judged.host,
                "port": judged.port,
                "evidence": judged.evidence,
                "wire": judged.wire and judged.wire.value,
                "init": judged.init,
                "redirects": judged.redirects,
                "verdict": verdict_object(judged.verdict),
            }
            for judged in _dependencies(connected)
        ],
        "serves": list(decision.findings.serves),
        "unknown": list(decision.findings.unknown),
        "warnings": list(decision.warnings),
        "policy": decision.policy,
        "source": workload.source,
    }


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain JSON values; `security` is None unless it flows, and `at` unless it breaks."""
    return {
        "outcome": verdict.outcome.value,
        "code": verdict.code,
        "security": verdict.security and verdict.security.value,
        "at": verdict.at and verdict.at.value,
        "evidence": list(verdict.evidence),
        "missing": list(verdict.missing),
    }


def phrase(verdict: Verdict) -> str:
    """Return a verdict in a few words: "flows (mtls)", "hangs at the server's end (permissive-waits)"."""
    if verdict.outcome is Outcome.FLOWS:
        return f"flows ({verdict.security})" if verdict.security else "flows"
    if verdict.outcome is Outcome.UNKNOWN:
        return f"unknown: {', '.join(verdict.missing)}"
    return f"{verdict.outcome} at the {verdict.at}'s end ({verdict.code})"


def _dependencies(connected: Connected) -> list[Judged]:
    return [judged for judged in connected.connections if judged.kind is not None]


def as_json(decided: Iterable[Connected]) -> str:
    """Return the decisions as a JSON list."""
    return json_list(map(as_object, decided))


def as_yaml(decided: Iterable[Connected]) -> str:
    """Return the decisions as a YAML list."""
    return yaml_list(map(as_object, decided))


def json_list(objects: Iterable[dict[str, Any]]) -> str:
    """Return plain data as a JSON list, in the format of every command."""
    return json.dumps(list(objects), indent=2, ensure_ascii=False)


def yaml_list(objects: Iterable[dict[str, Any]]) -> str:
    """Return plain data as a YAML list, in the format of every command."""
    return yaml.safe_dump(list(objects), sort_keys=False, allow_unicode=True, width=10_000)


def show(decided: Sequence[Connected]) -> None:
    """Print the decisions: a table on a terminal, aligned lines without colour anywhere else."""
    console = Console()
    if not decided:
        return
    if console.is_terminal:
        console.print(_table(decided))
    else:
        print("\n".join(_lines(decided)))


def verb(decision: Decision) -> str:
    """Return the action with its qualifiers, in one word: `bypass:5672,6379+hold`, `skip(audit)`."""
    ports = ":" + ",".join(map(str, decision.ports)) if decision.ports else ""
    hold = "+hold" if decision.hold else ""
    audit = "(audit)" if decision.mode is Mode.AUDIT else ""
    return f"{decision.action.value}{ports}{hold}{audit}"


def style(action: Action) -> str:
    """Return the style of an action on a terminal."""
    match action:
        case Action.INHERIT:
            return "dim"
        case Action.SKIP:
            return "yellow"
        case Action.INJECT:
            return "green"
        case Action.BYPASS:
            return "cyan"
        case _:
            assert_never(action)


def _table(decided: Sequence[Connected]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_lines=True)
    # The first two are narrow, so that the evidence has room on a terminal of 80 columns.
    table.add_column("Workload", overflow="fold", max_width=26)
    table.add_column("Decision", overflow="fold", max_width=20)
    table.add_column("Dependencies and evidence", overflow="fold")
    several = len({each.decided.workload.namespace for each in decided}) > 1
    for each in decided:
        workload, decision = each.decided.workload, each.decided.decision
        place = f"{workload.kind} in {workload.namespace}" if several else workload.kind
        table.add_row(
            _cell([(workload.name, "bold"), (place, "dim")]),
            _cell([(decision.action.value, style(decision.action)), *_details(decision)]),
            _cell(_evidence(each)),
        )
    return table


def _cell(lines: Iterable[tuple[str, str]]) -> Text:
    return Text("\n").join(Text(printable(text), style=style) for text, style in lines)


def _details(decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield the lines below the action, with their styles."""
    yield why(decision), "dim"
    if decision.ports:
        yield "ports " + ", ".join(map(str, decision.ports)), ""
    if decision.hold:
        yield "hold", ""
    if decision.mode is Mode.AUDIT:
        yield "audit: no change", "magenta"


def _evidence(connected: Connected) -> Iterator[tuple[str, str]]:
    """Yield the lines of the last column, with their styles."""
    decision = connected.decided.decision
    findings = decision.findings
    for judged in _dependencies(connected):
        yield f"{judged.kind}, {judged.confidence.value}", ""
        yield judged.evidence, "dim"
        yield phrase(judged.verdict), verdict_style(judged.verdict)
    if findings.serves:
        yield "serves " + ", ".join(findings.serves), ""
    for unknown in findings.unknown:
        yield f"unknown: {unknown}", "magenta"
    for warning in decision.warnings:
        yield f"warning: {warning}", "red"
    if not (findings.dependencies or findings.serves or findings.unknown):
        yield "nothing found", "dim"


def verdict_style(verdict: Verdict) -> str:
    """Return the style of a verdict on a terminal."""
    if verdict.outcome is Outcome.FLOWS:
        return "green"
    return "red" if verdict.outcome.breaks else "magenta"


def _lines(decided: Sequence[Connected]) -> Iterator[str]:
    """Yield a line of headings and one for each workload; no column but the last contains a space."""
    rows = [_HEADINGS, *map(_row, decided)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _row(connected: Connected) -> tuple[str, ...]:
    decided = connected.decided
    decision, findings = decided.decision, decided.decision.findings
    dependencies = _dependencies(connected)
    evidence = [
        *(dependency.evidence for dependency in findings.dependencies),
        *(f"unknown: {unknown}" for unknown in findings.unknown),
        *(f"warning: {warning}" for warning in decision.warnings),
    ]
    cells = (
        decided.workload.namespace,
        f"{decided.workload.kind}/{decided.workload.name}",
        verb(decision),
        why(decision).replace(" ", "-"),
        ",".join(f"{judged.kind}({judged.confidence.value})" for judged in dependencies),
        ",".join(findings.serves),
        ",".join(f"{judged.kind}:{_outcome(judged.verdict)}" for judged in dependencies),
        "; ".join(evidence),
    )
    return tuple(printable(cell) or "-" for cell in cells)


def _outcome(verdict: Verdict) -> str:
    return verdict.outcome.value if verdict.outcome is Outcome.UNKNOWN else verdict.code


def why(decision: Decision) -> str:
    """Return the rule that decided, or in brackets the code of the reason why none did."""
    return decision.rule or f"({decision.reason.code})"
