"""Watch whether the API server calls this webhook before Istio's injector.

The rules are in `webhook.mesh.webhook_order`; this module watches the configurations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.reflector import Reflector, Resource, Sink, run_until
from webhook.mesh.webhook_order import KIND, Configuration, order_problems

CONFIGURATIONS: Final = Resource(KIND, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations")


class WebhookOrder:
    """Watches the MutatingWebhookConfigurations and reports problems with their order.

    Attributes:
        problems: The current problems, as sentences.
    """

    def __init__(self, client: Client, log: FilteringBoundLogger, on_violation: Callable[[], None]) -> None:
        """Prepare.

        Args:
            client: The API client.
            log: Logs each new problem with the order, and the recovery.
            on_violation: Called for each new problem.
        """
        self.problems: tuple[str, ...] = ()
        self._log = log
        self._on_violation = on_violation
        self._configurations: dict[str, tuple[str, ...]] = {}
        self._reflector = Reflector(client, CONFIGURATIONS, Sink(_webhooks, self._put, self._drop), log=log)

    async def watch(self, stop: asyncio.Event) -> None:
        """Watch the configurations until `stop` is set."""
        await run_until(stop, self._reflector.run())

    def _put(self, _: str, name: str, webhooks: tuple[str, ...]) -> None:
        self._configurations[name] = webhooks
        self._look()

    def _drop(self, _: str, name: str) -> None:
        self._configurations.pop(name, None)
        self._look()

    def _look(self) -> None:
        before, self.problems = self.problems, order_problems(self._configurations)
        for problem in self.problems:
            if problem not in before:
                self._log.error("webhook order", problem=problem)
                self._on_violation()
        if before and not self.problems:
            self._log.info("webhook order", problem=None)


def _webhooks(configuration: Raw) -> tuple[str, ...]:
    return msgspec.json.decode(configuration, type=Configuration).names
