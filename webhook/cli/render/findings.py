"""Shows findings: a table or lines for people, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook.analysis.diagnose.finding import Finding, Severity
from webhook.cli.render.kubernetes_yaml import dump
from webhook.problem import printable

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def as_object(finding: Finding) -> dict[str, Any]:
    """One finding as what JSON can hold."""
    subject, mend = finding.subject, finding.mend
    fix = {
        "command": mend.command,
        "patch": None if mend.patch is None else dump([mend.patch]),
        "note": mend.note,
    }
    return {
        "code": finding.code.code,
        "severity": finding.severity.value,
        "object": {
            "kind": subject.kind,
            "namespace": subject.namespace or None,
            "name": subject.name,
            "port": subject.port,
        },
        "message": finding.message,
        "evidence": list(finding.evidence),
        "docs": finding.code.docs,
        "fix": fix,
        # The former name of `fix`, kept for one minor version.
        "mend": fix,
    }


def as_json(findings: Iterable[Finding]) -> str:
    """The findings as a JSON list."""
    return json.dumps([as_object(one) for one in findings], indent=2, ensure_ascii=False)


def as_yaml(findings: Iterable[Finding]) -> str:
    """The findings as a YAML list, in which patches can be read."""
    return dump([[as_object(one) for one in findings]])


def show(findings: Sequence[Finding]) -> None:
    """Print the findings: a table on a terminal, paragraphs without colour anywhere else."""
    console = Console()
    if not findings:
        print("no problems found")
    elif console.is_terminal:
        console.print(_table(findings))
        # Outside of the table, where a line can be copied whole.
        print("\n".join(f"# {one.code.code}: {printable(str(one.subject))}\n{_mend(one)}" for one in findings))
        print(_summary(findings))
    else:
        print("\n".join(line for one in findings for line in _lines(one)))
        print(_summary(findings))


def show_commands(findings: Sequence[Finding]) -> None:
    """Print the commands that mend errors and warnings, each once; for a shell, after somebody has read them."""
    wrong = (one for one in findings if one.severity is not Severity.INFO)
    for command in dict.fromkeys(one.mend.command for one in wrong if one.mend.command is not None):
        print(command)


def _lines(finding: Finding) -> Iterator[str]:
    """One finding: a line that says it, and below it why, and how to mend it."""
    said = f"{finding.severity} {finding.code.code} {finding.subject}: {finding.message}"
    yield printable(said)
    for evidence in finding.evidence:
        yield f"  {printable(evidence)}"
    yield f"  fix: {_mend(finding)}"
    if finding.mend.note and finding.mend.command:
        yield f"  {printable(finding.mend.note)}"
    yield f"  see {finding.code.docs}"


def _mend(finding: Finding) -> str:
    return printable(finding.mend.command or finding.mend.note)


def _summary(findings: Sequence[Finding]) -> str:
    counts = [(severity, sum(one.severity is severity for one in findings)) for severity in Severity]
    return "found: " + ", ".join(f"{count} {severity}" for severity, count in counts if count)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_lines=True)
    table.add_column("Object", overflow="fold", max_width=30)
    table.add_column("Problem and evidence", overflow="fold")
    for one in findings:
        said = Text(printable(one.message)).append(f"  {one.code.code}", style=_STYLES[one.severity])
        for evidence in one.evidence:
            said.append(f"\n{printable(evidence)}", style="dim")
        table.add_row(Text(printable(str(one.subject)), style=_STYLES[one.severity]), said)
    return table
