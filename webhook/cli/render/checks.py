"""Render a check: the hops for users, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from webhook.analysis.check import Checked
from webhook.cli.render.decisions import phrase, verdict_object, verdict_style
from webhook.core.verdict import Outcome, Verdict
from webhook.problem import printable


def as_object(checked: Checked) -> dict[str, Any]:
    """Return a check as plain JSON values; `service` is None for a host that is no Service's."""
    return {
        "client": {"namespace": checked.client.namespace, "workload": checked.client.name},
        "server": {"service": checked.service or None, "host": checked.to.host or None, "port": checked.to.port},
        "wires": [wire.value for wire in checked.wires],
        "knownBy": checked.known_by or None,
        "verdict": verdict_object(checked.verdict),
        "servers": [
            {"namespace": server.namespace, "workload": server.name, "verdict": verdict_object(verdict)}
            for server, verdict in checked.servers
        ],
    }


def as_json(checked: Checked) -> str:
    """Return a check as a JSON object."""
    return json.dumps(as_object(checked), indent=2, ensure_ascii=False)


def as_yaml(checked: Checked) -> str:
    """Return a check as YAML."""
    return yaml.safe_dump(as_object(checked), sort_keys=False, allow_unicode=True, width=10_000)


def show(checked: Checked) -> None:
    """Print a check: who calls whom and what is spoken, the hops to each workload that may answer, and the verdict."""
    console = Console(highlight=False, soft_wrap=True)
    for line, style in _lines(checked):
        console.print(Text(printable(line), style=style))


def _lines(checked: Checked) -> Iterator[tuple[str, str]]:
    yield f"{checked.client.name} in {checked.client.namespace} calls {_called(checked)}", "bold"
    if checked.known_by:
        yield f"spoken: {checked.wires[0]} ({checked.known_by})", ""
    else:
        yield "spoken: not known (say it with --protocol)", ""
    if len(checked.servers) < 2:
        yield from _hops(checked.verdict)
    for server, verdict in checked.servers if len(checked.servers) > 1 else ():
        yield f"if {server.name} answers: {phrase(verdict)}", verdict_style(verdict)
        yield from _hops(verdict)
    yield f"verdict: {phrase(checked.verdict)}", verdict_style(checked.verdict)
    if checked.verdict.missing and checked.verdict.outcome is not Outcome.UNKNOWN:
        yield f"not read: {', '.join(checked.verdict.missing)}", "magenta"


def _called(checked: Checked) -> str:
    if checked.service:
        return f"Service {checked.service}:{checked.to.port}"
    if checked.to.host:
        return str(checked.to)
    return f"pods of {', '.join(server.name for server, _ in checked.servers)} at port {checked.to.port}"


def _hops(verdict: Verdict) -> Iterator[tuple[str, str]]:
    for number, said in enumerate(verdict.evidence, start=1):
        yield f"  {number}. {said}", ""
