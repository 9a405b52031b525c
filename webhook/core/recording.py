"""A view of the cluster that remembers every lookup, so that a cached result can be revalidated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.core.surroundings import Backings, Reference, Service, Services, Surroundings, ask
from webhook.core.values import Content

_NOT_MISSED = frozenset({"Mention", "Behind"})


class Missed(list[Reference]):
    """Objects that do not exist.

    Attributes:
        asker: The namespace of the pod that needs them.
    """

    asker: str = ""


class RecordingView:
    """Surroundings that record and memoise every lookup, so that a cached result can be revalidated.

    Attributes:
        answers: Every lookup with its result, in the order of the lookups.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.answers: dict[Reference, Any] = {}
        self._surroundings = surroundings

    @property
    def missed(self) -> Missed:
        """The objects that were looked up and not found, and may have been created recently.

        A Service counts only where its namespace is known, since the second label of any host name could be one, and
        never for a word that is only mentioned: it would become a part of a request to the API server. The workloads
        behind a Service are not read by a name.
        """
        missed = Missed(
            question
            for question, answer in self.answers.items()
            if answer is None
            and question.kind not in _NOT_MISSED
            and (question.kind != "Service" or self._is_known(question.namespace))
        )
        # The first lookup of all is for the labels of the pod's own namespace.
        missed.asker = next((question.name for question in self.answers if question.kind == "Namespace"), "")
        return missed

    def answer(self, question: Reference) -> Any:  # noqa: ANN401 - as `ask`
        """As `ask`."""
        try:
            return self.answers[question]
        except KeyError:
            answer = self.answers[question] = ask(self._surroundings, question)
            return answer

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """As `Surroundings`."""
        labels: Mapping[str, str] | None = self.answer(Reference("Namespace", "", namespace))
        return labels

    def service(self, namespace: str, name: str) -> Service | None:
        """As `Surroundings`."""
        service: Service | None = self.answer(Reference("Service", namespace, name))
        return service

    def mentioned(self, namespace: str, name: str) -> Service | None:
        """As `Surroundings`."""
        service: Service | None = self.answer(Reference("Mention", namespace, name))
        return service

    def services(self, namespace: str) -> Services:
        """As `Surroundings`."""
        services: Services = self.answer(Reference("Services", namespace, ""))
        return services

    def config_map(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """As `Surroundings`."""
        contents: Mapping[str, Content] | None = self.answer(Reference("ConfigMap", namespace, name))
        return contents

    def secret(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """As `Surroundings`."""
        contents: Mapping[str, Content] | None = self.answer(Reference("Secret", namespace, name))
        return contents

    def behind(self, namespace: str, name: str) -> Backings | None:
        """As `Surroundings`."""
        backings: Backings | None = self.answer(Reference("Behind", namespace, name))
        return backings

    def http_services(self, port: int) -> Services:
        """As `Surroundings`."""
        services: Services = self.answer(Reference("HTTP", "", str(port)))
        return services

    def _is_known(self, namespace: str) -> bool:
        return self._surroundings.namespace_labels(namespace) is not None
