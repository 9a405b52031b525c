"""In-memory store of the cluster context: Namespaces, Services, ConfigMaps, Secrets and workloads, reduced.

Manifest files and a live cluster fill the same store. Reading it does no I/O and has no side effects but to compute
indexes lazily.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Final

from webhook.core.surroundings import Backing, Backings, Service, Services
from webhook.core.values import Content
from webhook.inventory.declared import Declared
from webhook.mesh.config import IstioConfiguration

Contents = Mapping[str, Content]
MOST_BACKINGS: Final = 256
"""Workloads behind one Service; those of one with more count as unknown."""
_NO_SERVICES = Services()
_NO_ISTIO = IstioConfiguration()


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """The part of a workload's pod template that Services depend on.

    Attributes:
        labels: The labels of the pods.
        images: The images of their containers.
        owner_uid: The workload's own uid; empty if there is none.
        packed: The pod, see `webhook.core.backing.pack`; empty if it is not known.
    """

    labels: Mapping[str, str]
    images: tuple[str, ...]
    owner_uid: str = ""
    packed: bytes = b""


@dataclass(slots=True)
class _Derived:
    """Lazily computed per-namespace indexes; replaced when an input changes.

    A thread that computes an entry from an outdated input therefore writes it to an object that is no longer read.

    Attributes:
        services: Services with the images of the pods behind them.
        behind: The workloads behind Services.
        all: All Services, without images; the same object until an input changes.
    """

    services: dict[str, Service] = field(default_factory=dict)
    behind: dict[str, Backings | None] = field(default_factory=dict)
    all: Services | None = None


@dataclass(slots=True)
class _Namespace:
    """The content of one namespace.

    Attributes:
        labels: The Namespace's labels; None if the Namespace itself has not been read.
        services: The Services by name, without images.
        templates: The pod templates by the workload's kind and name.
        config_maps: The parsed ConfigMaps by name.
        secrets: The parsed Secrets by name.
        carriers: An index from each label to the workloads whose pods have it, for evaluating selectors.
        derived: Computed from Services and templates.
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

    def behind(self, name: str) -> Backings | None:
        known = self.derived
        try:
            return known.behind[name]
        except KeyError:
            service = self.services.get(name)
            found = known.behind[name] = None if service is None else self._backings(service)
            return found

    def _with_images(self, service: Service) -> Service:
        images = tuple(dict.fromkeys(image for _, template in self._selected(service) for image in template.images))
        return dataclasses.replace(service, images=images) if images else service

    def _backings(self, service: Service) -> Backings | None:
        selected = sorted(islice(self._selected(service), MOST_BACKINGS + 1), key=itemgetter(0))
        if not selected or len(selected) > MOST_BACKINGS or not all(template.packed for _, template in selected):
            return None
        return Backings(Backing(kind, service.namespace, name, template.packed) for (kind, name), template in selected)

    def _selected(self, service: Service) -> Iterator[tuple[tuple[str, str], PodTemplate]]:
        """Yield the workloads whose pods a Service selects."""
        carrying = [self.carriers.get(label, {}) for label in (service.selector or {}).items()]
        fewest = min(carrying, key=len, default={})
        for key in tuple(fewest):
            template = self.templates.get(key)
            if template is not None and service.selects(template.labels):
                yield key, template

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
    """Implements `webhook.core.surroundings.Surroundings`.

    Attributes:
        changes: A number that grows after each change of a Namespace, a Service or a workload.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._namespaces: dict[str, _Namespace] = {}
        self._declared = Declared()

    @property
    def istio(self) -> IstioConfiguration:
        """Istio's own configuration; the same object until it changes."""
        return _NO_ISTIO

    def put_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Store a namespace's labels."""
        place = self._of(name)
        if place.labels != labels:
            place.labels = labels
            self.changes += 1

    def drop_namespace(self, name: str) -> None:
        """Drop a namespace's labels; the objects in it are dropped separately."""
        self._of(name).labels = None
        self.changes += 1

    def put_service(self, service: Service) -> None:
        """Store a Service; its images are looked up among the stored workloads."""
        place = self._of(service.namespace)
        before = place.services.get(service.name)
        if before != service:
            place.services[service.name] = service
            self._declared.change(before, service)
            place.derived = _Derived()
            self.changes += 1

    def drop_service(self, namespace: str, name: str) -> None:
        """Drop a Service."""
        place = self._of(namespace)
        before = place.services.pop(name, None)
        if before is not None:
            self._declared.change(before, None)
            place.derived = _Derived()
            self.changes += 1

    def put_template(self, kind: str, namespace: str, name: str, template: PodTemplate) -> None:
        """Store a workload's pod template. An equal one, as after a status update, does not invalidate any index.

        Args:
            kind: The workload's kind.
            namespace: The workload's namespace.
            name: The workload's name.
            template: The template.
        """
        place = self._of(namespace)
        if place.templates.get((kind, name)) != template:
            place.uncarry((kind, name))
            place.carry((kind, name), template)
            place.derived = _Derived()
            self.changes += 1

    def drop_template(self, kind: str, namespace: str, name: str) -> None:
        """Drop a workload."""
        place = self._of(namespace)
        place.uncarry((kind, name))
        place.derived = _Derived()
        self.changes += 1

    def put_config_map(self, namespace: str, name: str, contents: Contents) -> None:
        """Store the parsed content of a ConfigMap."""
        self._of(namespace).config_maps[name] = contents

    def drop_config_map(self, namespace: str, name: str) -> None:
        """Drop a ConfigMap."""
        self._of(namespace).config_maps.pop(name, None)

    def put_secret(self, namespace: str, name: str, contents: Contents) -> None:
        """Store the parsed content of a Secret."""
        self._of(namespace).secrets[name] = contents

    def drop_secret(self, namespace: str, name: str) -> None:
        """Drop a Secret."""
        self._of(namespace).secrets.pop(name, None)

    def template(self, kind: str, namespace: str, name: str) -> PodTemplate | None:
        """Return the pod template of a workload, or None."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.templates.get((kind, name))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces with any content, sorted."""
        return tuple(sorted(self._namespaces))

    def knows(self, namespace: str) -> bool:
        """Return whether the Namespace itself has been read."""
        place = self._namespaces.get(namespace)
        return place is not None and place.labels is not None

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Return the namespace's labels, or None if the namespace does not exist."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.labels

    def service(self, namespace: str, name: str) -> Service | None:
        """Return a Service with the images of the pods behind it, or None."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.service(name)

    def mentioned(self, namespace: str, name: str) -> Service | None:
        """Return the same as `service`."""
        return self.service(namespace, name)

    def services(self, namespace: str) -> Services:
        """Return all Services of a namespace, without images."""
        place = self._namespaces.get(namespace)
        return _NO_SERVICES if place is None else place.all_services()

    def behind(self, namespace: str, name: str) -> Backings | None:
        """Return the workloads whose pods a Service selects; None where not all of them are known, or none is."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.behind(name)

    def http_services(self, port: int) -> Services:
        """Return the Services that declare a TCP port as HTTP, without images, the oldest first."""
        return self._declared.http(port)

    def config_map(self, namespace: str, name: str) -> Contents | None:
        """Return the parsed content of a ConfigMap by key, or None if it does not exist."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.config_maps.get(name)

    def secret(self, namespace: str, name: str) -> Contents | None:
        """Return the parsed content of a Secret by key, or None if it does not exist or Secrets may not be read."""
        place = self._namespaces.get(namespace)
        return None if place is None else place.secrets.get(name)

    def _of(self, namespace: str) -> _Namespace:
        place = self._namespaces.get(namespace)
        if place is None:
            place = self._namespaces[namespace] = _Namespace()
        return place
