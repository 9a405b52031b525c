"""Options and outputs that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.exits import ExitCode

Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="The kubeconfig of the cluster. Default: in-cluster configuration."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="The context in the kubeconfig. Default: its current context.")
]

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class Format(StrEnum):
    """The output format: text for users, or JSON or YAML for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def duration(written: str | float) -> float:
    """Return the seconds of "5s", "500ms", "1m", "12h", "90d" or a bare number of seconds."""
    found = _DURATION.fullmatch(str(written).strip())
    if found is None:
        raise typer.BadParameter(f"invalid duration {written!r} (examples: 5s, 500ms, 1m, 12h, 90d)")
    return float(found["number"]) * _SECONDS[found["unit"]]


def check_context(kubeconfig: Path | None, context: str | None) -> None:
    """Reject a context without its kubeconfig.

    Raises:
        typer.BadParameter: --context is given without --kubeconfig.
    """
    if context and not kubeconfig:
        raise typer.BadParameter("--context can only be used with --kubeconfig")


def failure(code: ExitCode, *lines: str) -> typer.Exit:
    """Print the reason to standard error, and return the exception that ends the command."""
    for line in lines:
        typer.echo(line, err=True)
    return typer.Exit(code)
