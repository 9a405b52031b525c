"""Istio's sidecars as a data plane: implements `webhook.mesh.data_plane.DataPlane`."""

from webhook.mesh.created import as_created, decided_action, has_leftover, is_decided, is_labelled, is_refuted
from webhook.mesh.eligibility import INJECT as CHOICE
from webhook.mesh.eligibility import (
    MEMBERSHIP,
    cannot_hold,
    explicit_choice,
    has_sidecar,
    ineligibility,
    invalid_choice,
    is_selectable,
    unselected,
)
from webhook.mesh.eligibility import is_istio_container as is_injected
from webhook.mesh.eligibility import is_istio_name as is_injected_name
from webhook.mesh.patch import patch, required_annotations
from webhook.mesh.sidecar import gets_sidecar, in_mesh
from webhook.mesh.webhook_order import CALL_ORDER

__all__ = [
    "CALL_ORDER",
    "CHOICE",
    "MEMBERSHIP",
    "as_created",
    "cannot_hold",
    "decided_action",
    "explicit_choice",
    "gets_sidecar",
    "has_leftover",
    "has_sidecar",
    "in_mesh",
    "ineligibility",
    "invalid_choice",
    "is_decided",
    "is_injected",
    "is_injected_name",
    "is_labelled",
    "is_refuted",
    "is_selectable",
    "patch",
    "required_annotations",
    "unselected",
]
