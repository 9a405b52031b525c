"""Parse AdmissionReview v1.

Only the fields that decisions read are decoded, in one pass over the body; `Review.document` decodes the object again
as a plain dict. No error message repeats a value of the request.

Source: Kubernetes "Dynamic Admission Control" and admission.k8s.io/v1.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from webhook.kubernetes import names
from webhook.kubernetes.pod import Pod

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
_NO_JSON: Final = "the body is incomplete, not valid UTF-8 JSON, or nested too deeply"
_NO_JSON_OBJECT: Final = "the object is not valid UTF-8 JSON, or nested too deeply"


class UnreadableReviewError(ValueError):
    """The body is not an AdmissionReview that can be answered. The text is for the operator and contains no value."""


class UnreadableObjectError(Exception):
    """The object of a review is not a JSON object with 64-bit numbers. The text contains no value.

    It is not a ValueError, because policy evaluation attributes those to the expression.
    """


class GroupVersionKind(Struct, frozen=True):
    """The group, version and kind of a request's object."""

    group: str = ""
    version: str = ""
    kind: str = ""


class AdmissionRequest(Struct, frozen=True, rename="camel"):
    """The part of an admission request that decisions read.

    Attributes:
        uid: The request's id, which the response repeats.
        kind: The object's group, version and kind.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        namespace: The object's namespace.
        name: The object's name; often empty at CREATE, when the API server generates it later.
        sub_resource: For example "ephemeralcontainers"; empty for the object itself.
        dry_run: Whether nothing will be stored.
    """

    uid: str = ""
    kind: GroupVersionKind = GroupVersionKind()
    operation: str = ""
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    dry_run: bool | None = None


class Review(Struct, frozen=True):
    """An AdmissionReview that can be answered.

    Attributes:
        request: The request without its object.
        pod: The object; None if there is none, or if it cannot be decoded as a Pod.
        problem: Why it cannot be decoded: the field and the type error, never the value; else empty.
        body: The bytes that the review was decoded from.
        unread: Why only an outline of the pod was decoded, see `webhook.kubernetes.outline`; empty if all of it was.
    """

    request: AdmissionRequest
    pod: Pod | None
    problem: str
    body: bytes | bytearray
    unread: str = ""

    def document(self) -> dict[str, Any]:
        """Decode the object as a plain dict, again at each call; for an outline, return the decoded fields.

        Raises:
            UnreadableObjectError: A part of it that decisions do not read is invalid.
        """
        if self.unread and self.pod is not None:
            metadata = msgspec.to_builtins(self.pod.metadata)
            given = {field: value for field, value in metadata.items() if value is not None}
            return {"metadata": given, "spec": msgspec.to_builtins(self.pod.spec)}
        try:
            document = _DOCUMENT.decode(self.body).request.object
            _PACKER.encode(document)  # integers of more than 64 bits pass the decoder
        except (UnicodeDecodeError, RecursionError):
            raise UnreadableObjectError(_NO_JSON_OBJECT) from None
        except (ValueError, OverflowError):
            raise UnreadableObjectError("the object has a number of more than 64 bits") from None
        return document


class _PodRequest(AdmissionRequest, frozen=True, rename="camel"):
    object: Pod | None = None


class _PodReview(Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _PodRequest | None = None


class _Review(Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: AdmissionRequest | None = None


class _ObjectOnly(Struct, frozen=True):
    object: dict[str, Any]


class _RequestOnly(Struct, frozen=True):
    request: _ObjectOnly


class _RawObject(Struct, frozen=True):
    object: msgspec.Raw = msgspec.Raw()


class _RawReview(Struct, frozen=True):
    request: _RawObject


_POD_REVIEW = msgspec.json.Decoder(_PodReview)
_REVIEW = msgspec.json.Decoder(_Review)
_DOCUMENT = msgspec.json.Decoder(_RequestOnly)
_RAW = msgspec.json.Decoder(_RawReview)
_PACKER = msgspec.msgpack.Encoder()


def parse(body: bytes | bytearray, decode: Callable[[bytes | bytearray], Any] = _POD_REVIEW.decode) -> Review:
    """Parse an AdmissionReview.

    Args:
        body: The body of the HTTP request.
        decode: Decodes the body; may omit fields of the object.

    Returns:
        The review. An object that is not a Pod is not an error: many reviews are about other kinds.

    Raises:
        UnreadableReviewError: The body is not JSON, not an AdmissionReview v1, has no request, or a request without
            uid; or it is not UTF-8 outside the object.

    Example:
        review = parse(b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}}')
    """
    try:
        review = decode(body)
    except (ValueError, RecursionError) as error:
        return Review(_checked(_without_object(body)), None, _problem(error), body)
    request = _checked(review)
    # The decoder checks only the strings that it decodes. For an ASCII body, as most are, this check is free.
    if not body.isascii() and not _is_utf8(body):
        if _is_utf8(_RAW.decode(body).request.object):
            raise UnreadableReviewError(_NO_JSON)
        return Review(request, None, _NO_JSON_OBJECT, body)
    return Review(request, None if review.request is None else review.request.object, "", body)


def _is_utf8(body: bytes | bytearray | msgspec.Raw) -> bool:
    """Return whether bytes are UTF-8; in chunks, since a str may take four times the memory of its bytes."""
    decoder = getincrementaldecoder("utf-8")()
    view = memoryview(body)
    try:
        for start in range(0, len(view), 65536):
            decoder.decode(view[start : start + 65536])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _without_object(body: bytes | bytearray) -> _Review:
    try:
        return _REVIEW.decode(body)
    except msgspec.ValidationError as error:
        raise UnreadableReviewError(f"not an AdmissionReview: {_type_error(str(error))}") from None
    except (ValueError, RecursionError):
        raise UnreadableReviewError(_NO_JSON) from None


def _checked(review: _Review | _PodReview) -> AdmissionRequest:
    if review.kind != KIND:
        raise UnreadableReviewError(f"kind is not {KIND}")
    if review.api_version != API_VERSION:
        raise UnreadableReviewError(
            f"apiVersion is not {API_VERSION}: set admissionReviewVersions: [v1] in the webhook configuration"
        )
    if review.request is None:
        raise UnreadableReviewError("the AdmissionReview has no request")
    if not review.request.uid:
        raise UnreadableReviewError("request.uid is empty, so an answer could not be matched to it")
    request = review.request
    named = (request.uid, request.namespace, request.name, request.operation, request.sub_resource, request.kind.kind)
    # They are written to the response and the log.
    if max(map(len, named)) > names.LONGEST:
        raise UnreadableReviewError(f"a name in the request is longer than {names.LONGEST} characters")
    return request


def _problem(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return _type_error(str(error), of="$.request.object")
    return _NO_JSON_OBJECT


# msgspec's type errors contain the names of types and the path, with map keys already removed. Any other message could
# contain a value and is not passed on.
_TYPE_ERROR = re.compile(
    r"(?P<what>Expected `[^`$]+`, got `[a-z]+`|Expected `int` [<>]= -?[0-9]+|Object missing required field `\w+`"
    r"|(?:Integer value|Number) out of range)(?: - at `(?P<path>[^`]+)`)?"
)


def _type_error(message: str, of: str = "$") -> str:
    found = _TYPE_ERROR.fullmatch(message)
    if found is None:
        return "a field has the wrong type"
    path = (found["path"] or "").removeprefix(of).removeprefix(".") or "the object"
    what = found["what"].replace("`", "")
    return f"{path}: {what[0].lower()}{what[1:]}"
