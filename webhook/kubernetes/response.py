"""The AdmissionReview that answers a request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from webhook.kubernetes.admission import API_VERSION, KIND

MAX_WARNING: Final = 256
"""Characters in one warning; the API server may cut longer ones."""
MAX_WARNINGS: Final = 4096
"""Characters in all warnings of an answer; the API server drops what is beyond."""
_ENCODER = msgspec.json.Encoder()


class Denial(Struct, frozen=True):
    """The `status` of an answer that does not allow the object: a metav1.Status."""

    message: str
    code: int = 500
    reason: str = "InternalError"
    status: str = "Failure"


class _Response(Struct, frozen=True, rename="camel"):
    uid: str
    allowed: bool
    status: Denial | UnsetType = UNSET
    patch: str | UnsetType = UNSET
    patch_type: str | UnsetType = UNSET
    audit_annotations: Mapping[str, str] | UnsetType = UNSET
    warnings: Sequence[str] | UnsetType = UNSET


class _Answer(Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: str = API_VERSION
    kind: str = KIND
    response: _Response


def answer(
    uid: str,
    *,
    patch: Sequence[Mapping[str, Any]] = (),
    warnings: Sequence[str] = (),
    audit_annotations: Mapping[str, str] | None = None,
    denial: Denial | None = None,
) -> bytes:
    """Write the AdmissionReview that answers a request.

    Args:
        uid: The request's uid.
        patch: JSON Patch operations; without any, the answer has neither patch nor patchType.
        warnings: Shown to whoever creates the object; cut and cleaned to what an HTTP header carries.
        audit_annotations: For the API server's audit log, which puts the webhook's name before each key.
        denial: Given when the object is not allowed.

    Returns:
        The body of the HTTP response.
    """
    cleaned = fit_warnings(warnings) if warnings else ()
    response = _Response(
        uid=uid,
        allowed=denial is None,
        status=UNSET if denial is None else denial,
        patch=b64encode(_ENCODER.encode(patch)).decode() if patch else UNSET,
        patch_type="JSONPatch" if patch else UNSET,
        audit_annotations=audit_annotations or UNSET,
        warnings=cleaned or UNSET,
    )
    return _ENCODER.encode(_Answer(response=response))


def fit_warnings(warnings: Sequence[str]) -> list[str]:
    """Warnings as the API server passes them on: one line each, no control characters, not too long, not too many."""
    fitted: list[str] = []
    left = MAX_WARNINGS
    for warning in warnings:
        line = " ".join("".join(c if c.isprintable() else " " for c in warning).split())
        if len(line) > MAX_WARNING:
            line = line[: MAX_WARNING - 1] + "…"
        left -= len(line)
        if left < 0:
            break
        if line:
            fitted.append(line)
    return fitted
