"""The surroundings of pods, in memory: what has been read of Namespaces, Services, ConfigMaps, Secrets and workloads.

Manifest files and a live cluster fill the same store. Reading it does no I/O and changes nothing but what it has worked
out from its own content.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from webhook.core.surroundings import Service, Services
from webhook.core.values import Content

Contents = Mapping[str, Content]
_NO_SERVICES = Services()


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """What a workload makes pods from, as far as the Services in front of them are concerned.

    Attributes:
        labels: The labels of the pods.
        images: The images of their containers.
        owner_uid: The workload's own uid; empty where there is none.
    """

    labels: Mapping[str, str]
    images: tuple[str, ...]
    owner_uid: str = ""


@dataclass(slots=True)
class _Derived:
    """What follows from a namespace's Services and workloads, worked out when somebody asks.

    It is thrown away whole when one of them changes. So who works something out from what has just changed, on another
    thread, writes it where nobody looks any more.

    Attributes:
        services: Services with the images behind them.
        all: All Services, without images; the same object as long as nothing changes.
    """

    services: dict[str, Service] = field(default_factory=dict)
    all: Services | None = None


@dataclass(slots=True)
class _Namespace:
    """All that is known of one namespace.

    Attributes:
        carriers: For each label, the workloads whose pods carry it: what a selector chooses from.
    """

    labels: Mapping[str, str] | None = None
    services: dict[str, Service] = field(default_factory=dict)
    templates: dict[tuple[str, str], PodTemplate] = field(default_factory=dict)
    config_maps: dict[str, Contents] = field(default_factory=dict)
    secrets: dict[str, Contents] = field(default_factory=dict)
    carriers: dict[tuple[str, str], dict[tuple[str, str], None]] = field(default_factory=dict)
    derived: _Derived = field(default_factory=_Derived)

    def service(self, name: str) -> Service | None:
        known = self.derived
        found = known.services.get(name)
        if found is None and (service := self.services.get(name)) is not None:
            found = known.services[name] = self._with_images(service)
        return found

    def all_services(self) -> Services:
        known = self.derived
        if known.all is None:
            known.all = Services(self.services.values())
        return known.all

    def _with_images(self, service: Service) -> Service:
        images = tuple(dict.fromkeys(self._images(service)))
        return dataclasses.replace(service, images=images) if images else service

    def _images(self, service: Service) -> Iterator[str]:
        selected = [self.carriers.get(label, {}) for label in (service.selector or {}).items()]
        fewest = min(selected, key=len, default={})
        for key in tuple(fewest):
            template = self.templates.get(key)
            if template is not None and service.selects(template.labels):
                yield from template.images

    def carry(self, key: tuple[str, str], template: PodTemplate) -> None:
        self.templates[key] = template
        for label in template.labels.items():
            self.carriers.setdefault(label, {})[key] = None

    def uncarry(self, key: tuple[str, str]) -> None:
        template = self.templates.pop(key, None)
        for label in template.labels.items() if template is not None else ():
            del self.carriers[label][key]
            if not self.carriers[label]:
                del self.carriers[label]


class Store:
    """Implements `webhook.core.surroundings.Surroundings`."""

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}

    def put_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Take a namespace's labels."""
        self._of(name).labels = labels

    def drop_namespace(self, name: str) -> None:
        """Forget a namespace; what is still in it is told apart."""
        self._of(name).labels = None

    def put_service(self, service: Service) -> None:
        """Take a Service; its images are those of the workloads here."""
        place = self._of(service.namespace)
        if place.services.get(service.name) != service:
            place.services[service.name] = service
            place.derived = _Derived()

    def drop_service(self, namespace: str, name: str) -> None:
        """Forget a Service."""
        place = self._of(namespace)
        if place.services.pop(name, None) is not None:
            place.derived = _Derived()

    def put_template(self, kind: str, namespace: str, name: str, template: PodTemplate) -> None:
        """Take a workload's pod template. One that changed in nothing but its status costs nothing."""
        place = self._of(namespace)
        if place.templates.get((kind, name)) != template:
            place.uncarry((kind, name))
            place.carry((kind, name), template)
            place.derived = _Derived()

    def drop_template(self, kind: str, namespace: str, name: str) -> None:
        """Forget a workload."""
        place = self._of(namespace)
        place.uncarry((kind, name))
        place.derived = _Derived()

    def put_config_map(self, namespace: str, name: str, contents: Contents) -> None:
        """Take what the keys of a ConfigMap say."""
        self._of(namespace).config_maps[name] = contents

    def drop_config_map(self, namespace: str, name: str) -> None:
        """Forget a ConfigMap."""
        self._of(namespace).config_maps.pop(name, None)

    def put_secret(self, namespace: str, name: str, contents: Contents) -> None:
        """Take what the keys of a Secret say."""
        self._of(namespace).secrets[name] = contents

    def drop_secret(self, namespace: str, name: str) -> None:
        """Forget a Secret."""
        self._of(namespace).secrets.pop(name, None)

    def template(self, kind: str, namespace: str, name: str) -> PodTemplate | None:
        """The pod template of the workload of that name, or None."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.templates.get((kind, name))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces that something is known of, sorted."""
        return tuple(sorted(self._namespaces))

    def knows(self, namespace: str) -> bool:
        """Whether the Namespace itself has been read."""
        place = self._namespaces.get(namespace)
        return place is not None and place.labels is not None

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """The namespace's labels, or None when there is no such namespace."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.labels

    def service(self, namespace: str, name: str) -> Service | None:
        """The Service of that name, or None."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.service(name)

    def mentioned(self, namespace: str, name: str) -> Service | None:
        """As `service`."""
        return self.service(namespace, name)

    def services(self, namespace: str) -> Services:
        """All Services of a namespace, without the images behind them."""
        place = self._namespaces.get(namespace)
        return _NO_SERVICES if place is None else place.all_services()

    def config_map(self, namespace: str, name: str) -> Contents | None:
        """What the keys of a ConfigMap say, or None when there is no such ConfigMap."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.config_maps.get(name)

    def secret(self, namespace: str, name: str) -> Contents | None:
        """What the keys of a Secret say; None when there is none, or Secrets may not be read."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.secrets.get(name)

    def _of(self, namespace: str) -> _Namespace:
        place = self._namespaces.get(namespace)
        if place is None:
            place = self._namespaces[namespace] = _Namespace()
        return place
