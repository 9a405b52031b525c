"""List a collection page by page, in bounded memory and with a bounded number of requests.

| What the API server does                 | What follows                                                           |
|------------------------------------------|------------------------------------------------------------------------|
| an object of a page cannot be decoded    | the page is split, and contains the object's JSON unchanged            |
| a page is too large                      | it is requested again with a quarter of the objects                    |
| pages contain nothing new, without end   | back-off, then a ClusterError                                          |
| the continue token has expired (410)     | an error; or, if the list need not be consistent, it continues with    |
|                                          | the token from the error, else from the last name                      |

Source: kubernetes.io, "Kubernetes API Concepts": retrieving large results sets in chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw, Struct

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError, ExpiredError, TooLargeError
from webhook.cluster.fragments import elements, members
from webhook.cluster.objects import ListedMeta, UnreadableError, named, salvaged

PAGE_BYTES_AT_MOST: Final = 4 * 1024 * 1024
"""Limit on a page of several objects."""
WHOLE_BYTES_AT_MOST: Final = 128 * 1024 * 1024
"""Limit on the response to a request for a single object: some servers ignore `limit`."""
LARGEST_PAGE: Final = 500
"""Objects in a page, as in client-go."""
MOST_STALLED: Final = 10
"""Pages without anything new, or expired tokens, in a row before the list fails."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class _List(Struct):
    metadata: ListedMeta
    items: list[Raw] | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        items: The JSON of each object, some of which may not be decodable.
        version: The resource version of the list.
    """

    items: list[Raw]
    version: str


_LIST = msgspec.json.Decoder(_List)


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
        client: The API client.
        path: The collection.
        fields: A field selector; empty for all objects.
        limit: Objects in the first page.
        wanted_bytes: Returns the desired size of the next page in bytes; None keeps to `limit`.
        pause: Seconds between two pages.
        consistent: Whether all pages must be of the same resource version; if not, an expired token does not end the
            list.

    Yields:
        Pages, including empty ones.

    Raises:
        ClusterError: A request failed, the response is not a list, or the list does not end.
        ExpiredError: The list must be restarted.

    Example:
        async for page in pages(client, "/api/v1/configmaps", limit=500):
            names = [named(item).name for item in page.items]
    """
    asking = _Asking(client, path, fields, limit, consistent=consistent)
    lasts: set[str] = set()
    stalled = 0
    while True:
        size, page = await asking.page()
        items = page.items or []
        newest = next(filter(None, map(_name, reversed(items))), "")
        stalled = stalled + 1 if newest <= asking.behind or newest in lasts else 0
        if stalled > MOST_STALLED:
            raise ClusterError(f"the API server's list of {path} has no end")
        fresh = [item for item in items if _name(item) > asking.behind] if asking.behind else items
        yield Page(fresh, page.metadata.resource_version)
        if not page.metadata.continue_:
            return
        lasts.add(newest)
        asking.last = max(newest, asking.last)
        asking.query["continue"] = page.metadata.continue_
        if wanted_bytes is not None:
            # Objects are assumed to be about as large as those of the previous page.
            asking.limit = min(max(len(items) * wanted_bytes() // max(size, 1), 1), LARGEST_PAGE)
        await asyncio.sleep(_pause(stalled) if stalled else pause)


class _Asking:
    """Requests pages.

    Attributes:
        query: The parameters of the next request, without its limit.
        limit: Objects in the next page.
        last: The last name of all pages so far.
        behind: The name up to which a restarted list contains nothing new.
    """

    def __init__(self, client: Client, path: str, fields: str, limit: int, *, consistent: bool) -> None:
        self.query = {"fieldSelector": fields} if fields else {}
        self.limit = limit
        self.last = self.behind = ""
        self._client = client
        self._path = path
        self._consistent = consistent
        self._expired = 0

    async def page(self) -> tuple[int, _List]:
        """Request the next page; return its size in bytes and its content."""
        while True:
            most = PAGE_BYTES_AT_MOST if self.limit > 1 else WHOLE_BYTES_AT_MOST
            try:
                answer = await self._client.get(self._path, {"limit": str(self.limit)} | self.query, most=most)
            except TooLargeError:
                if self.limit == 1:
                    raise
                self.limit = max(1, self.limit // 4)
            except ExpiredError as error:
                self._resume_after(error)
                await asyncio.sleep(_pause(self._expired))
            else:
                return len(answer), await _decoded(answer)

    def _resume_after(self, error: ExpiredError) -> None:
        """Continue after a token has expired: with the token from the error, else from the last name."""
        self._expired += 1
        if self._consistent or self._expired > MOST_STALLED or "continue" not in self.query:
            raise error
        if error.continue_:
            self.query["continue"] = error.continue_
        else:
            del self.query["continue"]
            self.behind = self.last


def _pause(times: int) -> float:
    return float(min(_FIRST_PAUSE * 2**times, _LONGEST_PAUSE))


def _name(item: Raw) -> str:
    """Return "namespace/name", the order of a list; empty if it cannot be decoded."""
    try:
        metadata = named(item)
    except UnreadableError:
        metadata = salvaged(item)
    return "/".join(metadata.key) if metadata.name else ""


async def _decoded(answer: bytes) -> _List:
    try:
        page = _LIST.decode(answer)
    except UNREADABLE:
        # A single object can make the whole page undecodable. Splitting the page may take some tenths of a second.
        page = await asyncio.to_thread(_split_page, answer)
    if not page.metadata.resource_version:
        raise ClusterError("the API server's list has no resourceVersion")
    return page


def _split_page(answer: bytes) -> _List:
    try:
        parts = members(answer)
        metadata = msgspec.json.decode(parts["metadata"], type=ListedMeta)
        return _List(metadata, [Raw(item) for item in elements(parts["items"])])
    except (KeyError, *UNREADABLE):
        raise ClusterError("unexpected response of the API server") from None
