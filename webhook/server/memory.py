"""What was found of a pod and decided about it, remembered for its replicas.

Detection is a function of the pod, of the catalog, and of what the surroundings answer. So what it found holds for any
pod that is the same in all that detection is shown, for as long as every question that it asked gets the answer that it
got: asked of the same answers it would put the same questions, and find the same. Nothing has to be told of changes.

A decision follows from what was found, the policy, the namespace's labels and the pod's annotations, unless an
expression of the policy looked at the whole pod: then it is made anew.

Of the pod only digests are kept, for its environment may hold passwords.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from typing import Any, Final
from weakref import ref

import msgspec
from msgspec.structs import replace

from webhook.core import engine
from webhook.core.budget import Budget
from webhook.core.decision import Decision, Findings
from webhook.core.pod import Container, Pod
from webhook.core.surroundings import Asked, Reference, Surroundings
from webhook.core.verdict import Policy
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect

_encode = msgspec.msgpack.Encoder().encode
_Key = tuple[bytes, Catalog]
_Given = tuple["ref[Policy]", "Mapping[str, str] | None", bytes]


class _Known:
    """What was found, the answers that it was found from, and what was last decided, given what else decides.

    Of answers a digest is kept: one that has changed since may be large, and nothing else needs it any more.
    """

    __slots__ = ("answers", "decided", "findings")

    def __init__(self, findings: Findings, answers: Mapping[Reference, Any]) -> None:
        self.findings = findings
        self.answers = {question: _in_short(answer) for question, answer in answers.items()}
        self.decided: tuple[_Given, Decision] | None = None

    @property
    def facts(self) -> int:
        found = self.findings
        # Sentences hold names that a pod gives, of a thousand characters at most.
        unknown = len(found.unknown) + sum(map(len, found.unknown)) // 256
        return 2 + len(self.answers) + len(found.dependencies) + len(found.own or ()) + unknown

    def holds(self, asked: Asked) -> bool:
        return all(_in_short(asked.answer(question)) == answer for question, answer in self.answers.items())


class Memory:
    """Decides and detects, unless it did for a pod that is the same. It may be used from several threads.

    Attributes:
        facts: How much is remembered: pods, answers and findings taken together.
    """

    MOST_FACTS: Final = 65_536
    """Some ten megabytes, or six thousand workloads of the usual size; what was unused for longest goes first."""

    def __init__(self, on_look: Callable[[bool], None] = lambda _: None) -> None:
        """Begin with nothing.

        Args:
            on_look: Is told of each pod whether it was remembered what it talks to.
        """
        self.facts = 0
        self._on_look = on_look
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many different pods are remembered."""
        return len(self._known)

    def detect(
        self, pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget | None = None
    ) -> Findings:
        """As `webhook.detection.detect.detect`."""
        replica = as_replica(pod)
        key = _key(replica, namespace, catalog)
        return self.find(key, replica, namespace, Asked(surroundings), budget or Budget()).findings

    def decided(self, key: _Key, given: _Given, asked: Asked) -> Decision | None:
        """What was decided about a pod of which all this is the same."""
        known = self._recall(key)
        if known is None or known.decided is None or known.decided[0] != given or not known.holds(asked):
            return None
        self._on_look(True)  # noqa: FBT003 - as `on_look` has it
        return known.decided[1]

    def find(self, key: _Key, replica: Pod, namespace: str, asked: Asked, budget: Budget) -> _Known:
        """What is found of such a pod, now or before. What is not conclusive is not remembered."""
        known = self._recall(key)
        remembered = known is not None and known.holds(asked)
        if known is not None and remembered:
            self._on_look(remembered)
            return known
        # What was asked before counts among the questions, too: it is not much, and nothing is missing.
        known = _Known(detect(replica, namespace, asked, key[1], budget), asked.answers)
        if budget.is_conclusive:
            self._on_look(remembered)
            self._remember(key, known)
        return known

    def _recall(self, key: _Key) -> _Known | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        return known

    def _remember(self, key: _Key, known: _Known) -> None:
        with self._lock:
            before = self._known.pop(key, None)
            self._known[key] = known
            self.facts += known.facts - (0 if before is None else before.facts)
            while self.facts > self.MOST_FACTS:
                _, oldest = self._known.popitem(last=False)
                self.facts -= oldest.facts


class Case:
    """A pod that is to be decided about, and by what it is known again."""

    __slots__ = ("_asked", "_given", "_key", "_memory", "_namespace", "_pod", "_policy", "_replica")

    def __init__(self, memory: Memory, pod: Pod, namespace: str, *, surroundings: Asked, policy: Policy) -> None:
        """Work out by what it is known.

        Args:
            memory: What is remembered, and will be.
            pod: The pod as it is to be created.
            namespace: Where it is to be created.
            surroundings: What is asked about the cluster around it.
            policy: The policy that decides.
        """
        self._memory = memory
        self._pod = pod
        self._namespace = namespace
        self._asked = surroundings
        self._policy = policy
        self._replica = as_replica(pod)
        self._key = _key(self._replica, namespace, policy.catalog)
        # A policy that was replaced is not kept alive by what it decided.
        self._given: _Given = ref(policy), surroundings.namespace_labels(namespace), _digest(pod.metadata.annotations)

    def recall(self) -> Decision | None:
        """The decision, if it was made before of a pod that is the same, and the surroundings answer as they did."""
        return self._memory.decided(self._key, self._given, self._asked)

    def decide(self, document: Callable[[], dict[str, Any]], budget: Budget) -> Decision:
        """The decision as `webhook.core.engine.decide` makes it; `document` and `budget` as there."""
        found_in: _Known | None = None
        looked_at = False

        def whole() -> dict[str, Any]:
            nonlocal looked_at
            looked_at = True
            return document()

        def find(*_: object) -> Findings:
            nonlocal found_in
            found_in = self._memory.find(self._key, self._replica, self._namespace, self._asked, budget)
            return found_in.findings

        decision = engine.decide(
            self._pod,
            self._namespace,
            document=whole,
            surroundings=self._asked,
            policy=self._policy,
            detect=find,
            budget=budget,
        )
        if found_in is not None and not looked_at and budget.is_conclusive:
            found_in.decided = self._given, decision
        return decision


def _key(seen: Pod, namespace: str, catalog: Catalog) -> _Key:
    return _digest((namespace, seen)), catalog


def _in_short(answer: Any) -> Any:  # noqa: ANN401 - as many types as answers
    """Return what tells an answer from others; labels are their own."""
    return getattr(answer, "digest", answer)


def _digest(what: object) -> bytes:
    return sha256(_encode(what)).digest()


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
