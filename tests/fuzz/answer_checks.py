"""Check an answer to one review: well-formed, in scope, idempotent, and without a password."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import jsonpatch
import jsonpointer
import msgspec
from hostile_text import CANARY

Object = dict[str, Any]

REFUSALS = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 429, 431})
"""HTTP statuses, besides 200, that a request of whatever form may be answered with."""
LABEL = "sidecar.istio.io/inject"
ANNOTATIONS = frozenset(
    {
        "sidecar-policy.dev/decision",
        "sidecar-policy.dev/rule",
        "sidecar-policy.dev/reason",
        "sidecar-policy.dev/authors-label",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "proxy.istio.io/config",
    }
)
"""All that a patch may touch besides the label, as docs/security.md has it."""
_WARNING, _WARNINGS = 256, 4096
_ANNOTATED = 256 * 1024
"""Bytes of all annotations of an object that the API server takes."""


class WrongError(Exception):
    """An answer is not as it has to be. `kind` is the same for all failures of one cause, as far as can be known."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


def require(condition: object, kind: str, detail: str = "") -> None:
    """Raise WrongError unless a condition holds."""
    if not condition:
        raise WrongError(kind, detail)


def response_of(answer: bytes, uid: str | None) -> Object:
    """Check that an answer with status 200 is an AdmissionReview that the API server takes.

    Args:
        answer: The body.
        uid: The request's uid; None where it is not known.

    Returns:
        Its response.

    Raises:
        WrongError: It is not.
    """
    require(CANARY.encode() not in answer, "a password in an answer", _around(answer))
    try:
        review = msgspec.json.decode(answer)
        response = review["response"]
        head = review["apiVersion"], review["kind"], type(response["uid"]), type(response["allowed"])
    except (ValueError, TypeError, KeyError) as error:
        raise WrongError("an answer that is no AdmissionReview", repr(error)) from None
    require(head == ("admission.k8s.io/v1", "AdmissionReview", str, bool), "an answer that is no AdmissionReview")
    require(response["uid"], "an answer without uid")
    require(uid is None or response["uid"] == uid, "an answer with another uid")
    require(response["allowed"] or isinstance(response["status"]["message"], str), "a denial without status")
    require(("patch" in response) == ("patchType" in response), "a patch without its type, or the reverse")
    warnings = response.get("warnings", [])
    require(sum(map(len, warnings)) <= _WARNINGS, "warnings that are too long together")
    for warning in warnings:
        require(warning and len(warning) <= _WARNING and warning.isprintable(), "a warning that no header carries")
    audit = response.get("auditAnnotations", {})
    require(all(isinstance(value, str) for value in audit.values()), "an audit annotation that is no string")
    require(sum(map(len, audit.values())) < 16_384, "audit annotations without bound")
    return response


def operations_of(response: Object) -> list[Object]:
    """Check that a patch touches nothing but what it may.

    Returns:
        Its operations; none where there is no patch.

    Raises:
        WrongError: It touches something else, or is no JSON Patch.
    """
    if "patch" not in response:
        return []
    require(response["allowed"], "a patch with a denial")
    require(response["patchType"] == "JSONPatch", "a patch of another type")
    try:
        operations = msgspec.json.decode(b64decode(response["patch"], validate=True), type=list[dict[str, Any]])
    except ValueError as error:
        raise WrongError("a patch that is no JSON Patch in base64", repr(error)) from None
    require(operations, "a patch without operations")
    for operation in operations:
        require(operation.get("op") in {"add", "replace"}, "a patch out of scope", str(operation)[:200])
        for path, value in _leaves(operation):
            require(_in_scope(path, value), "a patch out of scope", f"{path}: {value!r}"[:200])
    return operations


def _leaves(operation: Object) -> list[tuple[tuple[str, ...], Any]]:
    path = tuple(jsonpointer.JsonPointer(operation.get("path", "")).parts)
    value = operation.get("value")
    return [((*path, key), one) for key, one in value.items()] if isinstance(value, dict) else [(path, value)]


def _in_scope(path: tuple[str, ...], value: Any) -> bool:
    match path:
        case "metadata", "labels", key:
            return key == LABEL and value in {"true", "false"}
        case "metadata", "annotations", key:
            return key in ANNOTATIONS and isinstance(value, str)
        case _:
            return False


def patched(body: bytes, operations: list[Object]) -> bytes | None:
    """The review of the pod with a patch applied, as the API server would send it to the next webhook.

    Returns:
        The review; None where only the decoder of the webhook can read the body, since it skips what it does not need.

    Raises:
        WrongError: The patch does not apply.
    """
    try:
        review = msgspec.json.decode(body)
    except ValueError:
        return None
    request = review["request"]
    try:
        request["object"] = jsonpatch.apply_patch(request["object"], operations, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        raise WrongError("a patch that does not apply", repr(error)[:200]) from None
    size, added = _annotated(request["object"]), len(msgspec.json.encode(operations))
    require(size <= _ANNOTATED or size - added > _ANNOTATED, "a patch that the API server refuses", f"{size} bytes")
    return msgspec.json.encode(review)


def _annotated(pod: Object) -> int:
    return sum(len(key) + len(value.encode()) for key, value in pod["metadata"].get("annotations", {}).items())


def no_canary(text: str | bytes, where: str) -> None:
    """Raise WrongError where a password stands in an output."""
    raw = text.encode() if isinstance(text, str) else text
    require(CANARY.encode() not in raw, f"a password in {where}", _around(raw))


def _around(raw: bytes) -> str:
    at = raw.find(CANARY.encode())
    return raw[max(at - 60, 0) : at + 40].decode(errors="replace")
