"""Explain why a pod is not found to be a client of a kind: what was inspected, and why none of it counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from webhook.core.budget import Budget
from webhook.core.decision import Call
from webhook.core.surroundings import Surroundings
from webhook.core.values import Form, Mention
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.detection.infer.reading import HTTP, Reading
from webhook.detection.infer.serving import Served, served_by
from webhook.detection.resolve.configuration import Configuration, Entry
from webhook.detection.resolve.places import Place, Places, named_in
from webhook.detection.resolve.sources import Sources
from webhook.detection.words import Role
from webhook.kubernetes.pod import Pod


class Answer(StrEnum):
    """Whether the pod is a client of the kind."""

    YES = "yes"
    """Detection finds it to be one."""
    NO = "no"
    """Everything that it refers to was read, and nothing is evidence of it."""
    UNKNOWN = "unknown"
    """Nothing that was read is evidence of it, but something could not be read."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One setting that might have counted.

    Attributes:
        where: Its location, without any value.
        why: Why it did not count; for a pod that is a client, the confidence.
    """

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class WhyNot:
    """The complete result.

    Attributes:
        answer: Yes, no or unknown.
        looked_at: The number of settings read from each source.
        reasons: What might have counted; of a pod that is a client, what counted.
        unknown: What could not be read, as sentences.
    """

    answer: Answer
    looked_at: Mapping[str, int]
    reasons: tuple[Reason, ...]
    unknown: tuple[str, ...]


def why_not(pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, kind: str) -> WhyNot:
    """Explain why detection does not find a pod to be a client of a kind.

    Args:
        pod: The pod.
        namespace: Where it runs.
        surroundings: Its Services, ConfigMaps and Secrets.
        catalog: The backends to look for.
        kind: One of the catalog's kinds.

    Example:
        why_not(pod, "shop", manifests, Catalog.default(), "redis").answer
    """
    findings = detect(pod, namespace, surroundings, catalog)
    found = [
        Reason(dependency.evidence, dependency.confidence.value)
        for dependency in findings.dependencies
        if dependency.kind == kind
    ]
    if findings.cut:
        return WhyNot(Answer.UNKNOWN, {}, (), findings.unknown)
    # This repeats no more work than detection has just done within the same budget.
    budget = Budget()
    sources, places = Sources(pod, namespace, surroundings, catalog, budget), Places(pod, namespace, surroundings)
    served = served_by(pod, namespace, surroundings, catalog, budget)
    looked_at: Counter[str] = Counter({"Services": len(surroundings.services(namespace))})
    reasons: list[Reason] = []
    for configuration in sources.configurations():
        doubts = _Doubts(configuration, Reading(configuration, places, catalog, budget), catalog, served, kind)
        looked_at.update(entry.source.value for entry in configuration.all_entries())
        reasons += doubts.all()
    if found:
        return WhyNot(Answer.YES, dict(looked_at), tuple(found), findings.unknown)
    answer = Answer.UNKNOWN if findings.unknown else Answer.NO
    return WhyNot(answer, dict(looked_at), tuple(dict.fromkeys(reasons)), findings.unknown)


_OFF = "it is empty or disabled"


class _Doubts:
    """The settings of one container that relate to a kind, and why they do not count."""

    def __init__(
        self, configuration: Configuration, reading: Reading, catalog: Catalog, served: Served, kind: str
    ) -> None:
        self._configuration = configuration
        self._catalog = catalog
        self._served = served
        self._kind = kind
        self._reading = reading

    def all(self) -> Iterator[Reason]:
        for entry in self._configuration.all_entries():
            in_key = entry.key.hint == self._kind
            concerned = [mention for mention in entry.value.mentions if in_key or self._concerns(entry, mention)]
            for mention in concerned:
                yield Reason(entry.evidence, self._of_entry(entry) or self._of_mention(entry, mention))
            if in_key and not concerned and entry.value.readable:
                yield Reason(entry.evidence, self._of_entry(entry) or self._without_place(entry))

    def _concerns(self, entry: Entry, mention: Mention) -> bool:
        """Return whether the value itself relates to the kind: by its scheme, its host, its port or its Service."""
        if self._catalog.of_scheme(mention.scheme) == self._kind:
            return True
        if named_in(mention.host.lower(), self._catalog) == self._kind:
            return True
        place = self._reading.place_of(entry, mention)
        if place is None:
            return False
        images = place.service.images if place.service is not None else ()
        return self._catalog.of_port(place.port) == self._kind or any(
            self._catalog.of_image(image) == self._kind for image in images
        )

    def _of_entry(self, entry: Entry) -> str | None:
        """Return a reason that holds for the setting whatever its value, or None."""
        if entry.key.is_aside:
            return "the key names a listen, advertise or no-proxy address, not a connection target"
        if entry.key.role is Role.SWITCH and entry.value.switch is False:
            return _OFF
        if self._configuration.is_off(entry.key):
            return "a related setting disables it or selects another backend"
        if entry.key.role is Role.CREDENTIAL and not entry.value.mentions:
            return "a credential alone is not evidence of use"
        return None

    def _without_place(self, entry: Entry) -> str:
        if entry.value.switch is False:
            return _OFF
        if entry.key.role is Role.PORT:
            return "a port without a host: no related setting names a host"
        return f"the key names {self._kind}, but the value is not a host"

    def _of_mention(self, entry: Entry, mention: Mention) -> str:
        place = self._reading.place_of(entry, mention)
        if place is None:
            return self._nowhere(mention)
        concluded = self._reading.by_mention(entry, mention)
        if concluded is None or isinstance(concluded, Call):
            return self._not_concluded(entry, mention, place)
        if concluded.kind != self._kind and concluded.host is None:
            return f"the key names {concluded.kind}"
        if concluded.kind != self._kind:
            return f"it resolves to {place}, which is {concluded.kind}"
        if self._catalog.is_server_only(self._kind):
            return f"clients of {self._kind} are not reported, since they speak plain HTTP"
        runs = self._served.by_container.get(self._configuration.container.name)
        if self._kind not in self._served.kinds and not self._catalog.may_dial(runs, self._kind):
            return f"the container runs {runs}, which is not a client of {self._kind}"
        return f"the pod itself serves {self._kind}, and its replicas connect to each other"

    def _nowhere(self, mention: Mention) -> str:
        if "${" in mention.host:
            return "the host is a variable that is unset or does not resolve"
        return "it resolves to the pod itself, or is not a host"

    def _not_concluded(self, entry: Entry, mention: Mention, place: Place) -> str:
        if mention.scheme in HTTP and not self._catalog.speaks_http(self._kind):
            return f"it is an http URL, and {self._kind} does not speak HTTP"
        if mention.scheme in HTTP:
            return f"it is an http URL, and only a word suggests that {place} is {self._kind}"
        if place.port is not None and self._catalog.is_console(place.port):
            return f"port {place.port} belongs to a console or an exporter"
        if entry.key.role is not Role.LOCATION:
            # The host may be anything, a password too; only a Service's name is known to be none.
            named = f"it names {place}, but " if place.service is not None else ""
            return f"{named}the key does not name a host"
        if mention.form is Form.BARE and place.service is None and not entry.names_host(mention.host):
            return "it is one of several words, which may be a user and a password"
        return f"neither the port nor a Service of {place} identifies it as {self._kind}"
