"""Mutating webhooks, and whether the API server calls this project's before Istio's injector.

It calls MutatingWebhookConfigurations in the order of their names. Called after Istio's injector, this webhook puts its
label on a pod that has its sidecar already. Source: kubernetes/kubernetes, mutatingwebhook configuration manager, which
sorts by name; Istio's are named istio-sidecar-injector[-REVISION] and istio-revision-tag-TAG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from webhook.kubernetes.labels import LabelSelector

KIND: Final = "MutatingWebhookConfiguration"
CALL_ORDER: Final = f"the name of sidecar-policy's {KIND} must sort before istio-"
"""What makes the API server call this project's webhook first, as a sentence."""
SORTS_FIRST: Final = "0-"
"""A prefix of names that do."""

_OURS = ".sidecar-policy.dev"
_ISTIOS = ".sidecar-injector.istio.io"


class Webhook(Struct, frozen=True, rename="camel"):
    """One webhook of a MutatingWebhookConfiguration."""

    name: str = ""
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None

    @property
    def is_istios(self) -> bool:
        """Whether it is an injector of Istio's."""
        return self.name.endswith(_ISTIOS)

    def selects(self, namespace: Mapping[str, str], pod: Mapping[str, str]) -> bool:
        """Return whether the webhook is called for a pod, by the labels of its namespace and its own."""
        return all(
            selector is None or selector.holds(labels)
            for selector, labels in ((self.namespace_selector, namespace), (self.object_selector, pod))
        )


class _Named(Struct, frozen=True):
    name: str = ""


class Configuration(Struct, frozen=True):
    """A MutatingWebhookConfiguration."""

    metadata: _Named
    webhooks: list[Webhook] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its webhooks."""
        return tuple(webhook.name for webhook in self.webhooks or ())


def called_too_late(configurations: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Find the configurations of this project that are called after one of Istio's.

    Args:
        configurations: The names of the webhooks of each configuration, by the configuration's name.

    Returns:
        Pairs of this project's configuration and the first of Istio's.
    """
    ours = sorted(name for name, webhooks in configurations.items() if _any_ends_with(webhooks, _OURS))
    istios = sorted(name for name, webhooks in configurations.items() if _any_ends_with(webhooks, _ISTIOS))
    return tuple((name, istios[0]) for name in ours if istios and name > istios[0])


def order_problems(configurations: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what is wrong with the order of MutatingWebhookConfigurations, as sentences; see `called_too_late`."""
    return tuple(
        f"{KIND} {name} is called after {istios}, too late for its decisions: "
        f"give it a name that sorts first, for example {SORTS_FIRST}sidecar-policy"
        for name, istios in called_too_late(configurations)
    )


def _any_ends_with(webhooks: Sequence[str], suffix: str) -> bool:
    return any(name.endswith(suffix) for name in webhooks)
