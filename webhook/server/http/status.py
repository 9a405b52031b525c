"""The read-only application behind the plain port: probes, metrics, the active policy, and drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from webhook.server.http.page import Page
from webhook.server.observe.readiness import Readiness

_JSON = "application/json"
_OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def create_status_app(
    readiness: Readiness,
    registry: CollectorRegistry,
    policy: Callable[[], Mapping[str, Any]],
    drift: Callable[[], Mapping[str, Any]] = lambda: {"enabled": False},
) -> FastAPI:
    """Create the application.

    Args:
        readiness: The checks of /readyz and /healthz.
        registry: The metrics of /metrics.
        policy: Returns the response of /policy, as plain data.
        drift: Returns the response of /drift, as plain data.

    Returns:
        An ASGI application with GET /livez, /readyz, /healthz, /metrics, /policy and /drift. The probes respond with
        200 or 503, as text, or as JSON if the client accepts application/json; `?verbose` lists every check.
    """
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    # Each is rendered in a thread: rendering may block for tens of milliseconds, or read files.
    reports = Page(readiness.report)
    texts = {encoded: Page(partial(encode, registry)) for encode, encoded in map(choose_encoder, ("", _OPEN_METRICS))}
    policies = Page(lambda: msgspec.json.encode(policy()))
    drifts = Page(lambda: msgspec.json.encode(drift()))

    async def livez(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz(request: Request) -> Response:
        report = await reports()
        status = 200 if report.ok else 503
        if _JSON in request.headers.get("accept", ""):
            return Response(msgspec.json.encode(report.document()), status, media_type=_JSON)
        verbose = "verbose" in request.query_params
        return Response(report.text(verbose=verbose), status, media_type="text/plain")

    async def metrics(request: Request) -> Response:
        content_type = _metrics_format(request.headers.get("accept", ""))
        return Response(await texts[content_type](), headers={"content-type": content_type})

    async def policy_in_force(_: Request) -> Response:
        return Response(await policies(), media_type=_JSON)

    async def drifted(_: Request) -> Response:
        return Response(await drifts(), media_type=_JSON)

    app.add_route("/livez", livez, methods=["GET"])
    app.add_route("/readyz", readyz, methods=["GET"])
    app.add_route("/healthz", readyz, methods=["GET"])
    app.add_route("/metrics", metrics, methods=["GET"])
    app.add_route("/policy", policy_in_force, methods=["GET"])
    app.add_route("/drift", drifted, methods=["GET"])
    return app


def _metrics_format(accepted: str) -> str:
    """Return the content type for an Accept header: one of two, although there are many versions and escapings."""
    try:
        _, content_type = choose_encoder(accepted)
    except (TypeError, ValueError):
        content_type = ""  # a version that is not a number
    _, encoded = choose_encoder(_OPEN_METRICS if content_type.startswith("application/openmetrics-text") else "")
    return encoded
