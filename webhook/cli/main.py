"""The commands there are. Each has a module of its own, which imports what is heavy only when it runs."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from webhook import __version__
from webhook.cli.certs import issue
from webhook.cli.cluster_certs import bootstrap, inspect, rotate
from webhook.cli.diagnose import diagnose
from webhook.cli.exits import ExitCode
from webhook.cli.explain import explain
from webhook.cli.inject import inject
from webhook.cli.plan import PlanCommand, plan
from webhook.cli.serve import serve
from webhook.cli.test import test
from webhook.cli.validate import validate

_EPILOG = (
    "Exit codes: 0 done; 1 the answer is no (a policy has problems, a policy test failed); "
    "2 wrong usage; 3 unreadable input; 130 interrupted."
)


class _Commands(TyperGroup):
    """Ends in good order when the output cannot be written, and quietly when its reader has gone (`… | head`)."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps its context's type private
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
            raise typer.Exit(ExitCode.CLOSED_PIPE) from None
        except OSError as error:
            _discard_output()
            typer.echo(f"error: {error.filename or 'standard output'}: {error.strerror}", err=True)
            raise typer.Exit(ExitCode.UNREADABLE) from None
        return result


def _discard_output() -> None:
    """What is still buffered would fail once more when the interpreter flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=_Commands,
    help="Decides, for every pod, whether and how Istio's sidecar goes in, and proves why.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_certs = typer.Typer(help="Certificates for the server.", no_args_is_help=True)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"sidecar-policy {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    del version  # its callback has acted by now


for _command in (serve, explain, diagnose, inject, validate, test):
    app.command()(_command)
app.command(cls=PlanCommand)(plan)
for _about_certificates in (issue, bootstrap, inspect, rotate):
    _certs.command()(_about_certificates)
app.add_typer(_certs, name="certs")


def run() -> None:
    """Run the command line under the name it was called by: `sidecar-policy`, or as kubectl's plugin."""
    # Arrows in trails, and names in any script, must not end the program on a terminal that cannot show them.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    as_plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    app(prog_name="kubectl sidecar-policy" if as_plugin else "sidecar-policy")
