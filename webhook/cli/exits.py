"""The exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of the process."""

    OK = 0
    """Success."""
    NEGATIVE = 1
    """The result is negative: a policy has problems, a policy test failed."""
    USAGE = 2
    """An option or argument is wrong."""
    UNREADABLE = 3
    """A file could not be read or parsed, or the output not be written."""
    INTERRUPTED = 130
    """Ctrl-C."""
    CLOSED_PIPE = 141
    """The reader closed the output pipe, as in `… | head`."""


class PlanExitCode(IntEnum):
    """Exit codes that differ for `plan`: 2 means a difference, as with `terraform plan -detailed-exitcode`."""

    WRONG_USAGE = 1
    """An option or argument is wrong."""
    CHANGES = 2
    """Something would change."""
