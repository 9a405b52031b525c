"""What was found of a pod, remembered for its replicas.

Detection is a function of the pod, of the catalog, and of what the surroundings answer. So what it found holds for any
pod that is the same in all that detection is shown, for as long as every question that it asked gets the answer that it
got: asked of the same answers it would put the same questions, and find the same. Nothing has to be told of changes.

Of the pod only a digest is kept, for its environment may hold passwords.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from webhook.core.decision import Findings
from webhook.core.pod import Container, Pod
from webhook.core.surroundings import Asked, Reference, Surroundings, ask
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found, and the answers that it was found from."""

    findings: Findings
    answers: Mapping[Reference, Any]

    @property
    def facts(self) -> int:
        return 1 + len(self.answers) + len(self.findings.dependencies) + len(self.findings.unknown)

    def holds(self, surroundings: Surroundings) -> bool:
        for question, answer in self.answers.items():
            now = ask(surroundings, question)
            # What did not change is nearly always the same object.
            if now is not answer and now != answer:
                return False
        return True


class Memory:
    """Detects, unless it did for a pod that is the same. It may be used from several threads.

    Attributes:
        facts: How much is remembered: pods, answers and findings taken together.
    """

    MOST_FACTS: Final = 65_536
    """Some ten megabytes, or six thousand workloads of the usual size; what was unused for longest goes first."""

    def __init__(self, on_look: Callable[[bool], None] = lambda _: None) -> None:
        """Begin with nothing.

        Args:
            on_look: Is told of each pod whether it was remembered.
        """
        self.facts = 0
        self._on_look = on_look
        self._known: OrderedDict[tuple[bytes, Catalog], _Found] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many different pods are remembered."""
        return len(self._known)

    def detect(self, pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog) -> Findings:
        """As `webhook.detection.detect.detect`."""
        seen = as_replica(pod)
        key = (sha256(_encode((namespace, seen))).digest(), catalog)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        remembered = known is not None and known.holds(surroundings)
        self._on_look(remembered)
        if known is not None and remembered:
            return known.findings
        asked = Asked(surroundings)
        found = _Found(detect(seen, namespace, asked, catalog), asked.answers)
        self._remember(key, found)
        return found.findings

    def _remember(self, key: tuple[bytes, Catalog], found: _Found) -> None:
        with self._lock:
            before = self._known.pop(key, None)
            self._known[key] = found
            self.facts += found.facts - (0 if before is None else before.facts)
            while self.facts > self.MOST_FACTS:
                _, oldest = self._known.popitem(last=False)
                self.facts -= oldest.facts


def as_replica(pod: Pod) -> Pod:
    """A pod without what tells it from its replicas and says nothing of what it talks to.

    That is its name, its annotations, and the volume with its token, whose name is made up for each pod.
    """
    metadata = replace(pod.metadata, name=None, generate_name=None, annotations=None)
    tokens = {volume.name for volume in pod.spec.volumes or () if volume.is_token}
    if not tokens:
        return replace(pod, metadata=metadata)

    def without_tokens(containers: list[Container] | None) -> list[Container] | None:
        return containers and [
            replace(one, volume_mounts=[mount for mount in one.volume_mounts or () if mount.name not in tokens])
            for one in containers
        ]

    spec = replace(
        pod.spec,
        volumes=[volume for volume in pod.spec.volumes or () if volume.name not in tokens],
        containers=without_tokens(pod.spec.containers),
        init_containers=without_tokens(pod.spec.init_containers),
    )
    return replace(pod, metadata=metadata, spec=spec)
