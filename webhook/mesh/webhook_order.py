"""Whether the API server calls this project's webhook before Istio's injector.

It calls MutatingWebhookConfigurations in the order of their names. Called after Istio's injector, this webhook puts its
label on a pod that has its sidecar already. Source: kubernetes/kubernetes, mutatingwebhook configuration manager, which
sorts by name; Istio's are named istio-sidecar-injector[-REVISION] and istio-revision-tag-TAG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

OURS: Final = ".sidecar-policy.dev"
"""How the names of this project's webhooks end, within their configuration."""
ISTIOS: Final = ".sidecar-injector.istio.io"


def called_too_late(configurations: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Find the configurations of this project that are called after one of Istio's.

    Args:
        configurations: The names of the webhooks of each configuration, by the configuration's name.

    Returns:
        Pairs of this project's configuration and the first of Istio's.
    """
    ours = sorted(name for name, webhooks in configurations.items() if _any_ends_with(webhooks, OURS))
    istios = sorted(name for name, webhooks in configurations.items() if _any_ends_with(webhooks, ISTIOS))
    return tuple((name, istios[0]) for name in ours if istios and name > istios[0])


def order_problems(configurations: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what is wrong with the order of MutatingWebhookConfigurations, as sentences; see `called_too_late`."""
    return tuple(
        f"MutatingWebhookConfiguration {name} is called after {istios}, too late for its decisions: "
        "give it a name that sorts first, for example 0-sidecar-policy"
        for name, istios in called_too_late(configurations)
    )


def _any_ends_with(webhooks: Sequence[str], suffix: str) -> bool:
    return any(name.endswith(suffix) for name in webhooks)
