"""The cache of findings and decisions, shared by the replicas of a workload.

Detection is a function of the pod, of the catalog, and of the results of its lookups. Its result is therefore valid
for any pod with equal detection inputs, for as long as every lookup that it made returns the same result: it would
repeat the same lookups and return the same findings. Nothing has to be invalidated.

A decision is a function of the findings, the policy, the namespace's labels and the pod's annotations, unless an
expression of the policy read the whole pod: then it is computed again.

Only digests of the pod are stored, because its environment may contain passwords.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import Any, Final
from weakref import ref

import msgspec
from msgspec.structs import replace

from webhook.core.budget import Budget
from webhook.core.decision import Decision, Findings
from webhook.core.recording import RecordingView
from webhook.core.surroundings import Reference, Surroundings
from webhook.decision import engine
from webhook.decision.policy import Policy
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.kubernetes.pod import Container, Pod

_encode = msgspec.msgpack.Encoder().encode
_Key = tuple[bytes, Catalog]
_Given = tuple["ref[Policy]", "Mapping[str, str] | None", bytes]


class _Known:
    """A cache entry: the findings, the lookups that they depend on, and the last decision with its other inputs.

    Lookup results are stored as digests: an outdated one may be large, and nothing else needs it.
    """

    __slots__ = ("answers", "decided", "findings", "noted")

    def __init__(self, findings: Findings, answers: Mapping[Reference, Any]) -> None:
        self.findings = findings
        self.answers = {question: getattr(answer, "digest", answer) for question, answer in answers.items()}
        self.decided: tuple[_Given, Decision] | None = None
        self.noted: tuple[_Given, Decision, Any] | None = None

    @property
    def facts(self) -> int:
        found = self.findings
        # Sentences contain names that a pod gives, of a thousand characters at most.
        unknown = len(found.unknown) + sum(map(len, found.unknown)) // 256
        return 2 + len(self.answers) + len(found.dependencies) + len(found.own or ()) + unknown

    def holds(self, asked: RecordingView) -> bool:
        for question, answer in self.answers.items():
            now = asked.answer(question)
            now = getattr(now, "digest", now)
            # What did not change is nearly always the same object.
            if now is not answer and now != answer:
                return False
        return True


class DecisionCache:
    """The cache of findings and decisions, with least-recently-used eviction. Thread-safe.

    Attributes:
        facts: The size of the cache: the sum of entries, lookup results and findings.
    """

    MOST_FACTS: Final = 65_536
    """The largest size: some ten megabytes, or six thousand workloads of the usual size."""

    def __init__(self, on_look: Callable[[bool], None] = lambda _: None) -> None:
        """Start empty.

        Args:
            on_look: Called for each pod, with whether its findings were served from the cache.
        """
        self.facts = 0
        self._on_look = on_look
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._known)

    def detect(
        self, pod: Pod, namespace: str, surroundings: Surroundings, catalog: Catalog, budget: Budget | None = None
    ) -> Findings:
        """Detect as `webhook.detection.detect.detect` does; return the cached result while it is valid."""
        replica = cache_form(pod)
        key = _key(replica, namespace, catalog)
        return self.find(key, replica, namespace, RecordingView(surroundings), budget or Budget()).findings

    def decided(self, key: _Key, given: _Given, asked: RecordingView) -> tuple[_Known, Decision] | None:
        """Return the cached decision for this key and these inputs, and its entry; None when it is absent or stale."""
        known = self._recall(key)
        decided = None if known is None else known.decided
        if known is None or decided is None or decided[0] != given or not known.holds(asked):
            return None
        self._on_look(True)  # noqa: FBT003 - as `on_look` has it
        return known, decided[1]

    def find(self, key: _Key, replica: Pod, namespace: str, asked: RecordingView, budget: Budget) -> _Known:
        """Return the findings for a key, cached or computed. Inconclusive ones are not cached."""
        known = self._recall(key)
        remembered = known is not None and known.holds(asked)
        if known is not None and remembered:
            self._on_look(remembered)
            return known
        # Earlier lookups of this review are included: they are few, and nothing is missing.
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


class Lookup:
    """One pod to decide about, with its cache key.

    Attributes:
        pod: The pod as submitted for creation.
        namespace: The namespace of the pod.
        policy: The policy that decides.
    """

    __slots__ = ("_asked", "_cache", "_given", "_key", "_known", "_replica", "namespace", "pod", "policy")

    def __init__(
        self, cache: DecisionCache, pod: Pod, namespace: str, *, surroundings: RecordingView, policy: Policy
    ) -> None:
        """Compute the cache key.

        Args:
            cache: The cache to read and fill.
            pod: The pod as submitted for creation.
            namespace: The namespace of the pod.
            surroundings: The cluster context, which records lookups.
            policy: The policy that decides.
        """
        self._cache = cache
        self.pod = pod
        self.namespace = namespace
        self._asked = surroundings
        self.policy = policy
        self._replica = cache_form(pod)
        self._key = _key(self._replica, namespace, policy.catalog)
        # A weak reference: cached decisions do not keep a replaced policy alive.
        self._given: _Given = ref(policy), surroundings.namespace_labels(namespace), _digest(pod.metadata.annotations)
        self._known: _Known | None = None

    def recall(self) -> Decision | None:
        """Return the cached decision, or None when it is absent, or a lookup result has changed."""
        found = self._cache.decided(self._key, self._given, self._asked)
        if found is None:
            return None
        self._known, decision = found
        return decision

    def noted(self, decision: Decision) -> Any:  # noqa: ANN401 - whatever was noted
        """Return what was noted of an equal decision about an equal pod, or None; it may have become invalid."""
        noted = None if self._known is None else self._known.noted
        if noted is None:
            return None
        same = noted[1] is decision or (noted[0] == self._given and noted[1] == decision)
        return noted[2] if same else None

    def note(self, decision: Decision, what: object) -> None:
        """Keep something that follows from a decision with the entry of the pod, as long as that is cached."""
        if self._known is not None:
            self._known.noted = self._given, decision, what

    def decide(self, document: Callable[[], dict[str, Any]], budget: Budget) -> Decision:
        """Decide as `webhook.decision.engine.decide`, with cached findings; `document` and `budget` as there."""
        read = _Read(document)
        decision = engine.decide(
            self.pod,
            self.namespace,
            document=read,
            surroundings=self._asked,
            policy=self.policy,
            detect=partial(self._find, read),
            budget=budget,
        )
        self._known = read.known
        if read.known is not None and not read.whole and budget.is_conclusive:
            read.known.decided = self._given, decision
        return decision

    def _find(self, read: _Read, *inputs: Any) -> Findings:  # noqa: ANN401 - those of `detect`; the last is the budget
        read.known = self._cache.find(self._key, self._replica, self.namespace, self._asked, inputs[-1])
        return read.known.findings


class _Read:
    """What a decision depends on: the whole pod, where it was read, and the entry with the pod's findings."""

    __slots__ = ("_document", "known", "whole")

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document
        self.known: _Known | None = None
        self.whole = False

    def __call__(self) -> dict[str, Any]:
        self.whole = True
        return self._document()


def _key(seen: Pod, namespace: str, catalog: Catalog) -> _Key:
    return _digest((namespace, seen)), catalog


def _digest(what: object) -> bytes:
    return sha256(_encode(what)).digest()


def cache_form(pod: Pod) -> Pod:
    """Return the form of a pod that is cached: without per-replica fields, which detection does not need.

    These are its name, its annotations, and the volume with its token, whose name is generated for each pod.
    """
    metadata = replace(pod.metadata, name=None, generate_name=None, annotations=None)
    tokens = {volume.name for volume in pod.spec.volumes or () if volume.is_token}
    if not tokens:
        return replace(pod, metadata=metadata)

    def without_tokens(containers: list[Container] | None) -> list[Container] | None:
        return containers and [
            replace(
                container, volume_mounts=[mount for mount in container.volume_mounts or () if mount.name not in tokens]
            )
            for container in containers
        ]

    spec = replace(
        pod.spec,
        volumes=[volume for volume in pod.spec.volumes or () if volume.name not in tokens],
        containers=without_tokens(pod.spec.containers),
        init_containers=without_tokens(pod.spec.init_containers),
    )
    return replace(pod, metadata=metadata, spec=spec)
