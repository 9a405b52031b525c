"""Render findings: a table or lines for users, JSON and YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook.analysis.diagnose.finding import Finding, Severity
from webhook.cli.render.kubernetes_yaml import dump
from webhook.problem import printable


def as_object(finding: Finding) -> dict[str, Any]:
    """Return one finding as plain JSON values."""
    subject = finding.subject
    fix = {
        "command": finding.fix.command,
        "patch": None if finding.fix.patch is None else dump([finding.fix.patch]),
        "note": finding.fix.note,
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
    """Return the findings as a JSON list."""
    return json.dumps([as_object(finding) for finding in findings], indent=2, ensure_ascii=False)


def as_yaml(findings: Iterable[Finding]) -> str:
    """Return the findings as a YAML list, in which patches are readable."""
    return dump([[as_object(finding) for finding in findings]])


def show(findings: Sequence[Finding]) -> None:
    """Print the findings: a table on a terminal, paragraphs without colour anywhere else."""
    console = Console()
    if not findings:
        print("no problems found")
    elif console.is_terminal:
        console.print(_table(findings))
        # Outside of the table, so that a line can be copied whole.
        for found in findings:
            print(f"# {found.code.code}: {printable(str(found.subject))}", _fix(found), *_to_apply(found), sep="\n")
        print(_summary(findings))
    else:
        print("\n".join(line for finding in findings for line in _lines(finding)))
        print(_summary(findings))


def show_commands(findings: Sequence[Finding]) -> None:
    """Print the commands that fix errors and warnings, each once; for a shell, after review."""
    problems = (finding for finding in findings if finding.severity is not Severity.INFO)
    for command in dict.fromkeys(finding.fix.command for finding in problems if finding.fix.command is not None):
        print(command)


def _lines(finding: Finding) -> Iterator[str]:
    """Yield the lines of one finding: the message, and below it the evidence and the fix."""
    yield printable(f"{finding.severity} {finding.code.code} {finding.subject}: {finding.message}")
    for evidence in finding.evidence:
        yield f"  {printable(evidence)}"
    yield f"  fix: {_fix(finding)}"
    yield from _to_apply(finding)
    if finding.fix.note and finding.fix.command:
        yield f"  {printable(finding.fix.note)}"
    yield f"  see {finding.code.docs}"


def _to_apply(finding: Finding) -> Iterator[str]:
    """Yield the lines of a patch, or of a whole object, that no command applies."""
    if finding.fix.command is None and finding.fix.patch is not None:
        yield from (f"    {printable(line)}" for line in dump([finding.fix.patch]).splitlines() if line != "---")


def _fix(finding: Finding) -> str:
    return printable(finding.fix.command or finding.fix.note)


def _summary(findings: Sequence[Finding]) -> str:
    counts = [(severity, sum(finding.severity is severity for finding in findings)) for severity in Severity]
    return "found: " + ", ".join(f"{count} {severity}" for severity, count in counts if count)


def _style(severity: Severity) -> str:
    match severity:
        case Severity.ERROR:
            return "red"
        case Severity.WARNING:
            return "yellow"
        case Severity.INFO:
            return "dim"
        case _:
            assert_never(severity)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_lines=True)
    table.add_column("Object", overflow="fold", max_width=30)
    table.add_column("Problem and evidence", overflow="fold")
    for finding in findings:
        style = _style(finding.severity)
        message = Text(printable(finding.message)).append(f"  {finding.code.code}", style=style)
        for evidence in finding.evidence:
            message.append(f"\n{printable(evidence)}", style="dim")
        table.add_row(Text(printable(str(finding.subject)), style=style), message)
    return table
