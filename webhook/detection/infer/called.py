"""The Services that a pod's configuration names, whatever they speak: its HTTP neighbours as well as its backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from webhook.core.budget import Budget, BudgetExceededError
from webhook.core.surroundings import Service, Surroundings
from webhook.core.values import Form
from webhook.detection.catalog import Catalog
from webhook.detection.infer.reading import Reading
from webhook.detection.resolve.configuration import Configuration
from webhook.detection.resolve.places import Places
from webhook.detection.resolve.sources import Sources
from webhook.detection.words import Role
from webhook.kubernetes.pod import Pod


def called(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog) -> dict[tuple[str, str], str]:
    """Find the Services that a pod is configured to call.

    Args:
        pod: The pod.
        namespace: Where it runs.
        surroundings: Its Services and ConfigMaps.
        catalog: The backends that the settings may name.

    Returns:
        For each Service's namespace and name the evidence chain; of a pod that exceeds the budget of a
        decision, those that were found until then.
    """
    budget = Budget()
    places = Places(pod, namespace, surroundings)
    found: dict[tuple[str, str], str] = {}
    with suppress(BudgetExceededError):
        for configuration in Sources(pod, namespace, surroundings, catalog, budget).configurations():
            for service, evidence in _named_in(configuration, Reading(configuration, places, catalog, budget)):
                found.setdefault((service.namespace, service.name), f"{evidence} → Service {service.name}")
    return found


def _named_in(configuration: Configuration, reading: Reading) -> Iterator[tuple[Service, str]]:
    for entry in configuration.live():
        if entry.key.is_aside or not entry.value.readable:
            continue
        for mention in entry.value.mentions:
            # A single word is a place only under a key that announces one.
            if mention.form is Form.BARE and entry.key.role is not Role.LOCATION:
                continue
            place = reading.place_of(entry, mention)
            if place is not None and place.service is not None:
                yield place.service, entry.evidence
