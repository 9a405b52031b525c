"""The generator of requests as a process of its own, so that what it costs is not taken for the server's."""

from __future__ import annotations

import signal
import sys
import time

import msgspec
import open_loop
from open_loop import Plan, Report
from processes import ProgramError, Programs


class Sending:
    """A plan that is being sent, by a process of its own."""

    def __init__(self, programs: Programs, plan: Plan) -> None:
        """Begin."""
        given, self._told = programs.logs / "plan.json", programs.logs / "report.json"
        given.write_bytes(msgspec.json.encode(plan))
        self._program = programs.start("open-loop", [sys.executable, open_loop.__file__, given, self._told])

    def end(self) -> None:
        """Send no more."""
        self._program.signal(signal.SIGTERM)

    def report(self) -> Report:
        """How it went, as soon as it is over.

        Raises:
            ProgramError: It went wrong.
        """
        while self._program.running:
            time.sleep(0.05)
        if self._program.stop(grace=0):
            raise ProgramError(f"open-loop: {self._program.tail()}")
        return msgspec.json.decode(self._told.read_bytes(), type=Report)
