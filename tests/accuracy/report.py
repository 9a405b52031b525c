"""The report of `make accuracy`: what was counted, in tables for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baselines import keywords_anywhere, keywords_in_env, ports
from labels import Case, Evidence
from predictions import Method, Prediction, clients, findings, servers
from score import Counts, Pair, Score, Truth, client_pairs, grouped, server_pairs

from webhook.core.decision import Confidence
from webhook.detection.catalog import Catalog
from webhook.detection.whynot import why_not


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was counted over one corpus.

    Attributes:
        cases: The labelled workloads.
        clients: Pairs of what pods are clients of, Secrets readable.
        servers: Pairs of what pods serve.
        without_secrets: As `clients`, Secrets not readable.
        baselines: As `clients`, by each baseline's name.
    """

    cases: tuple[Case, ...]
    clients: tuple[Pair, ...]
    servers: tuple[Pair, ...]
    without_secrets: tuple[Pair, ...]
    baselines: Mapping[str, tuple[Pair, ...]]


BASELINES: Mapping[str, Method] = {
    "keywords over env": keywords_in_env,
    "port list": ports,
    "keywords over pod and ConfigMaps": keywords_anywhere,
}


def measure(cases: Sequence[Case]) -> Measured:
    """Run detection and the baselines over labelled workloads."""

    def found(case: Case) -> Prediction:
        return clients(findings(case))

    return Measured(
        cases=tuple(cases),
        clients=client_pairs(cases, found),
        servers=server_pairs(cases, lambda case: servers(findings(case))),
        without_secrets=client_pairs(cases, lambda case: clients(findings(case, secrets=False))),
        baselines={name: client_pairs(cases, method) for name, method in BASELINES.items()},
    )


def calibration(pairs: Iterable[Pair]) -> dict[Confidence, Counts]:
    """How often claims of each confidence are right."""
    return grouped(pairs, lambda pair: pair.prediction[pair.kind].confidence if pair.predicted else None)


def by_evidence(pairs: Iterable[Pair]) -> dict[Evidence, Counts]:
    """By where it is seen: in the labels' words where they say, else where detection saw it."""
    return grouped(
        pairs, lambda pair: pair.evidence or (pair.prediction[pair.kind].seen_in if pair.predicted else None)
    )


def out_of_sight(pairs: Iterable[Pair]) -> dict[Evidence, tuple[int, int]]:
    """Clients that the manifests do not show: how many there are, and how many were found all the same."""
    hidden: dict[Evidence, tuple[int, int]] = {}
    for pair in pairs:
        if pair.truth is Truth.YES and pair.evidence is not None and not pair.evidence.visible:
            there, found = hidden.get(pair.evidence, (0, 0))
            hidden[pair.evidence] = there + 1, found + pair.predicted
    return dict(sorted(hidden.items()))


def as_data(measured: Measured) -> dict[str, Any]:
    """The report as what JSON can hold."""
    return {
        "workloads": len(measured.cases),
        "applications": len({case.application for case in measured.cases}),
        "clients": _score(measured.clients) | _details(measured.clients),
        "serves": _score(measured.servers),
        "clientsWithoutSecrets": _score(measured.without_secrets),
        "baselines": {name: _score(pairs) for name, pairs in measured.baselines.items()},
        "missed": [_pair(pair) for pair in (*measured.clients, *measured.servers) if pair.missed],
        "falseAlarms": [_pair(pair) for pair in (*measured.clients, *measured.servers) if pair.wrong],
    }


def _score(pairs: Sequence[Pair]) -> dict[str, Any]:
    score = Score.of(pairs)
    return _counts(score.total) | {
        "meanPrecision": _rounded(score.mean_precision),
        "meanRecall": _rounded(score.mean_recall),
        "byApplication": {name: _counts(counts) for name, counts in score.by_application.items()},
    }


def _details(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "byKind": {kind: _counts(counts) for kind, counts in grouped(pairs, lambda pair: pair.kind).items()},
        "byEvidence": {place.value: _counts(counts) for place, counts in by_evidence(pairs).items()},
        "calibration": {sure.value: _counts(counts) for sure, counts in calibration(pairs).items()},
        "notInManifests": {
            place.value: {"clients": there, "found": found} for place, (there, found) in out_of_sight(pairs).items()
        },
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "right": counts.right,
        "wrong": counts.wrong,
        "expected": counts.expected,
        "found": counts.found,
        "precision": _rounded(counts.precision),
        "recall": _rounded(counts.recall),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    workload = pair.case.workload
    return {
        "application": pair.case.application,
        "workload": f"{workload.kind}/{workload.name}",
        "kind": pair.kind,
        "trail": pair.prediction[pair.kind].trail if pair.predicted else None,
        "seenIn": pair.evidence.value if pair.evidence else None,
        "note": pair.case.label.note or None,
        "whyNot": _why_not(pair) if pair.missed else [],
    }


def _why_not(pair: Pair) -> list[str]:
    """What detection looked at for a client that it missed, as sentences."""
    workload, catalog = pair.case.workload, Catalog.default()
    if pair.kind not in catalog.kinds:
        return [f"the catalog has no {pair.kind}"]
    answer = why_not(workload.pod, workload.namespace, pair.case.manifests, catalog, pair.kind)
    read = ", ".join(f"{number} {place}" for place, number in answer.looked_at.items())
    return [
        *(f"{reason.where}: {reason.why}" for reason in answer.reasons),
        *answer.unknown,
        f"looked at {read}",
    ]


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def as_text(measured: Measured) -> str:
    """The report for people."""
    applications = len({case.application for case in measured.cases})
    return "\n".join(
        [
            f"{len(measured.cases)} workloads of {applications} applications",
            "",
            *_table("All in all", _overall(measured)),
            *_table("Clients by application", grouped(measured.clients, lambda pair: pair.case.application)),
            *_table("Clients by kind", grouped(measured.clients, lambda pair: pair.kind)),
            *_table("Clients by evidence", by_evidence(measured.clients)),
            *_table("Clients by confidence", calibration(measured.clients), recall=False),
            *_hidden(measured.clients),
            *_listed("Missed", [pair for pair in (*measured.clients, *measured.servers) if pair.missed]),
            *_listed("False alarms", [pair for pair in (*measured.clients, *measured.servers) if pair.wrong]),
        ]
    )


def _overall(measured: Measured) -> Iterator[tuple[str, tuple[Counts, Score] | Counts]]:
    methods = {
        "clients": measured.clients,
        "serves": measured.servers,
        "clients, Secrets not read": measured.without_secrets,
        **{f"baseline: {name}": pairs for name, pairs in measured.baselines.items()},
    }
    for name, pairs in methods.items():
        score = Score.of(pairs)
        yield name, (score.total, score)


def _table(
    title: str,
    rows: Mapping[Any, Counts] | Iterable[tuple[str, tuple[Counts, Score] | Counts]],
    *,
    recall: bool = True,
) -> Iterator[str]:
    yield f"{title:<40} {'right':>6} {'wrong':>6} {'precision':>9}" + (
        f" {'missed':>6} {'recall':>7}" if recall else ""
    )
    for name, row in rows.items() if isinstance(rows, Mapping) else rows:
        counts, score = row if isinstance(row, tuple) else (row, None)
        line = f"  {name!s:<38} {counts.right:>6} {counts.wrong:>6} {_percent(counts.precision):>9}"
        if recall:
            line += f" {counts.expected - counts.found:>6} {_percent(counts.recall):>7}"
        if score is not None:
            line += f"   mean over applications {_percent(score.mean_precision)} / {_percent(score.mean_recall)}"
        yield line
    yield ""


def _hidden(pairs: Sequence[Pair]) -> Iterator[str]:
    hidden = out_of_sight(pairs)
    if hidden:
        yield "Clients that the manifests do not show, not counted above"
        yield from (f"  {place.value:<38} {found} of {there} found" for place, (there, found) in hidden.items())
        yield ""


def _listed(title: str, pairs: Sequence[Pair]) -> Iterator[str]:
    yield f"{title}: {len(pairs)}"
    for pair in pairs:
        told = _pair(pair)
        yield f"  {told['application']}: {told['workload']}: {told['kind']}"
        yield f"    {told['trail'] or 'to be seen in ' + str(told['seenIn'])}"
        if told["note"]:
            yield f"    note: {told['note']}"
        yield from (f"    {sentence}" for sentence in told["whyNot"])
    yield ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
