"""The cluster options of `serve` and `certs`, and the exit of a command that fails."""

from __future__ import annotations

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
