"""The pods of the cluster, read slowly, page by page, and not watched: there are too many, and they never rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Raw

from webhook.cluster.client import Client
from webhook.cluster.pages import pages

PODS: Final = "/api/v1/pods"
# Pods that have ended are of no interest, and Jobs leave thousands of them.
_ALIVE = "status.phase!=Succeeded,status.phase!=Failed"


async def live_pods(client: Client, *, page: int = 50, pause: float = 0.2) -> AsyncIterator[list[Raw]]:
    """Yield the JSON of the pods that have not ended, page by page; no page is kept.

    In a large cluster this takes longer than the API server keeps a moment to list: then the rest is of a later one.

    Args:
        client: Reaches the cluster. The right that is needed: list pods.
        page: Pods in a page.
        pause: Seconds between two pages, which spares the API server and whoever shares it.

    Raises:
        ClusterError: The API server refuses, does not answer, or never ends.
    """
    async for listed in pages(client, PODS, fields=_ALIVE, limit=page, pause=pause, consistent=False):
        yield listed.items
