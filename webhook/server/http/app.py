"""The application behind the TLS port: POST /mutate and POST /validate.

| the request                                            | HTTP | allowed | outcome            | and                |
|--------------------------------------------------------|------|---------|--------------------|--------------------|
| /mutate: a pod that the decision changes               | 200  | yes     | patched            | patch              |
| /mutate: a pod that it does not change                 | 200  | yes     | unchanged          |                    |
| /validate: a pod that is as decided                    | 200  | yes     | conforms           |                    |
| /validate: a pod that is not                           | 200  | yes     | contradicts        | warning            |
| /validate: a pod that is not, --strict                 | 200  | no      | denied             | status             |
| another operation or kind, a subresource               | 200  | yes     | ignored            |                    |
| a creation without an object                           | 200  | yes     | no-object          | warning            |
| a pod whose fields have other types than the API's     | 200  | yes     | unreadable-pod     | warning: the field |
| /validate: a pod of too many values                    | 200  | by --on-error | unreadable-pod | warning or status |
| deciding fails, --on-error allow                       | 200  | yes     | internal-error     | warning            |
| deciding fails, --on-error deny                        | 200  | no      | internal-error     | status             |
| /mutate: no thread was free, or it took too long       | 200  | yes     | overloaded         | by onUnknown       |
| /validate: the same                                    | 200  | by --on-error | overloaded   | warning or status  |
| the cluster cache is not synced yet                    | 200  | by --on-error | not-synced   | warning or status  |
| /validate: any of these six, --strict                  | 200  | no      | as above           | status             |
| no JSON, no AdmissionReview v1, no request, empty uid  | 400  |         | bad-review         | text               |
| no application/json, or encoded                        | 415  |         | wrong-content-type | text               |
| more bytes than allowed                                | 413  |         | too-large          | text, closed       |
| not received in time                                   | 408  |         | too-slow           | text, closed       |
| other large requests take all memory                   | 503  |         | too-busy           | text, closed       |
| connection lost before it was received                 |      |         | client-gone        |                    |
| another path; another method                           | 404; 405 |     | not counted        |                    |

A dry run is handled like any other request, and marked in the log and in the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from time import monotonic, perf_counter

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from webhook.kubernetes.admission import UnreadableReviewError
from webhook.server.admission.deciding import Decider
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Judge, admit, mutate, validate
from webhook.server.admission.workers import Caller, ClientGoneError
from webhook.server.http.body import Bodies, RefusedError, discard, read_body
from webhook.server.observe.observer import Observer
from webhook.server.settings import Limits

MUTATE = "/mutate"
VALIDATE = "/validate"


class WebhookApp(FastAPI):
    """A FastAPI application that dispatches to its webhooks before middleware and routing.

    That path is bytes in and bytes out on the event loop: half the cost of a plain Starlette route, a tenth of one with
    models. FastAPI handles everything else.
    """

    def __init__(self, webhooks: Mapping[str, ASGIApp]) -> None:
        super().__init__(
            routes=[Route(path, webhook, methods=["POST"]) for path, webhook in webhooks.items()],
            openapi_url=None,
            redirect_slashes=False,
        )
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST" and (webhook := self._webhooks.get(scope["path"])):
            await webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Webhook:
    """One webhook as an ASGI application."""

    def __init__(
        self, name: str, judge: Judge, decider: Decider, observer: Observer, limits: Limits, bodies: Bodies
    ) -> None:
        self._name = name
        self._judge = judge
        self._decider = decider
        self._observer = observer
        self._limits = limits
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, whatever its body, and record it once."""
        started, started_at = perf_counter(), monotonic()
        admission = Admission(self._name)
        body: bytes | bytearray = b""
        rest = 0
        try:
            body = await read_body(
                scope, receive, limit=self._limits.body, seconds=self._limits.read, bodies=self._bodies
            )
            caller = Caller(started_at + self._limits.answer_within(scope.get("query_string", b"")), receive)
            response = await admit(body, self._decider, admission, self._judge, caller)
            await _send(send, HTTPStatus.OK, b"application/json", response)
        except UnreadableReviewError as error:
            admission.detail = str(error)
            await _refuse(send, HTTPStatus.BAD_REQUEST, str(error))
        except RefusedError as error:
            admission.outcome = error.outcome
            admission.detail = str(error)
            rest = error.rest
            await _refuse(send, error.status, str(error), ends=not rest)
        except ClientGoneError:
            admission.outcome = Outcome.CLIENT_GONE
            admission.detail = "the client disconnected before the request was complete or answered"
        finally:
            self._bodies.release(body)
            self._observer.admission(admission, perf_counter() - started)
        if rest:
            await discard(receive, rest, self._limits.read)
            await send({"type": "http.response.body", "body": b""})


def create_app(
    decider: Decider, observer: Observer, limits: Limits, around: Callable[[str, ASGIApp], ASGIApp] | None = None
) -> WebhookApp:
    """Create the application.

    Args:
        decider: The dependencies of a decision, besides the request.
        observer: Records every request.
        limits: Limits on one request.
        around: Wraps the webhook of a path; None serves the webhook itself.

    Returns:
        An ASGI application.
    """
    judges = {MUTATE: mutate, VALIDATE: validate}
    bodies = Bodies(limits.bodies, limits.decoded)
    webhooks: dict[str, ASGIApp] = {
        path: Webhook(path[1:], judge, decider, observer, limits, bodies) for path, judge in judges.items()
    }
    return WebhookApp(
        webhooks if around is None else {path: around(path, webhook) for path, webhook in webhooks.items()}
    )


async def _refuse(send: Send, status: HTTPStatus, message: str, *, ends: bool = True) -> None:
    # The rest of such a request on its connection is not worth reading.
    headers = [(b"connection", b"close")]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))  # the API server's client retries within its timeout
    await _send(send, status, b"text/plain; charset=utf-8", f"{message}\n".encode(), *headers, ends=ends)


async def _send(
    send: Send,
    status: HTTPStatus,
    content_type: bytes,
    body: bytes,
    *headers: tuple[bytes, bytes],
    ends: bool = True,
) -> None:
    """Send a response; the connection remains open for the rest of the request until the response `ends`."""
    await send(
        {
            "type": "http.response.start",
            "status": status.value,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": not ends})
