"""The application behind the plain port: probes, metrics, the policy in force, and drift. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from webhook.server.readiness import Readiness

_JSON = "application/json"


def create_status_app(
    readiness: Readiness,
    registry: CollectorRegistry,
    policy: Callable[[], Mapping[str, Any]],
    drift: Callable[[], Mapping[str, Any]] = lambda: {"enabled": False},
) -> FastAPI:
    """Make the application.

    Args:
        readiness: What /readyz and /healthz say.
        registry: What /metrics shows.
        policy: Gives what /policy shows, as plain data.
        drift: Gives what /drift shows.

    Returns:
        An ASGI application with GET /livez, /readyz, /healthz, /metrics, /policy and /drift. The probes answer 200 or
        503, as text, or as JSON to whoever accepts application/json; `?verbose` lists every check.
    """
    app = FastAPI(openapi_url=None, redirect_slashes=False)

    async def livez(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz(request: Request) -> Response:
        report = readiness.report()
        status = 200 if report.ok else 503
        if _JSON in request.headers.get("accept", ""):
            return _json(report.document(), status)
        verbose = "verbose" in request.query_params
        return Response(report.text(verbose=verbose), status, media_type="text/plain")

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # With a thousand rules it takes tens of milliseconds, in which no pod would be answered.
        return Response(await asyncio.to_thread(encode, registry), headers={"content-type": content_type})

    async def policy_in_force(_: Request) -> Response:
        return _json(policy())

    async def drifted(_: Request) -> Response:
        return _json(drift())

    app.add_route("/livez", livez, methods=["GET"])
    app.add_route("/readyz", readyz, methods=["GET"])
    app.add_route("/healthz", readyz, methods=["GET"])
    app.add_route("/metrics", metrics, methods=["GET"])
    app.add_route("/policy", policy_in_force, methods=["GET"])
    app.add_route("/drift", drifted, methods=["GET"])
    return app


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type=_JSON)
