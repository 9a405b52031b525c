"""The exit codes of every command, in the one place that numbers them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to its caller."""

    OK = 0
    """The command did what it was asked."""
    NEGATIVE = 1
    """The answer is no: a policy has problems, a policy test failed."""
    USAGE = 2
    """An option or argument is wrong."""
    UNREADABLE = 3
    """A file could not be read or understood, or the output not be written."""
    INTERRUPTED = 130
    """Ctrl-C."""
    CLOSED_PIPE = 141
    """Nobody reads the output any more, as in `… | head`."""


class PlanExitCode(IntEnum):
    """What `plan` says besides: 2 means a difference, as with `terraform plan -detailed-exitcode`; usage gives way."""

    WRONG_USAGE = 1
    """An option or argument is wrong."""
    CHANGES = 2
    """Something would change."""
