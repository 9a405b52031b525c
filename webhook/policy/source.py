"""The active policy, reloaded when its files change.

A first policy that is invalid is fatal. After that a change is read, validated and compiled as a whole and then
activated by one assignment; an invalid change is reported, and the last valid policy stays active.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from watchfiles import awatch

from webhook.policy.compiled import CompiledPolicy
from webhook.policy.files import MAX_ENTRIES, PolicyError, Source, generation, read
from webhook.policy.load import build, default_policy
from webhook.problem import Problem
from webhook.regular import entries

# Editors and the kubelet write in several steps; a batch is complete when no event arrives for one step, or at the
# latest after the debounce. Both are milliseconds.
_STEP = 50
_DEBOUNCE = 200
_VANISHED_GRACE = 0.2
# Files that take so long to read, and change continuously, are read again after a pause of that many times as long.
_LONG, _PAUSE = 0.5, 3
# A pod may be decided by one replica and validated by another; a mounted ConfigMap reaches them up to a minute and a
# bit apart.
_STILL_RECENT = timedelta(minutes=2)


class ReloadOutcome(StrEnum):
    """The outcome of one check of the files."""

    UNCHANGED = "unchanged"
    """The content is the one that was seen last."""
    LOADED = "loaded"
    """New content is active."""
    REJECTED = "rejected"
    """New content is invalid; the last valid policy stays active."""


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The status of the active policy.

    Attributes:
        name: The policy's name.
        generation: 8 hex digits of the active content.
        source: The paths as given, or "the packaged default".
        loaded_at: When this content was activated.
        problems: The problems of newer content that was rejected; None when there is none.
        rejected_at: When it was rejected; None when there is none.
    """

    name: str
    generation: str
    source: str
    loaded_at: datetime
    problems: tuple[Problem, ...] | None = None
    rejected_at: datetime | None = None


class Observer(Protocol):
    """A callback for changes of the status, which are logged and counted."""

    def __call__(self, outcome: ReloadOutcome, status: PolicyStatus) -> None:
        """Handle new active content, new content rejected, and (as unchanged) a fault that is gone."""
        ...


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class PolicySource:
    """The source of the active policy. Reading `current` is one attribute access and safe from any thread.

    Args:
        paths: Files and directories; none means the packaged default, which never changes.
        kinds: The kinds that rules may name; None for the packaged catalog's.
        clock: Returns the current time.
        on_outcome: Called with changes: on the event loop by `watch`, else in the thread of `reload`.
        poll_seconds: Seconds between reads of the files even if no change was notified: network file systems send no
            notifications, and a change may fall between reading the files and watching them.

    Raises:
        PolicyError: The first policy cannot be read, or is invalid.
    """

    def __init__(
        self,
        paths: Sequence[Path] = (),
        *,
        kinds: frozenset[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_outcome: Observer | None = None,
        poll_seconds: float = 1.0,
    ) -> None:
        self._paths = tuple(paths)
        self._kinds = kinds
        self._clock = clock
        self._on_outcome = on_outcome
        self._poll_seconds = poll_seconds
        self._seen: object = None
        self._replaced: tuple[tuple[datetime, CompiledPolicy], ...] = ()
        if self._paths:
            sources = read(self._paths)
            self.current = build(sources, kinds=kinds)
            self._seen = generation(sources)
        else:
            self.current = default_policy()
        self.status = self._fresh_status(self.current)

    @property
    def recent(self) -> tuple[CompiledPolicy, ...]:
        """The active policy, and those that were active within the last two minutes, the latest first."""
        since = self._clock() - _STILL_RECENT
        return (self.current, *(policy for until, policy in self._replaced if until > since))

    def reload(self) -> ReloadOutcome:
        """Read the files once, and activate their content if it is new and valid."""
        before = self.status
        outcome = self._check()
        self._notify(outcome, before)
        return outcome

    async def watch(self, stop: asyncio.Event) -> None:
        """Watch the files, and reload them, until `stop` is set.

        In-place edits, saves by rename, and the symlink swap of a mounted ConfigMap are all detected, also while files
        are missing for a moment or their directory is recreated: directories are watched, and the content is compared.
        """
        while not stop.is_set():
            try:
                watched = await asyncio.to_thread(self._directories)
                watched_paths = {path for path, _inode in watched}
                async for changes in awatch(
                    *watched_paths,
                    watch_filter=None,
                    debounce=_DEBOUNCE,
                    step=_STEP,
                    stop_event=stop,
                    rust_timeout=int(self._poll_seconds * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    await self._reload_off_loop(stop)
                    remade = watched_paths.intersection(Path(changed) for _kind, changed in changes)
                    if remade or await asyncio.to_thread(self._directories) != watched:
                        break
            except OSError:
                # A directory that is missing for now or too full, or no inotify watches left: poll, and retry.
                await _pause(stop, self._poll_seconds)
                await self._reload_off_loop(stop)

    async def _reload_off_loop(self, stop: asyncio.Event) -> None:
        """Reload without blocking the event loop, for at most a quarter of the time."""
        before, began = self.status, time.monotonic()
        if not await asyncio.to_thread(self._are_there):
            await asyncio.sleep(_VANISHED_GRACE)
        self._notify(await asyncio.to_thread(self._check), before)
        if (took := time.monotonic() - began) > _LONG:
            await _pause(stop, _PAUSE * took)

    def _are_there(self) -> bool:
        return all(path.exists() for path in self._paths)

    def _notify(self, outcome: ReloadOutcome, before: PolicyStatus) -> None:
        if self._on_outcome is not None and self.status is not before:
            self._on_outcome(outcome, self.status)

    def _check(self) -> ReloadOutcome:
        if not self._paths:
            return ReloadOutcome.UNCHANGED
        try:
            sources = read(self._paths)
        except PolicyError as error:
            return self._reject(str(error), error)
        return self._take(sources)

    def _take(self, sources: tuple[Source, ...]) -> ReloadOutcome:
        seen = generation(sources)
        if seen == self._seen:
            return ReloadOutcome.UNCHANGED
        if seen == self.current.generation:
            self._seen = seen
            self.status = replace(self.status, problems=None, rejected_at=None)
            return ReloadOutcome.UNCHANGED
        try:
            policy = build(sources, kinds=self._kinds)
        except PolicyError as error:
            return self._reject(seen, error)
        self._seen = seen
        status = self._fresh_status(policy)
        since = status.loaded_at - _STILL_RECENT
        kept = [(until, old) for until, old in self._replaced if until > since]
        self._replaced = ((status.loaded_at, self.current), *kept)
        self.current = policy
        self.status = status
        return ReloadOutcome.LOADED

    def _reject(self, seen: str, error: PolicyError) -> ReloadOutcome:
        if seen == self._seen:
            return ReloadOutcome.UNCHANGED
        self._seen = seen
        self.status = replace(self.status, problems=error.problems, rejected_at=self._clock())
        return ReloadOutcome.REJECTED

    def _fresh_status(self, policy: CompiledPolicy) -> PolicyStatus:
        source = ", ".join(map(str, self._paths)) or "the packaged default"
        return PolicyStatus(policy.name, policy.generation, source, self._clock())

    def _directories(self) -> frozenset[tuple[Path, int]]:
        """Return the directories to watch, with their inodes: one that is recreated has to be watched again.

        These are the directories around each path, as given and with symlinks resolved, and a directory that was
        itself given; and the one above, which alone shows that such a directory is deleted and recreated.
        """
        wanted: set[Path] = set()
        for path in self._paths:
            inside = entries(path, MAX_ENTRIES) if path.is_dir() else ()
            wanted |= {path, path.parent, path.parent.parent, path.resolve(), path.resolve().parent}
            wanted |= {entry.resolve().parent for entry in inside}
        found = frozenset((path, path.stat().st_ino) for path in wanted if path.is_dir())
        if not found:
            raise FileNotFoundError(2, "no directory to watch")
        return found


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), timeout=seconds)
    except TimeoutError:
        return
