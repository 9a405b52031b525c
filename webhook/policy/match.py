"""`match` and `except`, compiled to small predicates over one pod.

A criterion is a function that returns the phrases for why it matches, or None when it does not. A list of them
matches when each does; a field that the rule does not set has no criterion and so costs nothing. An input may
be unknown for a pod: then the result of the list is unknown too, unless another criterion does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.core.decision import Confidence, Dependency
from webhook.core.facts import CONTAINERS, FINDINGS, Facts
from webhook.policy.cel import CelFailure, CelLimitError, Context, Expression, compile_expression
from webhook.policy.criteria_schema import Criteria, SelectorModel
from webhook.policy.glob import Matches, matcher
from webhook.policy.image import image_matcher


class NotKnownError(Exception):
    """Whether a rule matches depends on something unknown. The message is the reason, without any value of the pod."""


@dataclass(slots=True)
class Subject:
    """One pod under evaluation by a policy, with lazily computed and cached properties.

    Attributes:
        facts: The pod.
        missing: As `Facts.missing`.
        warnings: Errors during the evaluation of criteria.
    """

    facts: Facts
    missing: int = field(init=False)
    warnings: list[str] = field(default_factory=list)
    _document: dict[str, Any] | None = None
    _contexts: dict[Confidence, Context] = field(default_factory=dict)
    _dependencies: dict[Confidence, tuple[Dependency, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Cache what is missing, which every rule reads."""
        self.missing = self.facts.missing

    @property
    def images(self) -> Iterator[str]:
        """The images of all containers."""
        return (container.image for container in self.facts.pod.containers() if container.image)

    @property
    def service_account(self) -> str:
        """The service account; Kubernetes sets "default" after webhooks were called."""
        return self.facts.pod.spec.service_account_name or "default"

    def spend_on(self, text: str) -> None:
        """Charge the budget for matching a text of the pod against a rule's globs.

        Raises:
            BudgetExceededError: The rules exceed the budget for this pod.
        """
        self.facts.budget.spend(1 + len(text) // 64)

    def dependencies(self, least: Confidence) -> tuple[Dependency, ...]:
        """Return the dependencies with at least this confidence."""
        found = self._dependencies.get(least)
        if found is None:
            every = self.facts.findings.dependencies
            found = tuple(dependency for dependency in every if dependency.confidence.rank >= least.rank)
            self._dependencies[least] = found
        return found

    def context(self, variables: frozenset[str], least: Confidence) -> Context:
        """Return the CEL context with at least these variables; nothing in it is converted twice.

        Raises:
            CelFailure: The pod contains a value that CEL cannot represent.
        """
        context = self._contexts.get(least)
        if context is None:
            context = self._contexts[least] = Context(self.facts.budget.spend)
        context.add(variables, lambda name: self._variable(name, least))
        return context

    def _variable(self, name: str, least: Confidence) -> Any:  # noqa: ANN401 - CEL values are of many types
        facts = self.facts
        match name:
            case "pod":
                if self._document is None:
                    self._document = facts.document()
                return self._document
            case "namespace":
                return {"name": facts.namespace, "labels": dict(facts.namespace_labels)}
            case "owner":
                nearest = facts.owners[0] if facts.owners else None
                return {"kind": nearest.kind if nearest else "", "name": nearest.name if nearest else ""}
            case "dependencies":
                return sorted({dependency.kind for dependency in self.dependencies(least)})
            case _:
                return list(facts.findings.serves)


Criterion = Callable[[Subject], "tuple[str, ...] | None"]


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled `match` or `except`.

    Attributes:
        confidence: The least confidence of a dependency.
        kinds: The kinds of `dependencies`; None when it is not set.
        needs_findings: Whether it depends on detection.
        criteria: All must match; the cheap ones come first. With each, its inputs that may be unknown: a sum of
            `FINDINGS` and `CONTAINERS`, or 0.
    """

    confidence: Confidence
    kinds: frozenset[str] | None
    needs_findings: bool
    criteria: tuple[tuple[int, Criterion], ...]

    def holds(self, subject: Subject) -> tuple[str, ...] | None:
        """Return why all criteria match, as phrases; None when one does not.

        Raises:
            NotKnownError: One has an unknown input, or exceeds a limit, and all others match.
        """
        phrases: list[str] = []
        lacking = 0
        for reads, criterion in self.criteria:
            if reads & subject.missing:
                lacking |= reads & subject.missing
                continue
            reason = criterion(subject)
            if reason is None:
                return None
            phrases += reason
        if lacking:
            raise NotKnownError(subject.facts.why(lacking))
        return tuple(phrases)


def compile_match(criteria: Criteria, *, rule: str, least: Confidence) -> Match:
    """Compile the criteria of a rule.

    Args:
        criteria: The validated model.
        rule: The rule's name, for warnings.
        least: The least confidence of dependencies, unless `criteria` sets its own.
    """
    confidence = criteria.confidence or least
    expression = compile_expression(criteria.when) if criteria.when is not None else None
    reads = expression.variables if expression else frozenset[str]()
    made = (
        (0, _text("namespace", criteria.namespaces, lambda subject: [subject.facts.namespace])),
        (FINDINGS, _kinds("dependency", criteria.dependencies, lambda subject: _kinds_of(subject, confidence))),
        (FINDINGS, _kinds("serves", criteria.serves, lambda subject: subject.facts.findings.serves)),
        (0, _owners(criteria.owners)),
        (0, _text("service account", criteria.service_accounts, lambda subject: [subject.service_account])),
        (0, _selector("labels", criteria.labels, lambda s: s.facts.pod.labels)),
        (0, _selector("namespace labels", criteria.namespace_labels, lambda s: s.facts.namespace_labels)),
        (0, _selector("annotations", criteria.annotations, lambda s: s.facts.pod.annotations)),
        (CONTAINERS, _text("image", criteria.images, lambda subject: subject.images, image_matcher)),
        # The last one, for it may exceed a limit.
        (_read_by(expression), _when(expression, rule, confidence)),
    )
    return Match(
        confidence=confidence,
        kinds=None if criteria.dependencies is None else frozenset(criteria.dependencies),
        needs_findings=bool(criteria.dependencies or criteria.serves or reads & _FOUND),
        criteria=tuple((reads, criterion) for reads, criterion in made if criterion is not None),
    )


# Names in a pod may be of any length, and phrases are kept, and written into an annotation.
_LONGEST_PHRASE = 300
# The variables of CEL expressions with the findings of detection.
_FOUND = frozenset({"dependencies", "serves"})


def _read_by(expression: Expression | None) -> int:
    """Return what an expression reads that may be unknown."""
    if expression is None:
        return 0
    containers = "pod" in expression.variables and not expression.by_outline
    return (CONTAINERS if containers else 0) + (FINDINGS if expression.variables & _FOUND else 0)


def _kinds_of(subject: Subject, least: Confidence) -> list[str]:
    return list(dict.fromkeys(dependency.kind for dependency in subject.dependencies(least)))


def _text(
    noun: str,
    globs: tuple[str, ...] | None,
    texts: Callable[[Subject], Iterable[str]],
    matcher_of: Callable[[tuple[str, ...]], Matches] = matcher,
) -> Criterion | None:
    if globs is None:
        return None
    matches = matcher_of(globs)

    def criterion(subject: Subject) -> tuple[str, ...] | None:
        for text in texts(subject):
            subject.spend_on(text)
            if matches(text):
                return (f"{noun} {text}"[:_LONGEST_PHRASE],)
        return None

    return criterion


def _kinds(
    noun: str, kinds: tuple[str, ...] | None, present: Callable[[Subject], list[str] | tuple[str, ...]]
) -> Criterion | None:
    if kinds is None:
        return None
    wanted = frozenset(kinds)

    def criterion(subject: Subject) -> tuple[str, ...] | None:
        return tuple(f"{noun} {kind}" for kind in present(subject) if kind in wanted) or None

    return criterion


def _owners(owners: tuple[str, ...] | None) -> Criterion | None:
    if owners is None:
        return None
    names: dict[str, list[str]] = {}
    for owner in owners:
        kind, _, name = owner.partition("/")
        names.setdefault(kind, []).append(name or "*")
    matchers = {kind: matcher(globs) for kind, globs in names.items()}

    def criterion(subject: Subject) -> tuple[str, ...] | None:
        for owner in subject.facts.owners:
            matches = matchers.get(owner.kind)
            if matches is None:
                continue
            subject.spend_on(owner.name)
            if matches(owner.name):
                return (f"owner {owner.kind}/{owner.name}"[:_LONGEST_PHRASE],)
        return None

    return criterion


def _selector(
    noun: str, model: SelectorModel | None, labels: Callable[[Subject], Mapping[str, str]]
) -> Criterion | None:
    if model is None:
        return None
    selector = model.compiled()
    phrase = (f"{noun} {selector}",)

    def criterion(subject: Subject) -> tuple[str, ...] | None:
        return phrase if selector.holds(labels(subject)) else None

    return criterion


def _when(expression: Expression | None, rule: str, confidence: Confidence) -> Criterion | None:
    if expression is None:
        return None

    def criterion(subject: Subject) -> tuple[str, ...] | None:
        try:
            context = subject.context(expression.variables, confidence)
            return ("its CEL expression",) if expression.holds(context) else None
        except CelLimitError as limit:
            raise NotKnownError(f"rule {rule}: its CEL expression is not evaluated: {limit}") from None
        except CelFailure as failure:
            subject.warnings.append(f"rule {rule}: its CEL expression does not match: {failure}")
            return None

    return criterion
