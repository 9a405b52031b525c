"""A list of the API server, page by page, in bounded memory and with a bounded number of requests.

| What the API server does                 | What follows                                                           |
|------------------------------------------|------------------------------------------------------------------------|
| a page is too large                      | it is asked for again with a quarter of the objects                    |
| pages bring nothing new, without an end  | growing pauses, then a ClusterError                                    |
| the continue token has expired (410)     | an error; or, where a consistent list is not needed, the list goes on  |
|                                          | with the token that came with the error, else from the last name       |

Source: kubernetes.io, "Kubernetes API Concepts": retrieving large results sets in chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw, Struct

from webhook.cluster.client import OBJECT_BYTES, Client
from webhook.cluster.errors import ClusterError, ExpiredError, TooLargeError

PAGE_BYTES_AT_MOST: Final = 4 * 1024 * 1024
"""Of a page with several objects. A page of one object may be as large as an object."""
LARGEST_PAGE: Final = 500
"""Objects, as in client-go."""
MOST_STALLED: Final = 10
"""So many pages or expired tokens in a row that bring nothing new end the list."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Meta(Struct, rename={"resource_version": "resourceVersion", "continue_": "continue"}):
    """The metadata of an object, a list or a Status."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class _List(Struct):
    metadata: Meta
    items: list[Raw] | None


class _Object(Struct):
    metadata: Meta


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        items: The JSON of each object.
        version: The resource version of the list.
    """

    items: list[Raw]
    version: str


_LIST = msgspec.json.Decoder(_List)
_OBJECT = msgspec.json.Decoder(_Object)


async def pages(
    client: Client,
    path: str,
    *,
    fields: str = "",
    limit: int,
    wanted_bytes: Callable[[], int] | None = None,
    pause: float = 0.0,
    consistent: bool = True,
) -> AsyncIterator[Page]:
    """List a collection.

    Args:
        client: Reaches the cluster.
        path: The collection.
        fields: A field selector; empty for all objects.
        limit: Objects in the first page.
        wanted_bytes: How large the next pages should be; None keeps to `limit`.
        pause: Seconds between two pages.
        consistent: Whether all pages must show the same moment; else an expired token does not end the list.

    Yields:
        Pages; those without objects, too.

    Raises:
        ClusterError: The API server refuses, does not answer, answers something else, or never ends.
        ExpiredError: The list has to be begun again.
    """
    query = {"limit": str(limit)} | ({"fieldSelector": fields} if fields else {})
    last, lasts, behind, stalled, expired = "", set[str](), "", 0, 0
    while True:
        asked = int(query["limit"])
        try:
            answer = await client.get(path, query, most=PAGE_BYTES_AT_MOST if asked > 1 else OBJECT_BYTES)
        except TooLargeError:
            if asked == 1:
                raise
            query["limit"] = str(max(1, asked // 4))
            continue
        except ExpiredError as error:
            expired += 1
            if consistent or expired > MOST_STALLED or "continue" not in query:
                raise
            if error.continue_:
                query["continue"] = error.continue_
            else:
                del query["continue"]
                lasts.clear()
                behind = last
            await asyncio.sleep(_pause(expired))
            continue
        size, page = len(answer), _decoded(answer)
        del answer
        items = page.items or []
        newest = _name(items[-1]) if items else ""
        stalled = stalled + 1 if newest in lasts or not items else 0
        if stalled > MOST_STALLED:
            raise ClusterError(f"the API server's list of {path} does not end")
        # A list that was begun again brings the first objects once more, in the order of their names.
        fresh = [item for item in items if _name(item) > behind] if behind else items
        yield Page(fresh, page.metadata.resource_version)
        if not page.metadata.continue_:
            return
        if newest:
            last = max(newest, behind)
            lasts.add(newest)
        query["continue"] = page.metadata.continue_
        if wanted_bytes is not None:
            # Objects of one kind are about as large as those before them.
            query["limit"] = str(min(max(len(items) * wanted_bytes() // max(size, 1), 1), LARGEST_PAGE))
        if stalled:
            await asyncio.sleep(_pause(stalled))
        elif pause and fresh:
            await asyncio.sleep(pause)


def _pause(times: int) -> float:
    return float(min(_FIRST_PAUSE * 2**times, _LONGEST_PAUSE))


def _name(item: Raw) -> str:
    """Namespace and name as etcd orders them."""
    try:
        return "/".join(_OBJECT.decode(item).metadata.key)
    except msgspec.MsgspecError:
        raise ClusterError("the API server's answer is not understood") from None


def _decoded(answer: bytes) -> _List:
    try:
        page = _LIST.decode(answer)
    except msgspec.MsgspecError:
        raise ClusterError("the API server's answer is not understood") from None
    if not page.metadata.resource_version:
        raise ClusterError("the API server's list has no resource version")
    return page
