"""Take the next step with the Secret, and keep the webhook configurations equal to it.

Any number of keepers may do this at once. Whoever writes the Secret first has taken the step: the others' writes are
refused, for they name the version that they had read, and they read again. The same holds for the configurations. And
since each is read before the Secret is, and written only if it has not changed since, a bundle once installed is
never replaced by that of an older state of the Secret: a slow replica cannot take trust back.
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
    """A Secret as it was read; the API server's newest, not a cache's."""

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
    """The one Secret. Its methods raise what their implementation says when the API server cannot be asked."""

    async def read(self) -> Stored | None:
        """The Secret, or None when there is none."""

    async def create(
        self, kind: str, labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, bytes]
    ) -> bool:
        """Create it; False when there is one already."""

    async def change(
        self, version: str, annotations: Mapping[str, str | None], data: Mapping[str, bytes | None]
    ) -> bool:
        """Change the given annotations and keys, None removes; False when the Secret is not at this version."""


class Configuration(Protocol):
    """A webhook configuration of ours, as it was read or could not be."""

    @property
    def name(self) -> str:
        """Kind and name."""

    @property
    def bundles(self) -> Sequence[bytes]:
        """The caBundle of each entry that calls our Service."""

    @property
    def problem(self) -> str:
        """Why it could not be read, or is of no use; empty when all is well."""

    async def install(self, bundle: bytes) -> str:
        """Put the bundle into these entries if the configuration is still as it was read.

        Returns:
            Why it could not be written. Empty when it was, or when it has been changed meanwhile.
        """


class Configurations(Protocol):
    """The webhook configurations of ours."""

    async def read(self) -> Sequence[Configuration]:
        """All that there are."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and done about it.

    Attributes:
        state: What the Secret holds, or would hold if nobody else had written it first.
        step: The step that was taken, or is to be.
        took: Whether the step was taken, and by us.
        wrote: Whether to look again at once: something was written, by us or by somebody who was faster.
        configurations: The webhook configurations, as they were before.
        problems: What somebody has to mend, as sentences.
    """

    state: State | None
    step: Step
    took: bool
    wrote: bool
    configurations: Sequence[Configuration]
    problems: tuple[str, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether every configuration was read and held the bundle of the state."""
        return self.state is not None and _trusted(self.state, self.configurations)


class Keeper:
    """Looks after one Secret and the webhook configurations that belong to it."""

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
            secret: Where the state is kept.
            configurations: Who has to trust the authorities.
            names: The DNS names that clients call the server by.
            schedule: How long things last.
            clock: The time, with its time zone.
        """
        self._secret = secret
        self._configurations = configurations
        self._names = names
        self._schedule = schedule
        self._clock = clock

    async def look(self, force: Force | None = None) -> Look:
        """See what there is and what comes next; nothing is written.

        Raises:
            ForeignSecretError: The Secret is somebody else's.
            Exception: Whatever the store raises when the API server cannot be asked.
        """
        return (await self._examine(force))[1]

    async def act(self, force: Force | None = None) -> Look:
        """Take one step, or install the bundle where it is not.

        Args:
            force: What is to be replaced although it is not due.

        Returns:
            What was found and done. A configuration that cannot be written is among its problems.

        Raises:
            ForeignSecretError: The Secret is somebody else's; nothing was written.
            CertificateError: One of the names is none.
            Exception: Whatever the store raises when the API server cannot be asked.
        """
        stored, found = await self._examine(force)
        step = found.step
        if step.action is not Action.NONE:
            held = found.configurations
            if step.action in {Action.START, Action.REPAIR}:
                # Whatever a replica serves was trusted before it was stored: after the loss, that is to be seen.
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
        # In this order, or a configuration could be given the bundle of a state that it is ahead of.
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
    """Every certificate that is trusted now. What is no certificate is trusted by nobody."""
    held: tuple[bytes, ...] = ()
    for bundle in (bundle for configuration in configurations for bundle in configuration.bundles):
        try:
            held = merge(held, split(bundle))
        except CertificateError:
            continue
    return held
