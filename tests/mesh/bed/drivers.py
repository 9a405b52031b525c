"""Real drivers and command-line clients, each of which makes one connection as an application would.

Usage: drivers.py DOMAIN

Every driver asks the Service of its backend in the domain, all at once, and the program prints what became of each as
JSON: {driver: {"seconds": …, "error": …}}. An error is the text that a user would see: the last line of the traceback,
or what the client printed. It runs in the network of a pod.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import debian
import nats
import nats.errors
import pika
import psycopg
import pymemcache
import pymysql
import pytds
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 6
"""Seconds that a driver waits for an answer: the time-outs that it is given. Many wait forever by themselves."""
NO_TIMEOUT = "(waits until it is killed)"
"""What stands for the error of a client that has no time-out of its own."""


@dataclass(frozen=True)
class Driver:
    """A client of a backend.

    Attributes:
        backend: Whom it asks.
        package: The distribution on PyPI, or the Debian package of a program, that it comes from.
        ask: Make a connection to a host, and use it; raise if that fails.
        program: The program, if it is one.
    """

    backend: str
    package: str
    ask: Callable[[str], None]
    program: str = ""

    def version(self) -> str:
        return debian.version(self.program) if self.program else version(self.package)


class ClientError(Exception):
    """A program's error output."""


def _redis(host: str) -> None:
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=once) as client:
        client.ping()


def _pika(host: str) -> None:
    parameters = pika.ConnectionParameters(host, socket_timeout=PATIENCE, stack_timeout=PATIENCE)
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().queue_declare("", exclusive=True)


def _psycopg(host: str) -> None:
    with psycopg.connect(host=host, user="postgres", connect_timeout=PATIENCE) as connection:
        connection.execute("select 1")


def _pymysql(host: str) -> None:
    limits = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE, "write_timeout": PATIENCE}
    with pymysql.connect(host=host, user="root", **limits) as connection, connection.cursor() as cursor:
        cursor.execute("select 1")


def _pytds(host: str) -> None:
    """The responder refuses the login, in SQL Server's words: that is as far as it goes."""
    try:
        pytds.connect(host, "master", "nobody", "password", timeout=PATIENCE, login_timeout=PATIENCE).close()
    except pytds.Error as error:
        if "Login failed for user" not in str(error):
            raise


def _pymemcache(host: str) -> None:
    client = pymemcache.Client(host, connect_timeout=PATIENCE, timeout=PATIENCE)
    client.get("key")
    client.close()


def _nats(host: str) -> None:
    logged: list[Exception] = []

    async def log(problem: Exception) -> None:
        logged.append(problem)

    async def ask() -> None:
        limits = {"connect_timeout": PATIENCE // 2, "max_reconnect_attempts": 1, "reconnect_time_wait": 0}
        client = await nats.connect(f"nats://{host}", error_cb=log, **limits)
        await client.publish("subject", b"message")
        await client.flush(PATIENCE)
        await client.close()

    try:
        asyncio.run(ask())
    except nats.errors.NoServersError as problem:
        # It logs why, and raises that it tried all.
        raise ClientError("\n".join(dict.fromkeys(map(_line, [*logged, problem])))) from problem


def _program(*command: str) -> Callable[[str], None]:
    """A command-line client, with HOST for its host."""

    def ask(host: str) -> None:
        full = [debian.path(command[0]), *(part.replace("HOST", host) for part in command[1:])]
        try:
            done = subprocess.run(
                full, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE + 2
            )
        except subprocess.TimeoutExpired:
            raise ClientError(NO_TIMEOUT) from None
        # redis-cli's exit code is 0 whatever it was answered.
        if done.returncode or done.stderr:
            raise ClientError((done.stderr + done.stdout).strip())

    return ask


DRIVERS = {
    "redis-py": Driver("redis", "redis", _redis),
    "redis-cli": Driver("redis", "redis-tools", _program("redis-cli", "-h", "HOST", "ping"), program="redis-cli"),
    "pika": Driver("rabbitmq", "pika", _pika),
    "amqp-declare-queue": Driver(
        "rabbitmq",
        "amqp-tools",
        _program("amqp-declare-queue", "--url=amqp://guest:guest@HOST", "--queue=probe"),
        program="amqp-declare-queue",
    ),
    "psycopg": Driver("postgresql", "psycopg", _psycopg),
    "psql": Driver(
        "postgresql",
        "postgresql-client",
        _program("psql", f"host=HOST user=postgres connect_timeout={PATIENCE}", "-c", "select 1"),
        program="psql",
    ),
    "PyMySQL": Driver("mysql", "PyMySQL", _pymysql),
    "mysql": Driver(
        "mysql",
        "mariadb-client-core",
        _program(
            "mysql", "--no-defaults", "-h", "HOST", "-u", "root", f"--connect-timeout={PATIENCE}", "-e", "select 1"
        ),
        program="mysql",
    ),
    "python-tds": Driver("sqlserver", "python-tds", _pytds),
    "pymemcache": Driver("memcached", "pymemcache", _pymemcache),
    "memcping": Driver("memcached", "libmemcached-tools", _program("memcping", "--servers=HOST"), program="memcping"),
    "nats-py": Driver("nats", "nats-py", _nats),
}


def ask_all(domain: str) -> dict[str, dict[str, object]]:
    """Have every driver ask its backend; return what became of each, by its name."""

    def asked(driver: Driver) -> dict[str, object]:
        started = time.monotonic()
        error = ""
        try:
            driver.ask(f"{driver.backend}.{domain}")
        except ClientError as problem:
            error = str(problem)
        except Exception as problem:  # noqa: BLE001 - whatever a driver raises is its answer
            error = _line(problem)
        return {"seconds": round(time.monotonic() - started, 1), "error": error}

    with ThreadPoolExecutor(len(DRIVERS)) as threads:
        return dict(zip(DRIVERS, threads.map(asked, DRIVERS.values()), strict=True))


def _line(problem: Exception) -> str:
    """The last line of a traceback, or its last lines."""
    return "".join(traceback.format_exception_only(problem)).strip()


if __name__ == "__main__":
    print(json.dumps(ask_all(sys.argv[1])), flush=True)
    os._exit(0)  # a driver's own threads may still be waiting
