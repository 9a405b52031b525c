"""Predictions against labels: pairs of a workload and a kind, each right, wrong, missed, or not to be counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from statistics import fmean
from typing import TypeVar

from labels import Case, Evidence, Label
from predictions import Method, Prediction

_Group = TypeVar("_Group", bound=str)


class Truth(Enum):
    """What the labels say about a pair."""

    YES = auto()
    NO = auto()
    OVER_HTTP = auto()
    """A client, but over HTTP: neither right nor wrong, counted apart."""
    EITHER = auto()
    """Debatable, or a server of the kind, whose replicas dial each other: neither right nor wrong."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A workload and a kind that the labels, the prediction or both name.

    Attributes:
        case: The workload.
        kind: The kind.
        truth: What the labels say.
        evidence: Where a person sees it; None where the labels say no client.
        prediction: All that is predicted of the workload.
    """

    case: Case
    kind: str
    truth: Truth
    evidence: Evidence | None
    prediction: Prediction

    @property
    def predicted(self) -> bool:
        """Whether the prediction names the kind."""
        return self.kind in self.prediction

    @property
    def expected(self) -> bool:
        """Whether recall counts it: true, and to be seen in what detection may look at."""
        return self.truth is Truth.YES and (self.evidence is None or self.evidence.visible)

    @property
    def missed(self) -> bool:
        """Expected, but not predicted."""
        return self.expected and not self.predicted

    @property
    def right(self) -> bool:
        """Predicted and true, wherever a person sees it."""
        return self.predicted and self.truth is Truth.YES

    @property
    def wrong(self) -> bool:
        """Predicted, and false by the labels."""
        return self.predicted and self.truth is Truth.NO


@dataclass(frozen=True, slots=True)
class Counts:
    """What precision and recall are made of.

    Attributes:
        right: Predicted and true.
        wrong: Predicted and false.
        expected: True and to be seen.
        found: Of those expected, the predicted ones.
    """

    right: int = 0
    wrong: int = 0
    expected: int = 0
    found: int = 0

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Counts:
        """Count pairs."""
        counted = list(pairs)
        return cls(
            right=sum(pair.right for pair in counted),
            wrong=sum(pair.wrong for pair in counted),
            expected=sum(pair.expected for pair in counted),
            found=sum(pair.expected and pair.predicted for pair in counted),
        )

    @property
    def precision(self) -> float | None:
        """The share of predictions that are true; None without predictions."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        """The share of what is to be seen that is predicted; None where nothing is to be seen."""
        return _share(self.found, self.expected)


@dataclass(frozen=True, slots=True)
class Score:
    """The counts of one method over a corpus.

    Attributes:
        total: Over all workloads.
        by_application: Application by application.
    """

    total: Counts
    by_application: Mapping[str, Counts]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Score:
        """Count pairs over all workloads and by application."""
        counted = list(pairs)
        return cls(Counts.of(counted), grouped(counted, lambda pair: pair.case.application))

    @property
    def mean_precision(self) -> float | None:
        """The mean over the applications in which anything is predicted."""
        return _mean(counts.precision for counts in self.by_application.values())

    @property
    def mean_recall(self) -> float | None:
        """The mean over the applications in which anything is to be seen."""
        return _mean(counts.recall for counts in self.by_application.values())


def client_pairs(cases: Iterable[Case], method: Method) -> tuple[Pair, ...]:
    """Every pair that labels or prediction name as a client."""
    return tuple(_pairs(cases, method, _client_truth, lambda label: {*label.clients, *label.http_clients}))


def server_pairs(cases: Iterable[Case], method: Method) -> tuple[Pair, ...]:
    """Every pair that labels or prediction name as a server."""
    return tuple(_pairs(cases, method, _server_truth, lambda label: label.serves))


def grouped(pairs: Iterable[Pair], group: Callable[[Pair], _Group | None]) -> dict[_Group, Counts]:
    """Counts by group, in the order of the groups' names; pairs of no group are left out."""
    groups: dict[_Group, list[Pair]] = {}
    for pair in pairs:
        if (name := group(pair)) is not None:
            groups.setdefault(name, []).append(pair)
    return {name: Counts.of(groups[name]) for name in sorted(groups)}


def _pairs(
    cases: Iterable[Case],
    method: Method,
    truth: Callable[[Label, str], Truth],
    named: Callable[[Label], Iterable[str]],
) -> Iterator[Pair]:
    for case in cases:
        prediction = method(case)
        for kind in sorted({*named(case.label), *prediction}):
            known = truth(case.label, kind)
            evidence = case.label.clients.get(kind) if truth is _client_truth else None
            yield Pair(case, kind, known, evidence, prediction)


def _client_truth(label: Label, kind: str) -> Truth:
    if kind in label.clients:
        return Truth.YES
    if kind in label.http_clients:
        return Truth.OVER_HTTP
    return Truth.EITHER if kind in label.serves | label.debatable else Truth.NO


def _server_truth(label: Label, kind: str) -> Truth:
    if kind in label.serves:
        return Truth.YES
    return Truth.EITHER if kind in label.debatable else Truth.NO


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(shares: Iterable[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return fmean(known) if known else None
