"""Checks across the rules of a policy: duplicate names, unreachable rules, rules that match every pod."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.core.decision import Confidence
from webhook.policy.cel import compile_expression
from webhook.policy.criteria_schema import Criteria
from webhook.policy.document import PolicyDocument
from webhook.policy.reach import covering
from webhook.policy.schema import Rule
from webhook.problem import Problem


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A rule and its location: `number` counts the rules of its own file from 0."""

    rule: Rule
    document: PolicyDocument
    number: int

    def warning(self, message: str, hint: str, *field: str) -> Problem:
        """Return a warning about the rule, or one field of it."""
        return self.document.problem(("spec", "rules", self.number, *field), message, hint, warning=True)


def duplicate_names(documents: Sequence[PolicyDocument]) -> Iterator[Problem]:
    """Yield errors for rules of one name, in one file or across files. Works on files that do not validate, too."""
    seen: dict[str, str] = {}
    for document in documents:
        for number, name in _names(document):
            path = ("spec", "rules", number, "name")
            if name in seen:
                yield document.problem(
                    path, f"duplicate name '{name}', see {seen[name]}", "give each rule its own name"
                )
            else:
                seen[name] = f"{document.file}:{document.line(path)}"


def _names(document: PolicyDocument) -> Iterator[tuple[int, str]]:
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    rules = spec.get("rules") if isinstance(spec, dict) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("name"), str):
            yield number, rule["name"]


def doubts(rules: Sequence[PlacedRule], least: Confidence) -> Iterator[Problem]:
    """Yield warnings for rules that match every pod before others, and for unreachable rules."""
    covered_by = covering([placed.rule for placed in rules], least)
    for placed, number in zip(rules, covered_by, strict=True):
        if number is not None:
            earlier = rules[number]
            place = f"{earlier.document.file}:{earlier.document.line(('spec', 'rules', earlier.number))}"
            yield placed.warning(
                f"unreachable: rule '{earlier.rule.name}' ({place}) matches every pod that this rule matches",
                "move it before that rule, or remove it",
            )
        elif placed is not rules[-1] and placed.rule.except_ is None and not _restricts(placed.rule.match):
            yield placed.warning(
                "matches every pod, so no later rule is ever evaluated", "restrict it, or move it to the end", "match"
            )
        yield from _unknown_fields(placed)


def _unknown_fields(placed: PlacedRule) -> Iterator[Problem]:
    """Yield warnings for unknown fields of pods: they may be misspelt, or newer than this version."""
    for name, criteria in (("match", placed.rule.match), ("except", placed.rule.except_)):
        if criteria is not None and criteria.when is not None:
            for field in compile_expression(criteria.when).unknown:
                yield placed.warning(f"unknown field {field}", "check the spelling", name, "when")


def _restricts(criteria: Criteria) -> bool:
    return bool(criteria.model_fields_set - {"confidence"})
