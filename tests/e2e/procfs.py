"""What the kernel says of a process."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOWEST = 19
"""The niceness of what gives way to all else."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, by its id."""

    pid: int

    @property
    def resident(self) -> float:
        """Its resident memory, in MB."""
        return self._status("VmRSS")

    @property
    def peak(self) -> float:
        """The most that this ever was, in MB."""
        return self._status("VmHWM")

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used, of user and of system."""
        user, system = self._stat()[11:13]
        return (int(user) + int(system)) / _TICKS

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(self._stat()[19]) / _TICKS

    def give_way(self) -> None:
        """Have it work only when nothing else wants to: it stands for another machine. It has to lead a session."""
        # Where the kernel groups processes by session, the group's niceness is what counts.
        with suppress(FileNotFoundError):
            Path(f"/proc/{self.pid}/autogroup").write_text(str(LOWEST))
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), LOWEST)

    def _status(self, field: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024 / 1e6

    def _stat(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
