"""What is not wrong field by field, but is wrong or doubtful about the rules taken together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webhook.core.decision import Confidence
from webhook.policy.criteria_schema import Criteria
from webhook.policy.document import Document
from webhook.policy.glob import matcher
from webhook.policy.schema import Rule
from webhook.problem import Problem


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A rule and where it stands: `number` counts the rules of its own file."""

    rule: Rule
    document: Document
    number: int

    def warning(self, field: str, message: str, hint: str) -> Problem:
        """A warning about the rule, or one field of it."""
        path = ("spec", "rules", self.number, *((field,) if field else ()))
        return self.document.problem(path, message, hint, warning=True)


def duplicate_names(documents: Sequence[Document]) -> Iterator[Problem]:
    """Errors for rules of one name, in one file or across files. Works on files that do not validate, too."""
    seen: dict[str, str] = {}
    for document in documents:
        for number, name in _names(document):
            path = ("spec", "rules", number, "name")
            if name in seen:
                yield document.problem(
                    path, f"the name '{name}' is taken, see {seen[name]}", "give each rule its own name"
                )
            else:
                seen[name] = f"{document.file}:{document.line(path)}"


def _names(document: Document) -> Iterator[tuple[int, str]]:
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    rules = spec.get("rules") if isinstance(spec, dict) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("name"), str):
            yield number, rule["name"]


def doubts(rules: Sequence[PlacedRule], least: Confidence) -> Iterator[Problem]:
    """Warnings for rules that match every pod before others, and for rules that can never decide.

    Only what is certain is said: a rule is unreachable where an earlier one without `except` (or with the same)
    asks for nothing that this one does not ask for.
    """
    given = [_given(placed.rule.match) for placed in rules]
    excepts = [_excepted(placed.rule) for placed in rules]
    for index, placed in enumerate(rules):
        candidates = (
            other
            for other, asked, excluded in zip(rules[:index], given, excepts, strict=False)
            if asked <= given[index] and excluded in {None, excepts[index]}
        )
        earlier = next((other for other in candidates if _covers(other.rule.match, placed.rule.match, least)), None)
        if earlier is not None:
            place = f"{earlier.document.file}:{earlier.document.line(('spec', 'rules', earlier.number))}"
            yield placed.warning(
                "",
                f"unreachable: rule '{earlier.rule.name}' ({place}) matches every pod that this rule matches",
                "move it before that rule, or remove it",
            )
        elif index < len(rules) - 1 and not given[index] and placed.rule.except_ is None:
            yield placed.warning(
                "match", "matches every pod, so no later rule is ever asked", "say which pods, or move it to the end"
            )


def _given(criteria: Criteria) -> frozenset[str]:
    """The fields that restrict which pods match."""
    return frozenset(criteria.model_fields_set) - {"confidence"}


def _excepted(rule: Rule) -> str | None:
    """A key that is equal only for rules that except the same pods."""
    return None if rule.except_ is None else f"{rule.match.confidence} {rule.except_.model_dump_json()}"


def _covers(earlier: Criteria, later: Criteria, least: Confidence) -> bool:
    """Whether the earlier `match` holds wherever the later one does; it gives no field that the later does not."""
    return all(_wider(name, earlier, later, least) for name in _given(earlier))


def _wider(name: str, earlier: Criteria, later: Criteria, least: Confidence) -> bool:
    """Whether the earlier rule's criterion holds wherever the later rule's does."""
    first, second = getattr(earlier, name), getattr(later, name)
    if name in {"labels", "annotations", "namespace_labels"}:
        return bool(first == second)
    same_confidence = (earlier.confidence or least).rank <= (later.confidence or least).rank
    if name == "when":
        return bool(first == second) and (earlier.confidence or least) is (later.confidence or least)
    if name == "serves":
        return set(second) <= set(first)
    if name == "dependencies":
        return set(second) <= set(first) and same_confidence
    if name == "owners":
        kinds = {owner for owner in first if "/" not in owner}
        return all(owner.partition("/")[0] in kinds or _covered(owner, first) for owner in second)
    return all(_covered(glob, first) for glob in second)


def _covered(glob: str, wide: Iterable[str]) -> bool:
    """Whether another glob matches whatever this one does.

    Read as plain text, a glob of `*` alone can only match another's `*` with its own, so a match of the two texts
    proves it. With sets and `?` it would not, so those count only where they are equal.
    """
    return glob in wide or ("[" not in glob and _plain_matcher(tuple(wide))(glob))


@lru_cache(maxsize=1024)
def _plain_matcher(globs: tuple[str, ...]) -> Callable[[str], bool]:
    return matcher(glob for glob in globs if not {"?", "["} & set(glob))
