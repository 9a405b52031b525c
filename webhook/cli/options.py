"""Options and outputs that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from webhook.cli.exits import ExitCode

Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="The kubeconfig of the cluster. Default: in-cluster configuration."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="The context in the kubeconfig. Default: its current context.")
]
NativeSidecars = Annotated[
    bool,
    typer.Option(
        "--native-sidecars/--no-native-sidecars",
        help="Whether Istio uses native sidecars, if neither a pod's annotation nor a running pod shows it.",
    ),
]

T = TypeVar("T")

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


def write(
    output: str, found: T, *, as_json: Callable[[T], str], as_yaml: Callable[[T], str], show: Callable[[T], None]
) -> None:
    """Write a result to standard output: in a format for programs, or as `show` does for users.

    Args:
        output: The value of a `Format`.
        found: The result.
        as_json: Returns it as JSON.
        as_yaml: Returns it as YAML, with a line break at the end.
        show: Prints it.
    """
    match output:
        case Format.JSON:
            typer.echo(as_json(found))
        case Format.YAML:
            typer.echo(as_yaml(found), nl=False)
        case _:
            show(found)


def failure(code: ExitCode, *lines: str) -> typer.Exit:
    """Print the reason to standard error, and return the exception that ends the command."""
    for line in lines:
        typer.echo(line, err=True)
    return typer.Exit(code)
