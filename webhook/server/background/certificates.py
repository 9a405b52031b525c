"""Self-managed certificates: stored in a Secret that all replicas share, installed and rotated by any of them.

Each replica watches the Secret and the managed webhook configurations, so that a new certificate is served, and a
removed caBundle is restored, as soon as the watch delivers the change; it also reconciles every ten seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from structlog.typing import FilteringBoundLogger

from certs.issue import KeyPair
from certs.keeper import Look
from certs.reading import facts
from certs.secret import ForeignSecretError
from certs.state import Action
from webhook.cluster.certificates import ManagedCertificates, foreign, keep
from webhook.cluster.client import Client
from webhook.cluster.errors import ClusterError
from webhook.cluster.reflector import Reflector, Resource, Sink, run_until
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Health
from webhook.server.tls.sources import PendingError

_POLL_SECONDS = 10.0
# Jitter after a write, so that conflicting replicas do not synchronise; it grows exponentially after many writes in a
# row, as when another controller keeps reverting them.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 10.0
_WRITES_IN_A_ROW = 8


class SelfManaged:
    """Reconciles the Secret, and provides its certificate. Implements `webhook.server.tls.sources.PairSource`."""

    STALE_SECONDS: Final = 60.0
    """Seconds since the last read of the Secret after which readiness contains a notice."""

    def __init__(
        self,
        client: Client,
        managed: ManagedCertificates,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; `watch` reconciles.

        Args:
            client: The API client.
            managed: The configuration.
            metrics: Counts steps and failures, and exposes the CA's expiry.
            log: Logs steps and problems.
            clock: Returns the wall-clock time.

        Raises:
            CertificateError: A name is not a valid DNS name.
        """
        kept = keep(client, managed, clock)
        self._keeper = kept.keeper
        self._secret = kept.secret
        self._names = managed.dns_names
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._pair: KeyPair | None = None
        self._problems: tuple[str, ...] = ("it is being read",)
        self._trusted = False
        self._read = time.monotonic()
        self._changed = asyncio.Event()
        self._reflectors = [
            self._change_signal(client, resource) for resource in (kept.secret.resource, *kept.configurations.resources)
        ]

    @property
    def certificate(self) -> str:
        """The certificate's location, for messages."""
        return f"tls.crt of Secret {self._secret.place}"

    @property
    def key(self) -> str:
        """The key's location, for messages."""
        return f"tls.key of Secret {self._secret.place}"

    def read(self) -> KeyPair:
        """Return the last complete pair that was read from the Secret.

        Raises:
            PendingError: There is none yet.
        """
        if self._pair is None:
            raise PendingError("; ".join(self._problems) or f"Secret {self._secret.place} contains no certificate yet")
        return self._pair

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Reconcile until `stop` is set, and call `changed` whenever there is a new pair to serve."""
        await run_until(stop, *(reflector.run() for reflector in self._reflectors), self._reconcile(changed))

    def check(self) -> Health:
        """Return ready once the webhook configurations trust the served certificate; later problems are notices only.

        Before that, the API server could not call this replica.
        """
        problems = "; ".join(self._problems)
        if not self._trusted:
            waiting = problems or "it is being installed"
            return Health(ok=False, notice=f"the webhook configurations do not contain the CA yet: {waiting}")
        silent = time.monotonic() - self._read
        if silent > self.STALE_SECONDS:
            return Health(ok=True, notice=f"Secret {self._secret.place} was last read {silent:.0f} s ago: {problems}")
        return Health(ok=True, notice=problems)

    def _change_signal(self, client: Client, resource: Resource) -> Reflector[None]:
        """Return a reflector that signals every change; the content is read again by the keeper."""
        sink = Sink(lambda _: None, lambda *_: self._changed.set(), lambda *_: self._changed.set())
        return Reflector(client, resource, sink, log=self._log)

    async def _reconcile(self, changed: Callable[[], None]) -> None:
        written = 0
        while True:
            self._changed.clear()
            look = await self._act()
            if look is not None and self._replace_pair(look):
                changed()
            if look is not None and look.wrote:
                written += 1
                longest = min(_PAUSE_SECONDS * 2 ** min(max(0, written - _WRITES_IN_A_ROW), 16), _LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - spreads load, hides nothing
                continue
            written = 0
            await self._rest(look.step.due if look is not None else None)

    async def _act(self) -> Look | None:
        try:
            look = await self._keeper.act()
        except (ClusterError, ForeignSecretError) as error:
            problem = f"Secret {self._secret.place}: {error}"
            if isinstance(error, ForeignSecretError):
                problem = foreign(self._secret, error)
            self._metrics.certificate_failures.labels("secret").inc()
            self._log_problems((problem,))
            return None
        self._read = time.monotonic()
        damage = 0 if look.step.action is not Action.REPAIR else 1
        self._metrics.certificate_failures.labels("secret").inc(damage)
        self._metrics.certificate_failures.labels("configuration").inc(len(look.problems) > damage)
        self._log_problems(look.problems)
        if look.took:
            self._metrics.certificate_steps.labels(look.step.action.value).inc()
            self._log.info("certificate step", step=look.step.action.value, reason=look.step.reason)
        return look

    def _replace_pair(self, look: Look) -> bool:
        """Store the pair if it is new, and return whether it is. Only a state that was read counts, not a write."""
        state = look.state
        if state is None or look.step.action is not Action.NONE:
            return False
        self._trusted = self._trusted or (look.trusted and state.serving is not None)
        if state.signing is not None:
            self._metrics.authority_expiry.set(facts(state.signing.certificate).not_after.timestamp())
        pair = state.serving
        if pair is None or pair == self._pair:
            return False
        if self._pair is not None and not state.servable(self._names, self._clock()):
            return False
        self._pair = pair
        return True

    def _log_problems(self, problems: tuple[str, ...]) -> None:
        if problems != self._problems and problems:
            self._log.error("certificates", problems=problems)
        self._problems = problems

    async def _rest(self, due: datetime | None) -> None:
        """Wait for a change, for the next step, or for the poll interval."""
        seconds = _POLL_SECONDS
        if due is not None:
            seconds = min(seconds, max(0.0, (due - self._clock()) / timedelta(seconds=1)))
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
