"""A list of the API server, page by page, in bounded memory and with a bounded number of requests.

| What the API server does                 | What follows                                                           |
|------------------------------------------|------------------------------------------------------------------------|
| an object of a page cannot be read       | the page is taken apart, and the object stands in it as it is          |
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

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError, ExpiredError, TooLargeError
from webhook.cluster.fragments import elements, members
from webhook.cluster.objects import Meta, UnreadableError, named, salvaged

PAGE_BYTES_AT_MOST: Final = 4 * 1024 * 1024
"""Of a page with several objects."""
WHOLE_BYTES_AT_MOST: Final = 128 * 1024 * 1024
"""Of the answer when a single object was asked for: some servers take no notice of a limit."""
LARGEST_PAGE: Final = 500
"""Objects, as in client-go."""
MOST_STALLED: Final = 10
"""So many pages or expired tokens in a row that bring nothing new end the list."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class _List(Struct):
    metadata: Meta
    items: list[Raw] | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        items: The JSON of each object; it may be one that cannot be read.
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
            # Objects of one kind are about as large as those before them.
            asking.limit = min(max(len(items) * wanted_bytes() // max(size, 1), 1), LARGEST_PAGE)
        await asyncio.sleep(_pause(stalled) if stalled else pause)


class _Asking:
    """Asks for pages.

    Attributes:
        query: The parameters of the next request, without its limit.
        limit: Objects in the next page.
        last: The last name of all pages so far.
        behind: The name up to which a list that was begun again brings nothing new.
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
        """Return the next page, and how many bytes it has."""
        while True:
            most = PAGE_BYTES_AT_MOST if self.limit > 1 else WHOLE_BYTES_AT_MOST
            try:
                answer = await self._client.get(self._path, {"limit": str(self.limit)} | self.query, most=most)
            except TooLargeError:
                if self.limit == 1:
                    raise
                self.limit = max(1, self.limit // 4)
            except ExpiredError as error:
                self._go_on(error)
                await asyncio.sleep(_pause(self._expired))
            else:
                return len(answer), await _decoded(answer)

    def _go_on(self, error: ExpiredError) -> None:
        """Go on after a token has expired: with the one that came with the error, else from the last name."""
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
    """Namespace and name as etcd orders them; empty where they cannot be read."""
    try:
        metadata = named(item)
    except UnreadableError:
        metadata = salvaged(item)
    return "/".join(metadata.key) if metadata.name else ""


async def _decoded(answer: bytes) -> _List:
    try:
        page = _LIST.decode(answer)
    except UNREADABLE:
        # One object is enough to make the page unreadable. To take it apart may take some tenths of a second.
        page = await asyncio.to_thread(_taken_apart, answer)
    if not page.metadata.resource_version:
        raise ClusterError("the API server's list has no resourceVersion")
    return page


def _taken_apart(answer: bytes) -> _List:
    try:
        parts = members(answer)
        metadata = msgspec.json.decode(parts["metadata"], type=Meta)
        return _List(metadata, [Raw(item) for item in elements(parts["items"])])
    except (KeyError, *UNREADABLE):
        raise ClusterError("unexpected response of the API server") from None
