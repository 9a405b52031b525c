"""`validate`: check policy files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from webhook.cli.exits import ExitCode

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.policy.files import Source
    from webhook.policy.load import CompiledPolicy
    from webhook.problem import Problem


class Output(StrEnum):
    """The output format of the result."""

    TEXT = "text"
    JSON = "json"


def validate(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Policy files and directories, merged into one policy; - for standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the policy file instead.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="The output format.")] = Output.TEXT,
) -> None:
    """Check policy files: every problem with its file, line, field, and a suggested fix.

    Exit codes: 0 no errors (and with --strict, no warnings); 1 problems; 3 a file cannot be read.
    """
    if schema:
        _print_schema()
        return
    if not files:
        raise typer.BadParameter("pass at least one policy file, for example: validate policy.yaml", param_hint="FILE")
    from webhook.policy.load import PolicyError, build

    policy: CompiledPolicy | None = None
    unreadable = False
    try:
        policy = build(_read(files))
        problems = policy.warnings
    except PolicyError as error:
        problems, unreadable = error.problems, error.unreadable
    if output is Output.JSON:
        typer.echo(json.dumps(_report(policy, problems), indent=2, ensure_ascii=False))
    else:
        _print(policy, problems)
    if unreadable:
        raise typer.Exit(ExitCode.UNREADABLE)
    if policy is None or (strict and problems):
        raise typer.Exit(ExitCode.NEGATIVE)


def _print_schema() -> None:
    from webhook.detection.catalog import Catalog
    from webhook.policy.schema import json_schema

    typer.echo(json.dumps(json_schema(Catalog.default().kinds), indent=2, ensure_ascii=False))


def _read(files: Sequence[str]) -> tuple[Source, ...]:
    from pathlib import Path

    from webhook.policy.document import MAX_BYTES
    from webhook.policy.files import PolicyError, Source, read

    sources: list[Source] = []
    problems: list[Problem] = []
    for file in files:
        try:
            sources += (
                [Source("-", sys.stdin.buffer.read(MAX_BYTES + 1))] if file == "-" else read([Path(file)], pipes=True)
            )
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems, unreadable=True)
    return tuple(sources)


def _report(policy: CompiledPolicy | None, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "valid": policy is not None,
        "policy": policy and policy.name,
        "generation": policy and policy.generation,
        "rules": policy and len(policy.rules),
        "problems": [asdict(problem) for problem in problems],
    }


def _print(policy: CompiledPolicy | None, problems: Sequence[Problem]) -> None:
    for problem in problems:
        typer.echo(str(problem), err=True)
    if policy is not None:
        rules = "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
        typer.echo(f"OK: policy {policy.name}, {rules}, generation {policy.generation}")
