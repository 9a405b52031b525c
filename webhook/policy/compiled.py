"""A compiled policy: an immutable snapshot that any number of requests may share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from webhook.core.decision import Action, Confidence, Mode
from webhook.core.facts import FINDINGS, Facts
from webhook.core.ruling import Ruling
from webhook.detection.catalog import Catalog
from webhook.policy.criteria_schema import Criteria
from webhook.policy.glob import matcher
from webhook.policy.index import RuleIndex
from webhook.policy.match import Match, NotKnownError, Subject, compile_match
from webhook.policy.schema import Detection, InjectionPolicy, Rule
from webhook.problem import Problem


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule with its criteria compiled."""

    name: str
    action: Action
    mode: Mode
    ports: tuple[int, ...] | None
    hold: bool
    match: Match
    unless: Match | None

    @property
    def bypasses_detected(self) -> bool:
        """Whether its action depends on what the pod talks to."""
        return self.action is Action.BYPASS and self.ports is None

    @property
    def needs_findings(self) -> bool:
        """Whether the rule, or what its action does, depends on what the pod talks to or serves."""
        matches_findings = self.match.needs_findings or (self.unless is not None and self.unless.needs_findings)
        return matches_findings or self.bypasses_detected

    def ruling(self, subject: Subject) -> Ruling | None:
        """Return the rule's ruling on the pod; None when it does not match.

        Raises:
            NotKnownError: Whether it matches, or what it does, depends on something unknown.
        """
        unknown: NotKnownError | None = None
        matched: tuple[str, ...] | None = ()
        try:
            matched = self.match.holds(subject)
        except NotKnownError as error:
            unknown = error
        if matched is None or (self.unless is not None and self.unless.holds(subject) is not None):
            return None
        if unknown is not None:
            raise unknown
        if subject.missing & FINDINGS and self.bypasses_detected:
            raise NotKnownError(subject.facts.why(FINDINGS))
        sure = subject.dependencies(self.match.confidence)
        kinds = self.match.kinds
        return Ruling(
            action=self.action,
            rule=self.name,
            mode=self.mode,
            dependencies=sure if kinds is None else tuple(found for found in sure if found.kind in kinds),
            ports=self.ports,
            hold=self.hold,
            matched=matched or ("every pod",),
            warnings=tuple(subject.warnings),
            confidence=self.match.confidence,
            kinds=kinds,
        )


@dataclass(frozen=True, slots=True, weakref_slot=True)
class CompiledPolicy:
    """A policy, compiled. Implements `webhook.decision.policy.Policy`.

    Attributes:
        name: metadata.name.
        generation: 8 hex digits of the content.
        document: The policy as validated, with every default filled in, as plain JSON values.
        mode: spec.mode.
        overrides_explicit: Whether rules override the pod's own setting.
        injects: Whether the action of a rule or the default is `inject`.
        min_confidence: spec.detection.minConfidence.
        read_secrets: spec.detection.secrets.
        hides_other_namespaces: Whether spec.detection.otherNamespaces is hide.
        catalog: The backends to look for: those of the package, with the changes of spec.detection.catalog.
        needs_findings: Whether any rule depends on what the pod talks to or serves.
        default: The action for a pod that no rule matches.
        on_unknown: The action for a pod of which a rule depends on something unknown.
        rules: The rules in order.
        warnings: The warnings of validation.
    """

    name: str
    generation: str
    document: dict[str, Any]
    mode: Mode
    overrides_explicit: bool
    injects: bool
    min_confidence: Confidence
    read_secrets: bool
    hides_other_namespaces: bool
    catalog: Catalog = field(repr=False, compare=False)
    needs_findings: bool
    default: Action
    on_unknown: Action
    rules: tuple[CompiledRule, ...]
    warnings: tuple[Problem, ...]
    _exempt: Callable[[str], bool] = field(repr=False, compare=False)
    _index: RuleIndex = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        """Name and generation, as "mesh-default/3f2a91c0"."""
        return f"{self.name}/{self.generation}"

    def exempts(self, namespace: str) -> bool:
        """Return whether spec.exempt names the namespace."""
        return self._exempt(namespace)

    def ruling(self, facts: Facts) -> Ruling:
        """Return the ruling of the first rule that matches, or the default; `unknown` where a rule reads unknowns.

        Raises:
            BudgetExceededError: The rules exceed the budget for this pod.
        """
        subject = Subject(facts)
        for number in self._index.candidates(facts):
            try:
                ruling = self.rules[number].ruling(subject)
            except NotKnownError as error:
                return replace(self.unknown(), why=str(error), warnings=tuple(subject.warnings))
            if ruling is not None:
                return ruling
        return Ruling(
            action=self.default,
            mode=self.mode,
            dependencies=subject.dependencies(self.min_confidence),
            warnings=tuple(subject.warnings),
            confidence=self.min_confidence,
        )

    def unknown(self) -> Ruling:
        """Return the ruling of spec.onUnknown."""
        return Ruling(action=self.on_unknown, mode=self.mode, known=False)


def compile_policy(model: InjectionPolicy, *, generation: str, warnings: tuple[Problem, ...] = ()) -> CompiledPolicy:
    """Compile a validated policy.

    Args:
        model: The policy; validation has ensured that everything in it compiles.
        generation: A digest of the content.
        warnings: The warnings of validation, kept with the policy.
    """
    spec = model.spec
    least = spec.detection.min_confidence
    rules = tuple(_compile_rule(rule, spec.mode, least) for rule in spec.rules)
    return CompiledPolicy(
        name=model.metadata.name,
        generation=generation,
        document=model.model_dump(mode="json", by_alias=True, exclude_none=True),
        mode=spec.mode,
        overrides_explicit=spec.explicit == "override",
        injects=any(action.sidecar for action in (spec.default, *(rule.action for rule in spec.rules))),
        min_confidence=least,
        read_secrets=spec.detection.secrets,
        hides_other_namespaces=spec.detection.other_namespaces == "hide",
        catalog=_catalog(spec.detection),
        needs_findings=any(rule.needs_findings for rule in rules),
        default=spec.default,
        on_unknown=spec.on_unknown,
        rules=rules,
        warnings=warnings,
        _exempt=matcher(spec.exempt.namespaces or ()),
        _index=RuleIndex([rule.match for rule in spec.rules]),
    )


def _catalog(detection: Detection) -> Catalog:
    known = Catalog.default()
    if not detection.catalog:
        return known
    return known.with_backends(
        {kind: entry.applied_to(known.backends.get(kind)) for kind, entry in detection.catalog.items()}
    )


def _compile_rule(rule: Rule, mode: Mode, least: Confidence) -> CompiledRule:
    match = compile_match(rule.match, rule=rule.name, least=least)
    return CompiledRule(
        name=rule.name,
        action=rule.action,
        mode=Mode.AUDIT if Mode.AUDIT in {mode, rule.mode} else Mode.ENFORCE,
        ports=_fixed(rule.ports),
        hold=rule.hold,
        match=match,
        unless=_unless(rule.except_, rule.name, match.confidence),
    )


def _unless(criteria: Criteria | None, rule: str, least: Confidence) -> Match | None:
    return None if criteria is None else compile_match(criteria, rule=rule, least=least)


def _fixed(ports: Literal["detected"] | tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if ports is None or ports == "detected" else tuple(sorted({*ports}))
