"""Reviews of very many values, or of very much text that is not ASCII, of which only an outline is read.

Decoding one holds the interpreter, also on a thread: for a third of a second for eight megabytes of empty containers.
Values that no field takes are skipped many times as fast. A text with a single character beyond Latin-1 takes two or
four bytes of memory for each of its characters.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from webhook.core.pod import ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.core.review import AdmissionRequest, Review
from webhook.core.review import parse as parse_whole

T = TypeVar("T")

MOST_VALUES: Final = 100_000
"""Values of a review that are decoded, about: in some 30 ms. The largest known pods have a few hundred."""
FEW_VALUES: Final = 2_000
"""Values of a review that are decoded at once; the rest of what is done about so many takes some milliseconds."""
MOST_WIDE: Final = 2 * 1024 * 1024
"""Bytes of a review whose texts may be wide. The API server stores objects of up to 1.5 MiB."""
_MANY: Final = f"the pod has more than {MOST_VALUES} values, so it is not known"
_WIDE: Final = f"the pod's review has more than {MOST_WIDE} bytes and is not all ASCII, so it is not known"
LARGE: Final = 64 * 1024
"""Bytes of a review. The largest known pods of real software are shorter."""
# So few bytes have few values, whatever they are.
_SHORTEST = 4 * FEW_VALUES
# A value follows a comma, or is the first one within another.
_SIGNS: Final = (b",", b"{", b"[")
_PIECE = 64 * 1024
# A pod of that many values may have as many keys, and each text has two quotes.
_MOST_QUOTES = 4 * MOST_VALUES
_WIDE_ESCAPE = re.compile(rb"\\u(?!00)")
# The API server rejects a pod whose labels or annotations are longer.
_LONGEST_MAP = 1024 * 1024
_LONGEST_OWNERS = 64 * 1024


class _Metadata(Struct, frozen=True, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    labels: Raw = Raw(b"null")
    annotations: Raw = Raw(b"null")
    owner_references: Raw = Raw(b"null")


class _Spec(Struct, frozen=True, rename="camel"):
    host_network: bool | None = None
    service_account_name: str | None = None


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
_OWNERS = msgspec.json.Decoder(list[OwnerReference] | None)


def parse(body: bytes | bytearray) -> Review:
    """Read an AdmissionReview; of a pod that is too large no more than its metadata and two fields of its spec.

    These are its host network and its service account.

    Args, results and errors are those of `webhook.core.review.parse`.
    """
    unread = _unread(body)
    if not unread:
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
        labels, annotations = (_bounded(text, _LONGEST_MAP, _MAP) for text in (metadata.labels, metadata.annotations))
        owners = _bounded(metadata.owner_references, _LONGEST_OWNERS, _OWNERS)
    except (ValueError, RecursionError):
        problem = "metadata: labels, annotations and ownerReferences cannot be read, or are too long"
        return replace(review, pod=None, problem=problem)
    meta = ObjectMeta(
        metadata.name, metadata.generate_name, labels=labels, annotations=annotations, owner_references=owners
    )
    spec = PodSpec(host_network=outline.spec.host_network, service_account_name=outline.spec.service_account_name)
    return replace(review, pod=Pod(meta, spec), unread=unread)


def _unread(body: bytes | bytearray) -> str:
    """Return why the body is too large to be decoded whole, as a sentence; empty where it is not."""
    if len(body) <= LARGE:
        return ""
    if _has_many_values(body):
        return _MANY
    return _WIDE if len(body) > MOST_WIDE and is_wide(body) else ""


def is_large(body: bytes | bytearray) -> bool:
    """Return whether a body has more than `LARGE` bytes, or may have more than `FEW_VALUES`, however short it is."""
    return len(body) > LARGE or (len(body) > _SHORTEST and most_values(body) > FEW_VALUES)


def most_values(body: bytes | bytearray) -> int:
    """Return how many values JSON has at most, about: its commas and what opens, those in its texts included."""
    return sum(map(body.count, _SIGNS))


def is_wide(body: bytes | bytearray) -> bool:
    """Return whether a text of the body may take more than one byte of memory for each byte of the body."""
    return not body.isascii() or _WIDE_ESCAPE.search(body) is not None


def _has_many_values(body: bytes | bytearray) -> bool:
    """Return whether JSON has more than `MOST_VALUES` signs of a value outside of its texts.

    Up to its first fault, text that is not JSON is counted like JSON, and no decoder reads further.
    """
    if most_values(body) <= MOST_VALUES:
        return False
    values = quotes = start = within = 0
    while start < len(body):
        piece = body[start : start + _PIECE]
        if piece.endswith(b"\\") and (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[start : start + _PIECE + 1]  # what a backslash escapes belongs to it
        start += len(piece)
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b"".join(parts[within::2])
        values += most_values(outside)
        quotes += len(parts) - 1
        if values > MOST_VALUES or quotes > _MOST_QUOTES:
            return True
        within = quotes % 2
    return False


def _bounded(text: Raw, longest: int, decoder: msgspec.json.Decoder[T]) -> T:
    if memoryview(text).nbytes > longest:
        raise ValueError("too long")
    return decoder.decode(text)
