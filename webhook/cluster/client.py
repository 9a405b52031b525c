"""A client of the API server: raw JSON in, raw JSON out, and one class of errors.

The `kubernetes` package does discovery and authentication: kubeconfig files with all their credential plugins, and the
pod's service account, whose token is rotated while the process runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from webhook import __version__
from webhook.cluster.errors import UNREADABLE, ClusterError, NoClusterError, TooLargeError, refusal

SILENCE_SECONDS: Final = 28.0
"""Read timeout of a connection. The `timeoutSeconds` of a watch must be shorter."""
OBJECT_BYTES: Final = 16 * 1024 * 1024
"""Limit on one response, or on one event of a watch. etcd stores up to 1.5 MB, which JSON escaping expands up to six
times."""
_ERROR_BYTES = 64 * 1024
_CONNECT_SECONDS = 10.0
# No API server sends a longer Retry-After, and nothing should wait longer.
_LONGEST_RETRY_AFTER = 120
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class _StatusMeta(msgspec.Struct, rename={"continue_": "continue"}):
    continue_: str = ""


class _Status(msgspec.Struct):
    message: str = ""
    metadata: _StatusMeta = msgspec.field(default_factory=_StatusMeta)


class Client:
    """A client of one API server, bound to the event loop that first uses it."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._api.user_agent = f"sidecar-policy/{__version__}"
        self._api.configuration.client_session_kwargs = {"middlewares": (_without_redirects,)}

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._api.configuration.host)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, seconds: float = 60.0, most: int = OBJECT_BYTES
    ) -> bytes:
        """Get an object or a list.

        Args:
            path: For example "/api/v1/namespaces/shop/configmaps/cfg".
            query: Query parameters.
            seconds: Total timeout.
            most: Limit on the response in bytes.

        Returns:
            The response body.

        Raises:
            ClusterError: The object does not exist, permission to read it is missing, or there is no response.
            TooLargeError: The response has more than `most` bytes.
        """
        return await self._send("GET", path, query=query, seconds=seconds, most=most)

    async def post(self, path: str, document: Mapping[str, Any], *, seconds: float = 10.0) -> bytes:
        """Create an object.

        Args:
            path: The collection.
            document: The object.
            seconds: Total timeout.

        Returns:
            The response body.

        Raises:
            ClusterError: The object was not created; status 409 if one of that name exists.
        """
        return await self._send("POST", path, document=document, seconds=seconds)

    async def merge(self, path: str, document: Mapping[str, Any], *, seconds: float = 10.0) -> bytes:
        """Patch an object with a JSON Merge Patch (RFC 7386).

        Args:
            path: The object.
            document: The patch.
            seconds: Total timeout.

        Returns:
            The response body.

        Raises:
            ClusterError: The object was not changed; status 409 if the patch contains a stale resource version.
        """
        return await self._send("PATCH", path, document=document, content_type=MERGE_PATCH, seconds=seconds)

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, seconds: float = 10.0) -> bytes:
        """Patch an object with a JSON Patch (RFC 6902).

        Args:
            path: The object.
            operations: The patch.
            seconds: Total timeout.

        Returns:
            The response body.

        Raises:
            ClusterError: The object was not changed; status 409 if an operation sets a stale resource version.
        """
        return await self._send("PATCH", path, document=operations, content_type=JSON_PATCH, seconds=seconds)

    @asynccontextmanager
    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch, which lasts until the server closes it.

        Args:
            path: A collection.
            query: Query parameters; `watch` is added.

        Yields:
            An iterator of lines of JSON, one for each event.

        Raises:
            ClusterError: The server rejects the request, the connection is lost, no data arrives for 28 s, or an event
                is too large.
            ExpiredError: The resource version is too old.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        async with self._open("GET", path, {**query, "watch": "true"}, limits) as response:
            yield _lines(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        seconds: float,
        most: int = OBJECT_BYTES,
    ) -> bytes:
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        async with self._open(method, path, query or {}, limits, document, content_type) as response:
            return await _body(response, most)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        document: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            method, url, headers, body, _ = await self._api.param_serialize(
                method=method,
                resource_path=path,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=document,
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(method, url, headers, body, _request_timeout=limits)
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status >= 300:
                    raise await _refused(response)
                yield response
        except TimeoutError:
            raise ClusterError(f"{self.server} does not respond") from None
        except (aiohttp.ClientError, OSError, config.ConfigException) as error:
            raise ClusterError(f"{self.server} cannot be reached: {type(error).__name__}") from error


def connect(kubeconfig: Path | None = None, context: str | None = None) -> Client:
    """Load the cluster's address and credentials; nothing is sent yet.

    Args:
        kubeconfig: The file to use; None means the service account of the pod that the process runs in.
        context: The context in the file; None means its current one.

    Returns:
        A client.

    Raises:
        NoClusterError: The kubeconfig is invalid, or the process does not run in a pod.

    Example:
        client = connect(Path("~/.kube/config").expanduser())
        pods = await client.get("/api/v1/namespaces/default/pods")
        await client.close()
    """
    configuration = Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            kubeconfig.read_bytes()  # for a missing file, the package prints a message and continues
            load = config.load_kube_config(
                config_file=str(kubeconfig), context=context, client_configuration=configuration
            )
            asyncio.run(load)
        return Client(ApiClient(configuration))
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoClusterError(_unusable(kubeconfig, error)) from None
    except yaml.YAMLError:
        raise NoClusterError(f"{kubeconfig} is not valid YAML") from None


def _unusable(kubeconfig: Path | None, error: Exception) -> str:
    why = (error.strerror if isinstance(error, OSError) else "") or str(error).strip().partition("\n")[0].rstrip(".")
    if isinstance(error, UnicodeDecodeError):
        why = "it is not UTF-8 text"
    elif isinstance(error, TypeError | AttributeError | KeyError):
        why = "it is empty, or a field is missing or has the wrong type"
    if kubeconfig is None:
        return f"not running in a cluster ({why}): pass --kubeconfig FILE"
    return f"invalid kubeconfig {kubeconfig}: {why}"


async def _without_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse to follow redirects: no API server sends any, and another host must not get the token."""
    response = await handler(request)
    if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
        response.close()
        raise ClusterError(f"{request.url.origin()} returned a redirect, which is not followed", response.status)
    return response


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            raise TooLargeError(f"the API server's response exceeds {most} bytes", response.status)
    return bytes(body)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in response.content.iter_any():
        first, *others = chunk.split(b"\n")
        rest += first
        if len(rest) > OBJECT_BYTES:
            raise TooLargeError(f"a watch event of the API server exceeds {OBJECT_BYTES} bytes")
        for following in others:
            if rest:
                yield bytes(rest)
            rest = bytearray(following)


async def _refused(response: aiohttp.ClientResponse) -> ClusterError:
    try:
        status = msgspec.json.decode(await _body(response, _ERROR_BYTES), type=_Status)
    except (*UNREADABLE, TooLargeError):
        status = _Status()
    asked = response.headers.get("Retry-After", "")
    seconds = min(int(asked), _LONGEST_RETRY_AFTER) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
    return refusal(response.status, status.message, retry_after=seconds, continue_=status.metadata.continue_)
