"""The cluster that `serve` and `certs` work with: how it is reached, and how a command ends that cannot go on."""

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
    """Refuse a context without the file that has it.

    Raises:
        typer.BadParameter: It stands alone.
    """
    if context and not kubeconfig:
        raise typer.BadParameter("--context can only be used with --kubeconfig")


def failure(code: ExitCode, *lines: str) -> typer.Exit:
    """Say on standard error why the command ends, and give what ends it."""
    for line in lines:
        typer.echo(line, err=True)
    return typer.Exit(code)
