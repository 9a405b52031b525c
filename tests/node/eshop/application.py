"""A stand-in for each of eShop's applications: it reads their configuration, dials what that names, and serves a page.

As they do, it ends when a backend does not answer. `/hc` dials again, as their health endpoint does. Nothing of a
connection string but the host is ever printed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pika
import pytds
import redis

SECONDS = 10
"""The limit of each step of a connection."""


def dial_rabbitmq(host: str) -> None:
    where = pika.ConnectionParameters(host, socket_timeout=SECONDS, blocked_connection_timeout=SECONDS)
    pika.BlockingConnection(where).close()


def dial_redis(host: str) -> None:
    with redis.Redis(host, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
        client.ping()


def dial_sql_server(host: str) -> None:
    with pytds.connect(host, user="sa", password="none", autocommit=True, login_timeout=SECONDS):
        pass


def backends(environment: os._Environ[str]) -> Iterator[tuple[str, str, Callable[[str], None]]]:
    """The kind and host of each backend in the configuration, and how to dial it."""
    if host := environment.get("EventBusConnection"):
        yield "rabbitmq", host, dial_rabbitmq
    for key in ("ConnectionString", "SignalrStoreConnectionString", "DPConnectionString"):
        value = environment.get(key, "")
        fields = dict(field.split("=", 1) for field in value.split(";") if "=" in field)
        if "Server" in fields:
            yield "mssql", fields["Server"], dial_sql_server
        elif value:
            yield "redis", value, dial_redis


def failures() -> list[str]:
    """Dial each backend once; say what each that failed said."""
    found = []
    for kind, host, dial in backends(os.environ):
        try:
            dial(host)
        except Exception as error:  # noqa: BLE001 - drivers have no error in common
            found.append(f"{kind} at {host}: {type(error).__name__}: {error}")
        else:
            print(f"{kind} at {host}: connected")
    return found


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        failed = failures() if self.path == "/hc" else []
        text = "\n".join(failed) or f"eShop: this is {os.environ['PATH_BASE']}"
        self.send_response(503 if failed else 200)
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if failed := failures():
        sys.exit("\n".join(failed))
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "80"))), Page).serve_forever()
