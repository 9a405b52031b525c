"""Render why workloads are not found to be clients of a kind: as JSON, as YAML, as indented text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from webhook.analysis.workloads import Answered
from webhook.cli.render.decisions import json_list, yaml_list
from webhook.problem import printable


def as_object(answered: Answered) -> dict[str, Any]:
    """Return one answer as plain JSON values."""
    workload, answer = answered.workload, answered.why_not
    return {
        "kind": workload.kind,
        "namespace": workload.namespace,
        "name": workload.name,
        "asked": answered.kind,
        "answer": answer.answer.value,
        "inspected": dict(answer.looked_at),
        # The former name of `inspected`, kept for one minor version.
        "lookedAt": dict(answer.looked_at),
        "because": [{"where": reason.where, "why": reason.why} for reason in answer.reasons],
        "unknown": list(answer.unknown),
        "source": workload.source,
    }


def as_json(answered: Iterable[Answered]) -> str:
    """Return the answers as a JSON list."""
    return json_list(map(as_object, answered))


def as_yaml(answered: Iterable[Answered]) -> str:
    """Return the answers as a YAML list."""
    return yaml_list(map(as_object, answered))


def show(answered: Iterable[Answered]) -> None:
    """Print the answers: one line for each workload, and its reasons indented below it."""
    for each in answered:
        for line in _lines(each):
            print(printable(line))


def _lines(answered: Answered) -> Iterator[str]:
    workload, answer = answered.workload, answered.why_not
    yield f"{workload.namespace} {workload.kind}/{workload.name}: client of {answered.kind}? {answer.answer}"
    for reason in answer.reasons:
        yield f"  {reason.where}: {reason.why}"
    for unknown in answer.unknown:
        yield f"  unknown: {unknown}"
    counted = ", ".join(f"{number} {place}" for place, number in answer.looked_at.items() if number)
    if not answer.reasons:
        yield f"  {f'none of {counted} refers' if counted else 'no setting refers'} to {answered.kind}"
