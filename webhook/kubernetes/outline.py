"""Parse only an outline of reviews with very many values, or with very much non-ASCII text.

Decoding such a review holds the GIL, also in a thread: a third of a second for 8 MB of empty containers. Skipping
values that map to no field is many times faster. A str with a single character beyond Latin-1 takes two or four bytes
of memory per character.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from webhook.kubernetes.admission import AdmissionRequest, Review
from webhook.kubernetes.admission import parse as parse_whole
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec

T = TypeVar("T")

MOST_VALUES: Final = 100_000
"""Approximate limit on the values of a review that is decoded whole, which takes some 30 ms. The largest known pods
have a few hundred."""
FEW_VALUES: Final = 2_000
"""Values of a review that is handled on the event loop; deciding about so many takes some milliseconds."""
MOST_WIDE: Final = 2 * 1024 * 1024
"""Bytes of a review whose texts may be wide. The API server stores objects of up to 1.5 MiB."""
_MANY: Final = f"the pod has more than {MOST_VALUES} values, so its dependencies are unknown"
_WIDE: Final = f"the pod's review has more than {MOST_WIDE} bytes and is not all ASCII, so its dependencies are unknown"
LARGE: Final = 64 * 1024
"""Bytes of a review. The largest known pods of real software are shorter."""
# Bytes that cannot contain more than FEW_VALUES values.
_SHORTEST = 4 * FEW_VALUES
# Every value but the first follows a comma, an opening brace or an opening bracket.
_SIGNS: Final = (b",", b"{", b"[")
_PIECE = 64 * 1024
# A pod with MOST_VALUES values may have as many keys, and each string has two quotes.
_MOST_QUOTES = 4 * MOST_VALUES
# Upper bound on the memory of strings, per byte of a body: four for each character, and one for the UTF-8.
_WIDE_BYTES = 5
# Upper bound on the memory of a value in bytes, without that of the two decisions that run in threads.
_VALUE_BYTES = 160
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
    """Parse an AdmissionReview; of an oversized pod, only metadata, hostNetwork and serviceAccountName.

    Args:
        body: The body of the HTTP request.

    Returns:
        The review; `unread` is set if only an outline was decoded.

    Raises:
        UnreadableReviewError: As for `webhook.kubernetes.admission.parse`.
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
    """Return why the body is too large to be decoded whole, as a sentence; empty if it is not."""
    if len(body) <= LARGE:
        return ""
    if _has_many_values(body):
        return _MANY
    return _WIDE if len(body) > MOST_WIDE and is_wide(body) else ""


def is_large(body: bytes | bytearray) -> bool:
    """Return whether a body has more than `LARGE` bytes or may have more than `FEW_VALUES` values."""
    return len(body) > LARGE or (len(body) > _SHORTEST and most_values(body) > FEW_VALUES)


def most_values(body: bytes | bytearray) -> int:
    """Return an upper bound on the values in JSON: its commas and opening brackets, including those in strings."""
    return sum(map(body.count, _SIGNS))


def is_wide(body: bytes | bytearray) -> bool:
    """Return whether a string in the body may take more than one byte of memory per byte of the body."""
    return not body.isascii() or _WIDE_ESCAPE.search(body) is not None


def decoded_size(body: bytes | bytearray) -> int:
    """Return an upper bound on the memory of a body's decoded content in bytes."""
    texts = min(len(body), MOST_WIDE) * _WIDE_BYTES if is_wide(body) else len(body)
    return texts + min(most_values(body), MOST_VALUES) * _VALUE_BYTES


def _has_many_values(body: bytes | bytearray) -> bool:
    """Return whether JSON has more than `MOST_VALUES` commas and opening brackets outside of strings.

    Invalid JSON is counted correctly up to the first syntax error, and no decoder reads further.
    """
    if most_values(body) <= MOST_VALUES:
        return False
    values = quotes = start = within = 0
    while start < len(body):
        piece = body[start : start + _PIECE]
        if piece.endswith(b"\\") and (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[start : start + _PIECE + 1]  # keep a backslash and the character that it escapes together
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
