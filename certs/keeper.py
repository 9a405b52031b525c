"""Reconcile the certificate Secret and the caBundle of the webhook configurations.

Any number of keepers may run concurrently. The first write to the Secret takes the step: all others carry a stale
resource version, fail with a conflict, and are retried after another read. The same holds for the configurations.
Since each of those is read before the Secret, and written only if it has not changed since, an installed bundle is
never replaced by that of an older state of the Secret: a slow replica cannot revoke trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from certs.issue import CertificateError
from certs.reading import merge, split
from certs.rotation import plan, take
from certs.secret import LABEL, OURS, TYPE, Content, decode, encode
from certs.state import Action, Force, Schedule, State, Step


class Stored(Protocol):
    """A Secret as read from the API server, not from a cache."""

    @property
    def version(self) -> str:
        """Its resource version."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""

    @property
    def data(self) -> Mapping[str, bytes]:
        """Its data, decoded."""


class SecretStore(Protocol):
    """Access to the certificate Secret. When the API server fails, methods raise their implementation's error."""

    async def read(self) -> Stored | None:
        """Return the Secret, or None if it does not exist."""

    async def create(
        self, kind: str, labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, bytes]
    ) -> bool:
        """Create the Secret; return False if it exists already.

        Args:
            kind: Its type.
            labels: Its labels.
            annotations: Its annotations.
            data: Its data, not base64-encoded.
        """

    async def change(
        self, version: str, annotations: Mapping[str, str | None], data: Mapping[str, bytes | None]
    ) -> bool:
        """Change the given annotations and keys; return False if `version` is stale.

        Args:
            version: The resource version that the Secret must have.
            annotations: New values; None removes an annotation.
            data: New values, not base64-encoded; None removes a key.
        """


class Configuration(Protocol):
    """One of the managed webhook configurations, as read; `problem` is set if reading failed."""

    @property
    def name(self) -> str:
        """Kind and name."""

    @property
    def bundles(self) -> Sequence[bytes]:
        """The caBundle of each entry that calls the webhook's Service."""

    @property
    def problem(self) -> str:
        """Why it could not be read, or has no entry that calls the webhook's Service; empty if neither."""

    async def install(self, bundle: bytes) -> str:
        """Write the bundle to these entries unless the configuration has changed since it was read.

        Args:
            bundle: Certificates in PEM.

        Returns:
            Why the write failed; empty if it succeeded, or if the configuration has changed since.
        """


class Configurations(Protocol):
    """Access to the managed webhook configurations."""

    async def read(self) -> Sequence[Configuration]:
        """Return all that exist."""


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one reconciliation.

    Attributes:
        state: The state in the Secret; after a write that lost to another replica, the state that was not stored.
        step: The step that was taken, or is next.
        took: Whether this replica took the step.
        wrote: Whether to reconcile again immediately: a write was made, by this replica or a faster one.
        configurations: The webhook configurations, as they were before.
        problems: Problems that need manual action, as sentences.
    """

    state: State | None
    step: Step
    took: bool
    wrote: bool
    configurations: Sequence[Configuration]
    problems: tuple[str, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether every configuration was read and contains the state's bundle."""
        return self.state is not None and _trusted(self.state, self.configurations)


class Keeper:
    """Reconciles one Secret and the webhook configurations that belong to it."""

    def __init__(
        self,
        secret: SecretStore,
        configurations: Configurations,
        *,
        names: Sequence[str],
        schedule: Schedule,
        clock: Callable[[], datetime],
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            secret: Stores the state.
            configurations: The webhook configurations whose caBundle must contain the CAs.
            names: The DNS SANs of the serving certificate.
            schedule: Lifetimes and waits.
            clock: Returns the time, timezone-aware.
        """
        self._secret = secret
        self._configurations = configurations
        self._names = names
        self._schedule = schedule
        self._clock = clock

    async def look(self, force: Force | None = None) -> Look:
        """Return the current state and the next step; nothing is written.

        Args:
            force: What to replace although it is not due.

        Raises:
            ForeignSecretError: The Secret is not managed by sidecar-policy.
            Exception: The store's error if a request to the API server fails.
        """
        return (await self._examine(force))[1]

    async def act(self, force: Force | None = None) -> Look:
        """Take one step, or install the bundle where it is missing.

        Args:
            force: What to replace although it is not due.

        Returns:
            What was found and done. A configuration that cannot be written is among its problems.

        Raises:
            ForeignSecretError: The Secret is not managed by sidecar-policy; nothing was written.
            CertificateError: A name is not a valid DNS name.
            Exception: The store's error if a request to the API server fails.
        """
        stored, found = await self._examine(force)
        step = found.step
        if step.action is not Action.NONE:
            held = found.configurations
            if step.action in {Action.START, Action.REPAIR}:
                # Whatever a replica serves was trusted before it was stored, so a read after the loss contains its CA.
                held = await self._configurations.read()
            state = take(
                step,
                found.state,
                names=self._names,
                now=self._clock(),
                schedule=self._schedule,
                found=_held(held),
            )
            took = await self._write(stored, encode(state))
            return replace(found, state=state, took=took, wrote=True)
        problems = found.problems
        wrote = False
        for configuration in found.configurations:
            if found.state is not None and _lacks(configuration, found.state.bundle):
                refused = await configuration.install(found.state.bundle)
                problems += (refused,) if refused else ()
                wrote = wrote or not refused
        return replace(found, wrote=wrote, problems=problems)

    async def _examine(self, force: Force | None) -> tuple[Stored | None, Look]:
        # In this order: otherwise a newer bundle in a configuration could be overwritten by that of a stale state.
        configurations = await self._configurations.read()
        stored = await self._secret.read()
        state = None if stored is None else decode(stored.labels, stored.annotations, stored.data)
        step = plan(
            state,
            names=self._names,
            now=self._clock(),
            trusted=state is not None and _trusted(state, configurations),
            schedule=self._schedule,
            held=_held(configurations),
            force=force,
        )
        damage = () if state is None else state.damage
        problems = (*damage, *(configuration.problem for configuration in configurations if configuration.problem))
        return stored, Look(state, step, took=False, wrote=False, configurations=configurations, problems=problems)

    async def _write(self, stored: Stored | None, content: Content) -> bool:
        if stored is not None:
            return await self._secret.change(stored.version, content.annotations, content.data)
        annotations = {name: value for name, value in content.annotations.items() if value is not None}
        data = {name: value for name, value in content.data.items() if value is not None}
        return await self._secret.create(TYPE, {LABEL: OURS}, annotations, data)


def _trusted(state: State, configurations: Sequence[Configuration]) -> bool:
    return not any(config.problem or _lacks(config, state.bundle) for config in configurations)


def _lacks(configuration: Configuration, bundle: bytes) -> bool:
    return any(held != bundle for held in configuration.bundles)


def _held(configurations: Sequence[Configuration]) -> tuple[bytes, ...]:
    """Return every certificate in the configurations' bundles; an unreadable bundle is skipped."""
    held: tuple[bytes, ...] = ()
    for bundle in (bundle for configuration in configurations for bundle in configuration.bundles):
        try:
            held = merge(held, split(bundle))
        except CertificateError:
            continue
    return held
