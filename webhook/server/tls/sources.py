"""Sources of a serving certificate: the protocol, and its implementation for files."""

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
"""Limit on a file with a certificate or a key."""
_POLL_MILLISECONDS = 10_000


class UnservableError(Exception):
    """No servable pair exists. The text contains its location and the reason."""


class PendingError(UnservableError):
    """No pair exists yet; the source's `watch` reports the first one."""


class PairSource(Protocol):
    """Provides the pair to serve."""

    @property
    def certificate(self) -> str:
        """The certificate's location, for messages."""

    @property
    def key(self) -> str:
        """The key's location, for messages."""

    def read(self) -> KeyPair:
        """Return the current pair, which may be mismatched.

        Raises:
            UnservableError: There is none.
        """

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the pair may have changed, until `stop` is set.

        Args:
            stop: Ends the watch.
            changed: Called on the event loop, possibly without a change.
        """


class PairFiles:
    """A certificate and its key in two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Prepare; nothing is read yet.

        Args:
            certificate: The chain in PEM: the leaf, then intermediate CAs.
            key: Its key in PEM, not encrypted.
        """
        self._certificate = certificate
        self._key = key
        self._seen: KeyPair | UnservableError | None = None

    @property
    def certificate(self) -> str:
        """The certificate's path."""
        return str(self._certificate)

    @property
    def key(self) -> str:
        """The key's path."""
        return str(self._key)

    def read(self) -> KeyPair:
        """Return the content of both files, as of the last read by `watch`, if any.

        Raises:
            UnservableError: A file cannot be read.
        """
        seen = self._look() if self._seen is None else self._seen
        if isinstance(seen, UnservableError):
            raise seen
        return seen

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a file changes, until `stop` is set. Files are read in a thread.

        The directories are watched, since mounted Secrets are updated by replacing a symbolic link. It is also called
        every ten seconds, since some file systems emit no notifications.
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
        OSError: It cannot be read, is not a regular file, or has more than `MOST_BYTES`.
    """
    with open_regular(path) as stream:
        read = stream.read(MOST_BYTES + 1)
    if len(read) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it exceeds {MOST_BYTES >> 20} MiB", str(path))
    return read
