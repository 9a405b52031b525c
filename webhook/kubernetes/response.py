"""Encode the AdmissionReview response."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from webhook.kubernetes.admission import API_VERSION, KIND

MAX_WARNING: Final = 256
"""Characters in one warning; the API server may truncate longer ones."""
MAX_WARNINGS: Final = 4096
"""Characters in all warnings of a response; the API server drops what exceeds it."""
_ENCODER = msgspec.json.Encoder()


class Denial(Struct, frozen=True):
    """The `status` of a response that rejects the object: a metav1.Status."""

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
    """Encode the AdmissionReview that responds to a request.

    Args:
        uid: The request's uid.
        patch: JSON Patch operations; without any, the response has neither patch nor patchType.
        warnings: Warnings for the client that creates the object; sanitised and truncated for an HTTP header.
        audit_annotations: For the API server's audit log, which prefixes each key with the webhook's name.
        denial: The reason to reject the object; None allows it.

    Returns:
        The body of the HTTP response.

    Example:
        answer("705ab4f5", patch=[{"op": "add", "path": "/metadata/labels", "value": {"app": "web"}}])
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
    """Sanitise warnings for the API server: one line each, no control characters, within both limits.

    Args:
        warnings: Any texts.

    Returns:
        As many of them as fit, each at most `MAX_WARNING` characters and all at most `MAX_WARNINGS`.
    """
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
