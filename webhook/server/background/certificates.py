"""Self-managed certificates: kept in a Secret that all replicas share, brought into service and rotated by any of them.

Each replica follows the Secret and our webhook configurations, so that a new certificate is served, and a caBundle
that somebody wiped is restored, as soon as the API server tells of it; and it looks every ten seconds anyway.
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
# Replicas that got into each other's way come back at different times; what is written again and again, without an
# end, after ever longer pauses.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 10.0
_WRITES_IN_A_ROW = 8


class SelfManaged:
    """Keeps the Secret, and gives what it holds to be served. Implements `webhook.server.tls.sources.PairSource`."""

    STALE_SECONDS: Final = 60.0
    """So long without having read the Secret is worth a remark."""

    def __init__(
        self,
        client: Client,
        managed: ManagedCertificates,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; `watch` does the rest.

        Args:
            client: Reaches the cluster.
            managed: What is managed.
            metrics: Where steps, failures and the authority's expiry are told.
            log: Is told of steps and problems.
            clock: The time of day.

        Raises:
            CertificateError: A name is none.
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
        self._reflectors = [self._follow(client, one) for one in (kept.secret.resource, *kept.configurations.resources)]

    @property
    def certificate(self) -> str:
        """Where the certificate is."""
        return f"tls.crt of Secret {self._secret.place}"

    @property
    def key(self) -> str:
        """Where its key is."""
        return f"tls.key of Secret {self._secret.place}"

    def read(self) -> KeyPair:
        """What the Secret held when it was last read, and was whole.

        Raises:
            PendingError: It never was.
        """
        if self._pair is None:
            raise PendingError("; ".join(self._problems) or f"Secret {self._secret.place} contains no certificate yet")
        return self._pair

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Look after the certificates, and call `changed` when there is another to serve, until `stop` is set."""
        await run_until(stop, *(one.run() for one in self._reflectors), self._look_after(changed))

    def check(self) -> Health:
        """Ready once the webhook configurations have been seen to trust what is served; later troubles are remarked.

        Before that, the API server could not make use of this replica.
        """
        problems = "; ".join(self._problems)
        if not self._trusted:
            waiting = problems or "it is being installed"
            return Health(ok=False, remark=f"the webhook configurations do not contain the CA yet: {waiting}")
        silent = time.monotonic() - self._read
        if silent > self.STALE_SECONDS:
            return Health(ok=True, remark=f"Secret {self._secret.place} was last read {silent:.0f} s ago: {problems}")
        return Health(ok=True, remark=problems)

    def _follow(self, client: Client, resource: Resource) -> Reflector[None]:
        """What has changed is read anew; here it only matters that something has."""
        sink = Sink(lambda _: None, lambda *_: self._changed.set(), lambda *_: self._changed.set())
        return Reflector(client, resource, sink, log=self._log)

    async def _look_after(self, changed: Callable[[], None]) -> None:
        written = 0
        while True:
            self._changed.clear()
            look = await self._act()
            if look is not None and self._take_up(look):
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
            self._tell((problem,))
            return None
        self._read = time.monotonic()
        damage = 0 if look.step.action is not Action.MEND else 1
        self._metrics.certificate_failures.labels("secret").inc(damage)
        self._metrics.certificate_failures.labels("configuration").inc(len(look.problems) > damage)
        self._tell(look.problems)
        if look.took:
            self._metrics.certificate_steps.labels(look.step.action.value).inc()
            self._log.info("certificate step", step=look.step.action.value, reason=look.step.reason)
        return look

    def _take_up(self, look: Look) -> bool:
        """Whether there is another pair to serve. It must have been read: a write may have been refused."""
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

    def _tell(self, problems: tuple[str, ...]) -> None:
        if problems != self._problems and problems:
            self._log.error("certificates", problems=problems)
        self._problems = problems

    async def _rest(self, due: datetime | None) -> None:
        """Wait for a change, for the time that is due, or for the next look."""
        seconds = _POLL_SECONDS
        if due is not None:
            seconds = min(seconds, max(0.0, (due - self._clock()) / timedelta(seconds=1)))
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
