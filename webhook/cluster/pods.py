"""List the cluster's pods slowly, page by page. They are not watched: there are too many, which change too often."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Raw

from webhook.cluster.client import Client
from webhook.cluster.pages import pages

PODS: Final = "/api/v1/pods"
# Terminated pods are irrelevant, and Jobs leave thousands of them.
_ALIVE = "status.phase!=Succeeded,status.phase!=Failed"


async def live_pods(client: Client, *, page: int = 50, pause: float = 0.2) -> AsyncIterator[list[Raw]]:
    """Yield the JSON of all pods that have not terminated, page by page.

    In a large cluster the continue token expires before the list is complete: then the rest is of a later resource
    version.

    Args:
        client: The API client. Required permission: list pods.
        page: Pods in a page.
        pause: Seconds between two pages, to limit the load on the API server and the event loop.

    Raises:
        ClusterError: A request failed, or the list does not end.
    """
    async for listed in pages(client, PODS, fields=_ALIVE, limit=page, pause=pause, consistent=False):
        yield listed.items
