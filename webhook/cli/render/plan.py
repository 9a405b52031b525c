"""Render a plan: lines for users, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook.analysis.plan.changes import Change
from webhook.analysis.plan.flows import Flow
from webhook.analysis.plan.plan import Plan
from webhook.cli.render.decisions import style, verb, why
from webhook.cli.render.kubernetes_yaml import dump
from webhook.core.decision import Decision
from webhook.decision.drift import Drifted, restart_command
from webhook.problem import printable


def as_object(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    policy = {"current": plan.now, "proposed": plan.then}
    restarts = {"current": _restarts(plan.restarts_now), "proposed": _restarts(plan.restarts_then)}
    return {
        "policy": _with_former_names(policy),
        "changes": [
            {
                "kind": change.kind,
                "namespace": change.namespace,
                "name": change.name,
                **_with_former_names({"current": _decision(change.before), "proposed": _decision(change.after)}),
                "sidecar": "lost" if change.loses_sidecar else "gained" if change.gains_sidecar else "unchanged",
                "evidence": _evidence(change),
            }
            for change in plan.changes
        ],
        "consequences": [
            {
                "kind": warned.kind,
                "namespace": warned.namespace,
                "name": warned.name,
                "code": warned.consequence.code,
                "breaks": warned.consequence.breaks,
                "message": warned.message,
                "evidence": list(warned.evidence),
            }
            for warned in plan.consequences
        ],
        "connections": {
            "broken": [_flow(flow) for flow in plan.flows.broken],
            "healed": [_flow(flow) for flow in plan.flows.healed],
            "plaintext": [_flow(flow) for flow in plan.flows.plaintext],
            "unknown": plan.flows.unknown,
        },
        "restarts": _with_former_names(restarts),
    }


def as_json(plan: Plan) -> str:
    """Return the plan as a JSON object."""
    return json.dumps(as_object(plan), indent=2, ensure_ascii=False)


def as_yaml(plan: Plan) -> str:
    """Return the plan as a YAML mapping."""
    return dump([as_object(plan)])


def show(plan: Plan) -> None:
    """Print the plan: on a terminal with a table, anywhere else in lines without colour."""
    console = Console()
    if plan.changes:
        if console.is_terminal:
            console.print(_table(plan.changes))
        else:
            print("\n".join(_lines(plan.changes)))
    print("\n".join(printable(line) for line in _rest(plan)))


def _with_former_names(pair: dict[str, Any]) -> dict[str, Any]:
    """Repeat `current` and `proposed` under their former names, `now` and `then`, for one minor version."""
    return {**pair, "now": pair["current"], "then": pair["proposed"]}


def _flow(flow: Flow) -> dict[str, Any]:
    judged, cause = flow.judged, flow.at_fault
    return {
        "kind": flow.kind,
        "namespace": flow.namespace,
        "name": flow.name,
        "backend": judged.kind,
        "host": judged.host,
        "port": judged.port,
        "service": None if judged.service is None else f"{judged.service.namespace}/{judged.service.name}",
        "init": judged.init,
        **_with_former_names({"current": flow.before.outcome.value, "proposed": flow.after.outcome.value}),
        "code": cause.code,
        "end": None if cause.at is None else cause.at.value,
        "evidence": list(cause.evidence),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action.value,
        "rule": decision.rule,
        "mode": decision.mode.value,
        "reason": decision.reason.code,
        "ports": list(decision.ports),
        "hold": decision.hold,
        "matched": list(decision.matched),
    }


def _evidence(change: Change) -> list[str]:
    """Return what the two rules matched, and the evidence chains."""
    chains = (dependency.evidence for dependency in change.after.findings.dependencies)
    return list(dict.fromkeys([*change.after.matched, *change.before.matched, *chains]))


def _restarts(drifted: Sequence[Drifted]) -> dict[str, Any]:
    return {
        "pods": [
            {
                "namespace": pod.namespace,
                "name": pod.name,
                "owner": None if pod.owner is None else f"{pod.owner.kind}/{pod.owner.name}",
                "reason": pod.drift.code,
                "rule": pod.decision.rule,
            }
            for pod in drifted
        ],
        "commands": _commands(drifted),
    }


def _commands(drifted: Sequence[Drifted]) -> list[str]:
    return list(dict.fromkeys(command for pod in drifted if (command := _command(pod)) is not None))


def _command(pod: Drifted) -> str | None:
    return restart_command(pod.namespace, pod.owner)


def _lines(changes: Sequence[Change]) -> Iterator[str]:
    """One line for each workload below a line of headings; no column but the last contains a space."""
    rows = [("NAMESPACE", "WORKLOAD", "CURRENT", "RULE", "PROPOSED", "RULE", "EVIDENCE"), *map(_row, changes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _row(change: Change) -> tuple[str, ...]:
    cells = (
        change.namespace,
        f"{change.kind}/{change.name}",
        verb(change.before),
        why(change.before).replace(" ", "-"),
        verb(change.after),
        why(change.after).replace(" ", "-"),
        "; ".join(_evidence(change)),
    )
    return tuple(printable(cell) or "-" for cell in cells)


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_lines=True)
    table.add_column("Workload", overflow="fold", max_width=26)
    table.add_column("Current → proposed", overflow="fold", max_width=30)
    table.add_column("Because", overflow="fold")
    for change in changes:
        before, after = change.before, change.after
        step = Text(printable(f"{verb(before)} ({why(before)})")).append("\n→ ")
        step.append(printable(f"{verb(after)} ({why(after)})"), style=style(after.action))
        place = Text(printable(change.name)).append("\n")
        place.append(printable(f"{change.kind} in {change.namespace}"), "dim")
        table.add_row(place, step, Text("\n".join(map(printable, _evidence(change))), style="dim"))
    return table


def _rest(plan: Plan) -> Iterator[str]:
    for becomes, flows in (
        ("breaks", plan.flows.broken),
        ("heals", plan.flows.healed),
        ("plaintext", plan.flows.plaintext),
    ):
        yield from (_flow_line(becomes, flow) for flow in flows)
    for warned in plan.consequences:
        severity = "breaks" if warned.consequence.breaks else "note"
        chains = f" ({'; '.join(warned.evidence)})" if warned.evidence else ""
        place = f"{warned.namespace} {warned.kind}/{warned.name}"
        yield f"{severity}: {warned.consequence.code} {place}: {warned.message}{chains}"
    yield from _restart_lines(plan.restarts_now, f"pods differ from policy {plan.now}; restart with:")
    # A pod that differs from both policies is reported once.
    reported = {(pod.namespace, pod.name) for pod in plan.restarts_now}
    new = [pod for pod in plan.restarts_then if (pod.namespace, pod.name) not in reported]
    yield from _restart_lines(new, f"pods would differ from policy {plan.then}; once it is active, restart with:")
    if plan.changes and plan.flows.unknown:
        yield f"note: {plan.flows.unknown} connections have no verdict and are not compared: see explain"
    lost = sum(change.loses_sidecar for change in plan.changes)
    gained = sum(change.gains_sidecar for change in plan.changes)
    changed = f"{len(plan.changes)} would change" if plan.changes else "nothing would change"
    yield f"from {plan.now} to {plan.then}: {changed}, {lost} would lose the sidecar, {gained} would gain it"


def _flow_line(becomes: str, flow: Flow) -> str:
    """Return one connection as a line: what becomes of it, why, at which end, and what happens there."""
    place = f"{flow.namespace} {flow.kind}/{flow.name} → {flow.judged.place}"
    cause = flow.at_fault
    end = f" at the {cause.at}'s end" if cause.at is not None else ""
    said = f" ({cause.evidence[-1]})" if cause.evidence else ""
    match becomes:
        case "breaks":
            return f"breaks: {cause.code} {place}: {flow.after.outcome}{end}{said}"
        case "heals":
            return f"heals: {cause.code} {place}: {flow.before.outcome}{end}{said}"
        case _:
            return f"note: {place}: loses mutual TLS{said}"


def _restart_lines(drifted: Sequence[Drifted], heading: str) -> Iterator[str]:
    if not drifted:
        return
    yield f"# {len(drifted)} {heading}"
    yield from _commands(drifted)
    for pod in drifted:
        if _command(pod) is None:
            yield f"# pod {pod.namespace}/{pod.name}: {pod.drift.sentence}; recreate it"
