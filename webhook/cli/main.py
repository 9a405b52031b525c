"""The command line's commands. Each has its own module, which imports heavy dependencies only when it runs."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from webhook import __version__
from webhook.cli.command import Command, Group
from webhook.cli.commands.certs import issue
from webhook.cli.commands.check import check
from webhook.cli.commands.cluster_certs import bootstrap, inspect, rotate
from webhook.cli.commands.diagnose import diagnose
from webhook.cli.commands.explain import explain
from webhook.cli.commands.inject import inject
from webhook.cli.commands.plan import PlanCommand, plan
from webhook.cli.commands.serve import serve
from webhook.cli.commands.test import test
from webhook.cli.commands.validate import validate
from webhook.cli.exits import ExitCode

_EPILOG = (
    "Exit codes: 0 success; 1 negative result (a policy has problems, a policy test failed); "
    "2 usage error; 3 unreadable input; 130 interrupted."
)


app = typer.Typer(
    cls=Group,
    help="Decide, for every pod, whether and how Istio's sidecar is injected, and show the evidence.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_certs = typer.Typer(cls=Group, help="Manage the server's certificates.", no_args_is_help=True)


def _print_version(requested: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if requested:
        typer.echo(f"sidecar-policy {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that precede the command."""
    del version  # its callback has acted by now


for _command in (serve, explain, check, diagnose, inject, validate, test):
    app.command(cls=Command)(_command)
app.command(cls=PlanCommand)(plan)
for _about_certificates in (issue, bootstrap, inspect, rotate):
    _certs.command(cls=Command)(_about_certificates)
app.add_typer(_certs, name="certs")


def run() -> None:
    """Run the command line under the name it was called by: `sidecar-policy`, or as kubectl's plugin."""
    # A closed stream (`>&-`) is replaced with /dev/null, so that no file or socket takes its descriptor number.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    # Arrows in evidence chains, and names in any script, must not end the program on a terminal that cannot show them.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    as_plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    try:
        _run_and_flush("kubectl sidecar-policy" if as_plugin else "sidecar-policy")
    except BrokenPipeError:
        _discard_output()
        sys.exit(ExitCode.CLOSED_PIPE)
    except OSError as error:
        _discard_output()
        print(f"error: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        sys.exit(ExitCode.UNREADABLE)


def _run_and_flush(name: str) -> None:
    try:
        app(prog_name=name)
    except SystemExit as end:
        # typer and rich exit with 1 on a closed pipe, the same as for a policy with problems.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        sys.stdout.flush()
        raise


def _discard_output() -> None:
    """Discard buffered output, which would fail again when the interpreter flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
