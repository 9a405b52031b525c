"""Open untrusted paths: only regular files, so that no read blocks on a pipe or a device."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

MOST_ENTRIES: Final = 10_000
"""Entries that a directory may have."""
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def open_regular(path: Path, *, pipes: bool = False) -> BinaryIO:
    """Open a regular file, or a symbolic link to one, for reading.

    Args:
        path: The file.
        pipes: Whether to accept a pipe, as shells make one of <(kubectl get …); reading then waits for its writer.

    Raises:
        OSError: It cannot be opened, or is not a regular file; the message names what it is.
    """
    if pipes and path.is_fifo():
        return path.open("rb")
    # Opening a device may have side effects; a pipe is opened without blocking if it takes the file's place now.
    _check(path, path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def entries(directory: Path, most: int = MOST_ENTRIES) -> list[Path]:
    """Return the paths of a directory's entries, at most `MOST_ENTRIES` by default.

    Raises:
        OSError: It cannot be read, or has more than `most` entries.
    """
    with os.scandir(directory) as found:
        names = [entry.name for entry in islice(found, most + 1)]
    if len(names) > most:
        raise OSError(errno.E2BIG, f"the directory has more than {most} entries", str(directory))
    return [directory / name for name in names]


def _check(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        raise OSError(errno.EINVAL, f"it is {kind} and not a regular file", str(path))
