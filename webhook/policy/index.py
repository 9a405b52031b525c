"""An index of the rules that can match a pod at all, so that the others cost nothing.

A set of rules is a bit mask, bit i for rule i. Each dimension (namespace, dependency kinds, …) yields the set of rules
that the pod's values do not rule out; the candidates are the intersection over all dimensions. That is a few
dictionary lookups and ANDs whether there are ten rules or a thousand.

The results of matching globs are cached: namespaces, service accounts and images repeat from pod to pod.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from webhook.core.facts import CONTAINERS, FINDINGS, Facts
from webhook.policy.criteria_schema import Criteria, SelectorModel
from webhook.policy.glob import is_literal, matcher
from webhook.policy.image import image_globs, image_names

_REMEMBERED_TEXTS = 4096
# A pod may have an image name of a megabyte, which is not worth caching.
_LONGEST_REMEMBERED = 512

Lookup = Callable[[Facts], int]
K = TypeVar("K", bound=Hashable)


class RuleIndex:
    """The index of a policy's rules. It never misses a rule that matches."""

    __slots__ = ("_all", "_known")

    def __init__(self, rules: Sequence[Criteria]) -> None:
        self._all = (1 << len(rules)) - 1
        found = (
            _keys([rule.dependencies for rule in rules], lambda facts: (d.kind for d in facts.findings.dependencies)),
            _keys([rule.serves for rule in rules], lambda facts: facts.findings.serves),
        )
        images = _texts([None if rule.images is None else image_globs(rule.images) for rule in rules], _images)
        dimensions = (
            _texts([rule.namespaces for rule in rules], lambda facts: (facts.namespace,)),
            *found,
            _keys([_owner_kinds(rule) for rule in rules], lambda facts: (owner.kind for owner in facts.owners)),
            _keys([_pairs(rule.labels) for rule in rules], lambda facts: facts.pod.labels.items()),
            _keys([_pairs(rule.namespace_labels) for rule in rules], lambda facts: facts.namespace_labels.items()),
            _keys([_pairs(rule.annotations) for rule in rules], lambda facts: facts.pod.annotations.items()),
            _texts(
                [rule.service_accounts for rule in rules],
                lambda facts: (facts.pod.spec.service_account_name or "default",),
            ),
            images,
        )
        reads = {**dict.fromkeys(found, FINDINGS), images: CONTAINERS}
        self._known = tuple(
            tuple(lookup for lookup in dimensions if lookup is not None and not reads.get(lookup, 0) & missing)
            for missing in range(FINDINGS + CONTAINERS + 1)
        )

    def candidates(self, facts: Facts) -> Iterator[int]:
        """Yield the numbers of the rules that can match the pod, in order. Unknown values rule none out.

        Raises:
            BudgetExceededError: The rules exceed the budget for this pod.
        """
        left = self._all
        for dimension in self._known[facts.missing]:
            left &= dimension(facts)
            if not left:
                return
        while left:
            lowest = left & -left
            yield lowest.bit_length() - 1
            left ^= lowest


def _owner_kinds(rule: Criteria) -> tuple[str, ...] | None:
    return None if rule.owners is None else tuple(owner.partition("/")[0] for owner in rule.owners)


def _pairs(selector: SelectorModel | None) -> tuple[tuple[str, str], ...] | None:
    """Return pairs of which one must be present: the first of matchLabels; all must hold, so one is enough to index."""
    return tuple(selector.match_labels.items())[:1] or None if selector else None


def _images(facts: Facts) -> Iterator[str]:
    images = (container.image for container in facts.pod.containers() if container.image)
    return chain.from_iterable(map(image_names, images))


def _keys(wanted: Sequence[Iterable[K] | None], present: Callable[[Facts], Iterable[K]]) -> Lookup | None:
    """Return a dimension of exact keys: a rule lists some, a pod has some, and one in common is enough."""
    free = 0
    by_key: dict[K, int] = {}
    for number, keys in enumerate(wanted):
        if keys is None:
            free |= 1 << number
            continue
        for key in keys:
            by_key[key] = by_key.get(key, 0) | 1 << number
    if not by_key:
        return None

    def lookup(facts: Facts) -> int:
        found = free
        for key in present(facts):
            found |= by_key.get(key, 0)
        return found

    return lookup


def _texts(wanted: Sequence[tuple[str, ...] | None], present: Callable[[Facts], Iterable[str]]) -> Lookup | None:
    """Return a dimension of globs: a rule lists some, a pod has some texts, and one match is enough."""
    literal: list[tuple[str, ...] | None] = []
    wild: list[tuple[int, Callable[[str], bool]]] = []
    for number, globs in enumerate(wanted):
        literal.append(None if globs is None else tuple(filter(is_literal, globs)))
        if globs is not None and not all(map(is_literal, globs)):
            wild.append((number, matcher(glob for glob in globs if not is_literal(glob))))
    exact = _keys(literal, present)
    if not wild:
        return exact

    def of_text(text: str) -> int:
        return sum(1 << number for number, matches in wild if matches(text))

    remembered = lru_cache(maxsize=_REMEMBERED_TEXTS)(of_text)
    # A glob is matched against a short text in about a microsecond.
    cost = 1 + len(wild) // 16
    free = sum(1 << number for number, globs in enumerate(wanted) if globs is None)
    base: Lookup = exact or (lambda _: free)

    def lookup(facts: Facts) -> int:
        found = base(facts)
        for text in present(facts):
            if len(text) <= _LONGEST_REMEMBERED:
                facts.budget.spend(cost)
                found |= remembered(text)
            else:
                facts.budget.spend(cost * (1 + len(text) // 64))
                found |= of_text(text)
        return found

    return lookup
