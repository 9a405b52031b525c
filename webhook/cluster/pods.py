"""The pods of the cluster, read slowly, page by page, and not watched: there are too many, and they never rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from webhook.cluster.client import Client
from webhook.cluster.errors import ClusterError

PODS: Final = "/api/v1/pods"
# Pods that have ended are of no interest, and Jobs leave thousands of them.
_ALIVE = "status.phase!=Succeeded,status.phase!=Failed"


class _Meta(Struct, rename="camel"):
    continue_: str = msgspec.field(name="continue", default="")


class _List(Struct):
    metadata: _Meta
    items: list[Raw]


async def live_pods(client: Client, *, page: int = 50, pause: float = 0.2) -> AsyncIterator[list[Raw]]:
    """The pods that have not ended, page by page.

    Args:
        client: Reaches the cluster. The right that is needed: list pods.
        page: Pods in a page.
        pause: Seconds between two pages, which spares the API server and whoever shares it.

    Yields:
        The pods' JSON. No page is kept.

    Raises:
        ClusterError: The API server refuses or does not answer, or its list has expired meanwhile.
    """
    query = {"limit": str(page), "fieldSelector": _ALIVE}
    while True:
        answer = await client.get(PODS, query)
        try:
            read = msgspec.json.decode(answer, type=_List)
        except msgspec.MsgspecError:
            raise ClusterError("the API server's answer is not understood") from None
        del answer
        yield read.items
        if not read.metadata.continue_:
            return
        query["continue"] = read.metadata.continue_
        await asyncio.sleep(pause)
