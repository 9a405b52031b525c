"""The floor of a server in Python: ours without its application. It reads the body and answers a constant.

Run as a program: constant.py PORT CERTIFICATE KEY serves until it is told to end.
"""

from __future__ import annotations

import ssl
import sys

import uvloop
from starlette.types import Receive, Scope, Send

from webhook.server.embedded import make_server
from webhook.server.ports import listen
from webhook.server.settings import Limits

ANSWER = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"","allowed":true}}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]


async def constant(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def main() -> None:
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with listen("127.0.0.1", int(port), "PORT") as listening:
        server = make_server(constant, Limits(), tls=context)
        await server.serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(main())
