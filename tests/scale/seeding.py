"""Many objects into an API server, quickly."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

import aiohttp
from population import Object

AT_ONCE = 16
_PLURALS = {"Namespace": "namespaces", "Service": "services", "ConfigMap": "configmaps"}


class SeedingError(RuntimeError):
    """An object was not taken."""


def seed(url: str, authority: Path, client: tuple[Path, Path], objects: Iterable[Object]) -> int:
    """Create objects, some at once.

    Args:
        url: The API server's.
        authority: Signs its certificate.
        client: The certificate and key of a user who may create them.
        objects: In any order, as long as their namespaces are there.

    Returns:
        How many there were.

    Raises:
        SeedingError: One of them was refused.
    """
    trust = ssl.create_default_context(cafile=str(authority))
    trust.load_cert_chain(*client)
    return asyncio.run(_seed(url, trust, iter(objects)))


async def _seed(url: str, trust: ssl.SSLContext, objects: Iterable[Object]) -> int:
    connector = aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session:
        done = await asyncio.gather(*(_create(session, objects) for _ in range(AT_ONCE)))
    return sum(done)


async def _create(session: aiohttp.ClientSession, objects: Iterable[Object]) -> int:
    created = 0
    for one in objects:
        async with session.post(_collection(one), data=json.dumps(one)) as answer:
            if answer.status != HTTPStatus.CREATED:
                raise SeedingError(f"{one['kind']} {one['metadata']['name']}: {await answer.text()}")
            await answer.read()
        created += 1
    return created


def _collection(one: Object) -> str:
    namespace = one["metadata"].get("namespace")
    return f"/api/v1{f'/namespaces/{namespace}' if namespace else ''}/{_PLURALS[one['kind']]}"
