"""Make requests that HTTP does not allow, or that the webhook does not take."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
PATHS = (b"/mutate", b"/validate")
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_METHODS = (b"GET", b"PUT", b"OPTIONS", b"CONNECT", b"PRI", b"\xff")
_TARGETS = (b"/", b"//mutate", b"/mutate/", b"/mutate?a=b", b"http://localhost/mutate", b"*", b"/" * 9_000)
_LENGTHS = (b"Content-Length: -", b"X: ", b"content-length: 9")


def request(path: bytes, body: bytes) -> bytes:
    """A request as the API server sends it."""
    return HEAD % (path, len(body)) + body


def broken(random: Random, path: bytes, body: bytes) -> bytes:
    """A request that is wrong in one way. What follows it on its connection may not be understood."""
    return random.choice(_WAYS)(random, HEAD % (path, len(body)), body)


def _chunked(random: Random, head: bytes, body: bytes) -> bytes:
    chunks = random.choice((b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), b"zz\r\n", b"fffffffffff\r\nx"))
    return head.partition(b"Content-Length")[0] + _CHUNKED + chunks


def _more(head: bytes, *lines: bytes) -> bytes:
    return head[:-2] + b"\r\n".join(lines) + b"\r\n\r\n"


def _target(random: Random, head: bytes, body: bytes) -> bytes:
    method, _, rest = head.split(b" ", 2)
    return b" ".join((method, random.choice(_TARGETS), rest)) + body


Way = Callable[[Random, bytes, bytes], bytes]
_WAYS: tuple[Way, ...] = (
    _chunked,
    _target,
    lambda random, head, body: random.choice(_METHODS) + head[4:] + body,
    lambda random, head, body: head.replace(b"application/json", random.choice((b"text/plain", b"a/yaml", b""))) + body,
    lambda random, head, body: _more(head, b"Content-Encoding: gzip") + body,
    lambda random, head, body: head.replace(b"Content-Length: ", random.choice(_LENGTHS)) + body,
    lambda random, head, body: _more(head, *[b"X-%d: y" % random.randrange(9)] * 2_000) + body,
    lambda random, head, body: head.replace(b"localhost", b"a" * random.choice((100, 70_000))) + body,
    lambda random, head, body: head.replace(b"HTTP/1.1", random.choice((b"HTTP/1.0", b"HTTP/9.9", b""))) + body,
    lambda random, head, body: random.randbytes(random.randrange(1, 2_000)),
    lambda random, head, body: (head + body)[: random.randrange(len(head + body))],
    lambda random, head, body: _more(head, b"Expect: 100-continue", b"Connection: close") + body,
    lambda random, head, body: head.replace(b"\r\n", b"\n") + body,
    lambda random, head, body: _more(head, b"Content-Length: 5", b"Transfer-Encoding: chunked") + body,
)
