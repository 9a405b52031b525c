"""Export one OpenTelemetry span per review with OTLP over HTTP. Imported only if tracing is enabled.

Attributes have low cardinality. The API server's trace is continued if it sends one (W3C Trace Context). Everything
else is configured with OpenTelemetry's own environment variables, such as OTEL_TRACES_SAMPLER.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook import __version__
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.observe.observer import Observer

_CONTEXT = TraceContextTextMapPropagator()
_HEADERS = frozenset({b"traceparent", b"tracestate"})
# Timeout in seconds of an export, which is asynchronous; it also bounds the flush at exit.
_EXPORT_SECONDS = 2.0


class Tracing:
    """The span exporter and its tracer."""

    def __init__(self, endpoint: str) -> None:
        """Prepare; nothing is sent before there is a span.

        Args:
            endpoint: The URL of an OTLP/HTTP collector, such as http://collector:4318/v1/traces.
        """
        resource = Resource.create({"service.name": "sidecar-policy", "service.version": __version__})
        exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("sidecar-policy", __version__)

    def around(self, path: str, webhook: ASGIApp) -> ASGIApp:
        """Wrap a webhook in a span per request.

        Args:
            path: The webhook's path, the span's http.route.
            webhook: The webhook as an ASGI application.
        """
        return _Traced(path, webhook, self._tracer)

    async def close(self) -> None:
        """Export the remaining spans, and shut down."""
        await asyncio.to_thread(self._provider.shutdown)


class _Traced:
    """A webhook as an ASGI application, with a span around each request."""

    def __init__(self, path: str, webhook: ASGIApp, tracer: Tracer) -> None:
        self._name = f"POST {path}"
        self._attributes = {"http.request.method": "POST", "http.route": path}
        self._webhook = webhook
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        # An exception may quote the request, so it is not recorded on the span.
        with self._tracer.start_as_current_span(
            self._name,
            _CONTEXT.extract(sent),
            SpanKind.SERVER,
            self._attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            await self._webhook(scope, receive, send)


class TracedObserver(Observer):
    """An observer that also records each request on its span."""

    def admission(self, admission: Admission, seconds: float) -> None:
        """Record one request; see `Observer.admission`."""
        span = get_current_span()
        if span.is_recording():
            span.set_attributes(_attributes(admission))
            if admission.outcome is Outcome.INTERNAL_ERROR:
                span.set_status(StatusCode.ERROR)
        super().admission(admission, seconds)


def _attributes(admission: Admission) -> dict[str, Any]:
    request, decision, found = admission.request, admission.decision, admission.contradiction
    attributes = {"outcome": admission.outcome.value, "dry_run": request is not None and bool(request.dry_run)}
    if decision is not None:
        # OpenTelemetry does not support null attributes.
        attributes |= {name: value or "" for name, value in decision.summary.items()}
    if found is not None:
        attributes["contradiction"] = found.code
    return {f"sidecar_policy.{name}": value for name, value in attributes.items()}
