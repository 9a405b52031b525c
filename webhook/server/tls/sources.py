"""Where a serving certificate comes from: files, which may change at any time, or anything else of the same shape."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from watchfiles import awatch

from certs import files
from certs.issue import KeyPair
from webhook.regular import open_regular

MOST_BYTES: Final = 1 << 20
"""Of a file with a certificate or a key."""
_POLL_MILLISECONDS = 10_000


class UnservableError(Exception):
    """There is no pair that could be served. Its text says where it was looked for, and why it is none."""


class PendingError(UnservableError):
    """There is none yet, and the source will say when there is."""


class PairSource(Protocol):
    """Gives the pair that is to be served."""

    @property
    def certificate(self) -> str:
        """Where the certificate is, for messages."""

    @property
    def key(self) -> str:
        """Where its key is."""

    def read(self) -> KeyPair:
        """The pair as it is now, whether or not it fits.

        Raises:
            UnservableError: There is none.
        """

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Call `changed` when there may be another pair, until `stop` is set."""


class PairFiles:
    """A certificate and its key in two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Prepare; nothing is read yet.

        Args:
            certificate: PEM, the leaf first, then what clients need to reach their authority.
            key: Its key in PEM, not encrypted.
        """
        self._certificate = certificate
        self._key = key
        self._seen: KeyPair | UnservableError | None = None

    @property
    def certificate(self) -> str:
        """The certificate's file."""
        return str(self._certificate)

    @property
    def key(self) -> str:
        """The key's file."""
        return str(self._key)

    def read(self) -> KeyPair:
        """Return what both files hold: as they were when `watch` last looked, else as they are now.

        Raises:
            UnservableError: One cannot be read.
        """
        seen = self._look() if self._seen is None else self._seen
        if isinstance(seen, UnservableError):
            raise seen
        return seen

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Call `changed` when a file changes, until `stop` is set. Files are read in a thread.

        The directories are watched, since mounted Secrets change by a swapped symbolic link; and every ten seconds it
        is called anyway, since some file systems tell nobody.
        """
        async for _ in awatch(
            *{self._certificate.parent, self._key.parent},
            stop_event=stop,
            recursive=False,
            watch_filter=None,
            debounce=200,
            rust_timeout=_POLL_MILLISECONDS,
            yield_on_timeout=True,
        ):
            self._seen = await asyncio.to_thread(self._look)
            changed()

    def _look(self) -> KeyPair | UnservableError:
        try:
            return files.read(self._certificate, self._key, contents)
        except OSError as error:
            return UnservableError(f"{error.filename}: {error.strerror}")


def contents(path: Path) -> bytes:
    """Read a file with a certificate or a key.

    Raises:
        OSError: It cannot be read, is no regular file, or is too large.
    """
    with open_regular(path) as stream:
        read = stream.read(MOST_BYTES + 1)
    if len(read) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it exceeds {MOST_BYTES >> 20} MiB", str(path))
    return read
