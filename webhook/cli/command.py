"""The base of all commands: help texts are shown without markup, and only files are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from webhook.cli.exits import ExitCode

_NAMES_OF_FILES = frozenset({"files", "filename"})
"""Parameters whose values are paths, or "-" for standard input."""
_WRITTEN = frozenset({"junit"})
_PIPE = "a named pipe"


class Command(TyperCommand):
    """A command that escapes its help, and rejects paths that may block."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer keeps its types private
        """Write the help; text in brackets is not rich markup."""
        _escape([self, *self.params])
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the same
        """Run the command, unless an option names what may block forever: a pipe without a writer, or a device."""
        for name, path in _paths(ctx.params):
            kind = _special(path)
            if kind == _PIPE or (kind and name not in _WRITTEN):
                typer.echo(f"{path}: error: is {kind}, not a file (pass a file, or - for standard input)", err=True)
                raise typer.Exit(ExitCode.UNREADABLE)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands that escapes its help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the same
        """Write the help; text in brackets is not rich markup."""
        _escape([self, *self.params, *self.commands.values()])
        super().format_help(ctx, formatter)


def _escape(documented: Iterable[Any]) -> None:
    from rich.markup import escape

    for item in documented:
        for name in ("help", "short_help", "epilog"):
            if text := getattr(item, name, None):
                setattr(item, name, escape(text))


def _paths(parameters: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    for name, value in parameters.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Path) or (name in _NAMES_OF_FILES and item not in {None, "-"}):
                yield name, Path(item)


def _special(path: Path) -> str | None:
    """Return what a path is where it is not a file or directory; None for the pipe that a shell makes of `<(…)`."""
    if path.is_fifo() and path.resolve().is_fifo():
        return _PIPE
    if path.is_socket():
        return "a socket"
    return "a device" if path.is_char_device() or path.is_block_device() else None
