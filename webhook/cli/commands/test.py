"""`test`: policy unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from webhook.cli.exits import ExitCode

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.analysis.policy_tests.runner import Outcome


def test(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of kind PolicyTest.", show_default=False)
    ],
    *,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,  # noqa: PT028 - a command called test, not a test
) -> None:
    """Run policy unit tests: pods, and the decisions they should get.

    Exit codes: 0 all pass; 1 a test fails, or a file has problems; 3 a file cannot be read.
    """
    from webhook.analysis.policy_tests.runner import run, summary
    from webhook.policy.files import PolicyError

    outcomes: list[Outcome] = []
    faults: list[PolicyError] = []
    for file in files:
        try:
            found = run(file)
        except PolicyError as error:
            faults.append(error)
            typer.echo(str(error), err=True)
            continue
        _print(found)
        outcomes += found
    typer.echo(summary(outcomes))
    if junit is not None:
        _write(junit, outcomes)
    if any(fault.unreadable for fault in faults):
        raise typer.Exit(ExitCode.UNREADABLE)
    if faults or any(outcome.differences for outcome in outcomes):
        raise typer.Exit(ExitCode.NEGATIVE)


def _print(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        typer.echo(f"{'FAIL' if outcome.differences else 'ok  '} {outcome.file}:{outcome.line} {outcome.name}")
        if outcome.differences:
            for difference in outcome.differences:
                typer.echo(f"     {difference}")
            for evidence in outcome.evidence:
                typer.echo(f"     because {evidence}")


def _write(path: Path, outcomes: Sequence[Outcome]) -> None:
    from webhook.analysis.policy_tests.junit import junit as as_junit

    try:
        path.write_bytes(as_junit(outcomes))
    except OSError as error:
        typer.echo(f"error: {path}: cannot be written: {error.strerror}", err=True)
        raise typer.Exit(ExitCode.UNREADABLE) from None
