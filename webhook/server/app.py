"""The application behind the TLS port: POST /mutate.

| the request                                            | HTTP | allowed | outcome            | and                |
|--------------------------------------------------------|------|---------|--------------------|--------------------|
| a pod that the decision changes                        | 200  | yes     | patched            | patch              |
| a pod that it does not change                          | 200  | yes     | unchanged          |                    |
| another operation or kind, a subresource               | 200  | yes     | ignored            |                    |
| a creation without an object                           | 200  | yes     | no-object          | warning            |
| a pod whose fields have other types than the API's     | 200  | yes     | unreadable-pod     | warning: the field |
| deciding fails, --on-error allow                       | 200  | yes     | internal-error     | warning            |
| deciding fails, --on-error deny                        | 200  | no      | internal-error     | status             |
| no JSON, no AdmissionReview v1, no request, empty uid  | 400  |         | bad-review         | text               |
| no application/json, or encoded                        | 415  |         | wrong-content-type | text               |
| more bytes than allowed                                | 413  |         | too-large          | text, closed       |
| not here in time                                       | 408  |         | too-slow           | text, closed       |
| connection lost before it was here                     |      |         | client-gone        |                    |
| another path; another method                           | 404; 405 |     | not counted        |                    |

A dry run is decided and answered as any other request, and marked in the log and in the metric.
"""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from webhook.core.review import UnreadableReviewError
from webhook.server.admission import Decider, admit
from webhook.server.body import ClientGoneError, RefusedError, read_body
from webhook.server.observe import Observer
from webhook.server.outcome import Admission
from webhook.server.settings import Limits

MUTATE = "/mutate"


class WebhookApp(FastAPI):
    """A FastAPI application that answers POST /mutate before middleware, routing and models come into it.

    That path is bytes in and bytes out on the event loop: half the cost of a plain Starlette route, a tenth of one with
    models. Everything else is FastAPI's.
    """

    def __init__(self, mutate: Mutate) -> None:
        super().__init__(
            routes=[Route(MUTATE, mutate, methods=["POST"])],
            openapi_url=None,
            redirect_slashes=False,
        )
        self._mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == MUTATE and scope["method"] == "POST":
            await self._mutate(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Mutate:
    """POST /mutate as an ASGI application."""

    def __init__(self, decider: Decider, observer: Observer, limits: Limits) -> None:
        self._decider = decider
        self._observer = observer
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one AdmissionReview, whatever came in, and tell the observer once."""
        started = perf_counter()
        admission = Admission()
        try:
            body = await read_body(scope, receive, limit=self._limits.body, seconds=self._limits.read)
            await _send(send, HTTPStatus.OK, b"application/json", admit(body, self._decider, admission))
        except UnreadableReviewError as error:
            admission.detail = str(error)
            await _refuse(send, HTTPStatus.BAD_REQUEST, str(error))
        except RefusedError as error:
            admission.outcome = error.outcome
            admission.detail = str(error)
            await _refuse(send, error.status, str(error))
        except ClientGoneError:
            admission.detail = "the connection was lost before the request had come in"
        finally:
            self._observer.admission(admission, perf_counter() - started)


def create_app(decider: Decider, observer: Observer, limits: Limits) -> WebhookApp:
    """Make the application.

    Args:
        decider: All that a decision needs besides the request.
        observer: Is told of every request.
        limits: What one request may cost.

    Returns:
        An ASGI application.
    """
    return WebhookApp(Mutate(decider, observer, limits))


async def _refuse(send: Send, status: HTTPStatus, message: str) -> None:
    # What is left of such a request on its connection is not worth reading.
    await _send(send, status, b"text/plain; charset=utf-8", f"{message}\n".encode(), (b"connection", b"close"))


async def _send(
    send: Send, status: HTTPStatus, content_type: bytes, body: bytes, *headers: tuple[bytes, bytes]
) -> None:
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
    await send({"type": "http.response.body", "body": body})
