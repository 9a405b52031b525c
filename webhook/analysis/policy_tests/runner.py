"""Run policy unit tests, with the same engine as the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from webhook.analysis.policy_tests.cases import Case, Expectation, PolicyTest, load_cases
from webhook.analysis.workloads import decide_about
from webhook.core.decision import Decision
from webhook.inventory.manifests import ManifestError, Manifests, read
from webhook.inventory.workloads import Workload
from webhook.kubernetes.pod import Pod
from webhook.policy.compiled import CompiledPolicy
from webhook.policy.document import PolicyDocument
from webhook.policy.files import PolicyError
from webhook.policy.load import load
from webhook.problem import field_and_message


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs from the expectation."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return the difference on one line."""
        return f"{self.field}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one test.

    Attributes:
        file: The file of the tests.
        line: The line of the test in it, from 1.
        name: The test's name.
        differences: The fields that differ; empty when the test passes.
        evidence: The reasons for the decision, as sentences.
    """

    file: str
    line: int
    name: str
    differences: tuple[Difference, ...]
    evidence: tuple[str, ...]


def run(path: Path) -> list[Outcome]:
    """Run all tests of a file.

    Args:
        path: The file.

    Raises:
        PolicyError: The file, its policy or its manifests cannot be read, or are wrong.
    """
    # The policy determines which kinds expectations may name, and the file names the policy: so it is read twice.
    tests, document = load_cases(path, kinds=None)
    policy = load([path.parent / tests.policy])
    load_cases(path, kinds=policy.catalog.kinds)
    manifests = _manifests(path, tests, policy)
    workloads = _workloads(tests, document, manifests)
    return [
        _outcome(case, document, number, decide_about(workload, policy, manifests), policy)
        for number, (case, workload) in enumerate(zip(tests.tests, workloads, strict=True))
    ]


def _manifests(path: Path, tests: PolicyTest, policy: CompiledPolicy) -> Manifests:
    if not tests.manifests:
        return Manifests((), (), namespace_labels=tests.namespace_labels)
    files = [str(path.parent / file) for file in tests.manifests]
    try:
        manifests = read(files, secrets=policy.read_secrets, namespace_labels=tests.namespace_labels, pipes=False)
    except ManifestError as error:
        raise PolicyError(error.problems, unreadable=True) from None
    if manifests.problems:
        raise PolicyError(manifests.problems)
    return manifests


def _workloads(tests: PolicyTest, document: PolicyDocument, manifests: Manifests) -> list[Workload]:
    workloads = []
    problems = []
    for number, case in enumerate(tests.tests):
        try:
            workloads.append(_inline(case) if case.pod is not None else _named(case, manifests))
        except msgspec.ValidationError as error:
            field, message = field_and_message(error)
            steps = re.findall(r"[A-Za-z]\w*|\d+", field)
            inside = tuple(int(step) if step.isdigit() else step for step in steps)
            problems.append(document.problem(("tests", number, "pod", *inside), message))
        except LookupError as error:
            problems.append(document.problem(("tests", number, "workload"), str(error.args[0])))
    if problems:
        raise PolicyError(problems)
    return workloads


def _inline(case: Case) -> Workload:
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}, **(case.pod or {})}
    pod = msgspec.convert(document, Pod)
    namespace = case.namespace or pod.metadata.namespace or "default"
    return Workload("Pod", namespace, pod.metadata.name or "", pod, document, "")


def _named(case: Case, manifests: Manifests) -> Workload:
    kind, *namespaces, name = str(case.workload).split("/")
    found = [
        workload
        for workload in manifests.workloads
        if (workload.kind, workload.name) == (kind, name) and (not namespaces or workload.namespace == namespaces[0])
    ]
    if len(found) != 1:
        there = ", ".join(sorted({f"{workload.kind}/{workload.name}" for workload in manifests.workloads})[:10])
        fault = (
            "is in several namespaces: write kind/namespace/name" if found else f"is not among the manifests: {there}"
        )
        raise LookupError(f"{case.workload} {fault}")
    return replace(found[0], namespace=case.namespace or found[0].namespace)


def _outcome(case: Case, document: PolicyDocument, number: int, decision: Decision, policy: CompiledPolicy) -> Outcome:
    least = policy.min_confidence.rank
    chains = [f"{found.kind} ({found.confidence}): {found.evidence}" for found in decision.findings.dependencies]
    matched = f": {', '.join(decision.matched)}" if decision.matched else ""
    return Outcome(
        file=document.file,
        line=document.line(("tests", number)),
        name=case.name,
        differences=tuple(_differences(case.expect, decision, least)),
        evidence=(f"{decision.reason.sentence}{matched}", *chains, *decision.findings.unknown, *decision.warnings),
    )


def _differences(expected: Expectation, decision: Decision, least: int) -> list[Difference]:
    sure = {found.kind for found in decision.findings.dependencies if found.confidence.rank >= least}
    got: dict[str, object] = {
        "action": decision.action,
        "rule": decision.rule or "",
        "mode": decision.mode,
        "hold": decision.hold,
        "ports": decision.ports,
        "dependencies": tuple(sorted(sure)),
        "serves": decision.findings.serves,
        "reason": decision.reason.code,
    }
    wanted = {name: _comparable(getattr(expected, name)) for name in got if getattr(expected, name) is not None}
    return [
        Difference(name, _shown(value), _shown(got[name]))
        for name, value in wanted.items()
        if value != _comparable(got[name])
    ]


def _comparable(value: object) -> object:
    return tuple(sorted(set(value))) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the number of tests that passed and failed, as a sentence."""
    failed = sum(bool(outcome.differences) for outcome in outcomes)
    return f"{len(outcomes) - failed} passed, {failed} failed"
