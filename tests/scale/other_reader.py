"""A process that asks for what a relist asks for, in pages as large and as quickly, and throws it away.

What decisions feel of it, they feel of the API server, of the way to it and of the machine, and not of the relist.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import re
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from processes import ProgramError

from webhook.cluster.reflector import FIRST_PAGE
from webhook.cluster.turns import PAGE_BYTES

_CONTINUE = re.compile(rb'"continue":"([^"]+)"')
_HEAD_BYTES = 4096
"""A list begins with its metadata."""


def read_elsewhere(url: str, authority: Path, collections: Mapping[str, int], *, seconds: float) -> None:
    """Read collections side by side, in a process of its own, and wait for its end.

    Args:
        url: The API server's, or a proxy's.
        authority: Signs its certificate.
        collections: The path of each, and how many objects it has.
        seconds: How long it is to take at least.

    Raises:
        ProgramError: One of them could not be read.
    """
    ours = multiprocessing.get_context("fork").Process(target=_read_all, args=(url, authority, collections, seconds))
    ours.start()
    ours.join()
    if ours.exitcode:
        raise ProgramError("what a relist reads could not be read by another process")


def _read_all(url: str, authority: Path, collections: Mapping[str, int], seconds: float) -> None:
    os.setsid()
    trust = ssl.create_default_context(cafile=str(authority))
    read = partial(_read, urlsplit(url).netloc, trust, seconds)
    with ThreadPoolExecutor(len(collections)) as threads:
        list(threads.map(read, collections.keys(), collections.values()))


def _read(host: str, trust: ssl.SSLContext, seconds: float, collection: str, objects: int) -> None:
    connection = http.client.HTTPSConnection(host, context=trust, timeout=60)
    room = bytearray(1 << 16)
    begin, done, limit, more = time.monotonic(), 0, FIRST_PAGE, ""
    while True:
        connection.request("GET", f"{collection}?limit={limit}{more}", headers={"Accept": "application/json"})
        with connection.getresponse() as answer:
            if answer.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(answer.reason)
            head = answer.read(_HEAD_BYTES)
            size = len(head)
            while count := answer.readinto(room):
                size += count
        found = _CONTINUE.search(head)
        if not found:
            break
        done += limit
        more = f"&continue={quote(found[1])}"
        limit = max(1, limit * PAGE_BYTES // size)
        time.sleep(max(0.0, begin + seconds * done / objects - time.monotonic()))
    connection.close()
