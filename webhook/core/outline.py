"""Reviews of very many values, or of very much text that is not ASCII, of which only an outline is read.

To decode one holds the interpreter, also on a thread: a third of a second for eight megabytes of empty containers.
Values that nobody asks for are skipped many times as fast. A text with a single character beyond Latin-1 takes two or
four bytes of memory for each of its characters.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from webhook.core.pod import ObjectMeta, Pod, PodSpec
from webhook.core.review import AdmissionRequest, Review
from webhook.core.review import parse as parse_whole

MOST_VALUES: Final = 100_000
"""Values of a review that are decoded, about: in some 30 ms. The largest known pods have a few hundred."""
MOST_WIDE: Final = 2 * 1024 * 1024
"""Bytes of a review whose texts may be wide. The API server stores objects of up to 1.5 MiB."""
_SHORT = 64 * 1024
_WIDE_ESCAPE = re.compile(rb"\\u(?!00)")
# The API server rejects a pod whose labels or annotations are longer.
_LONGEST_MAP = 1024 * 1024


class _Metadata(Struct, frozen=True, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    labels: Raw = Raw(b"null")
    annotations: Raw = Raw(b"null")


class _Spec(Struct, frozen=True, rename="camel"):
    host_network: bool | None = None


class _Pod(Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec


class _Request(AdmissionRequest, frozen=True, rename="camel"):
    object: _Pod | None = None


class _Review(Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


_OUTLINE = msgspec.json.Decoder(_Review)
_MAP = msgspec.json.Decoder(dict[str, str] | None)


def parse(body: bytes | bytearray) -> Review:
    """Read an AdmissionReview; of a pod that is too large no more than its metadata and host network.

    Args, results and errors are those of `webhook.core.review.parse`.
    """
    if len(body) <= _SHORT or not (_has_many_values(body) or (len(body) > MOST_WIDE and is_wide(body))):
        return parse_whole(body)
    found: list[_Review] = []

    def decode(body: bytes | bytearray) -> _Review:
        found.append(_OUTLINE.decode(body))
        return found[0]

    review = parse_whole(body, decode)
    outline = found[0].request.object if found and found[0].request is not None else None
    if outline is None:
        return review
    metadata = outline.metadata
    try:
        labels, annotations = _map(metadata.labels), _map(metadata.annotations)
    except (ValueError, RecursionError):
        return replace(review, pod=None, problem="metadata: labels and annotations cannot be read, or are too long")
    meta = ObjectMeta(metadata.name, metadata.generate_name, labels=labels, annotations=annotations)
    return replace(review, pod=Pod(meta, PodSpec(host_network=outline.spec.host_network)), whole=False)


def is_wide(body: bytes | bytearray) -> bool:
    """Return whether a text of the body may take more than one byte of memory for each byte of the body."""
    return not body.isascii() or _WIDE_ESCAPE.search(body) is not None


def _has_many_values(body: bytes | bytearray) -> bool:
    return body.count(b",") + body.count(b"{") > MOST_VALUES


def _map(text: Raw) -> dict[str, str] | None:
    if memoryview(text).nbytes > _LONGEST_MAP:
        raise ValueError("too long")
    found: dict[str, str] | None = _MAP.decode(text)
    return found
