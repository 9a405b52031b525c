"""Find rules that are unreachable because an earlier rule matches every pod that they match.

Only what is certain is reported: an earlier rule without `except` (or with the same) covers a later one if it requires
nothing that the later one does not require. As in `webhook.policy.index`, a set of rules is a bit mask, so a thousand
rules are compared in a few dictionary lookups each rather than pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from webhook.core.decision import Confidence
from webhook.policy.criteria_schema import Criteria
from webhook.policy.glob import Matches, matcher
from webhook.policy.schema import Rule

_MAX_COMPARED = 200_000
"""Pairs of globs that are compared for each field: some 0.1 s."""

_Entries = Iterable[Hashable] | None


def covering(rules: Sequence[Rule], least: Confidence) -> list[int | None]:
    """Return for each rule the number of the first earlier rule that covers it, or None.

    Args:
        rules: In the order of the policy.
        least: spec.detection.minConfidence, which applies to rules without their own.
    """
    matches = [rule.match for rule in rules]
    sure = [match.confidence or least for match in matches]
    no_surer = {level: _bits(n for n, other in enumerate(sure) if other.rank <= level.rank) for level in Confidence}
    fields = [_sets(_lists(matches, name), _Equal) for name in ("labels", "annotations", "namespace_labels")]
    fields += [_sets(_lists(matches, name), _Equal) for name in ("serves",)]
    fields += [_sets(_lists(matches, name), _Globs) for name in ("namespaces", "service_accounts", "images", "owners")]
    fields.append(_sets([m.when and [(m.when, level)] for m, level in zip(matches, sure, strict=True)], _Equal))
    fields.append(_sets(_lists(matches, "dependencies"), _Equal, [no_surer[level] for level in sure]))
    excepted = [_excepted(rule) for rule in rules]
    fields.append(_sets(excepted, _Equal))
    found: list[int | None] = []
    for number in range(len(rules)):
        covers = (1 << number) - 1
        for field in fields:
            covers &= field[number]
        found.append((covers & -covers).bit_length() - 1 if covers else None)
    return found


def _lists(matches: Sequence[Criteria], name: str) -> list[_Entries]:
    return [_texts(name, getattr(match, name)) for match in matches]


def _texts(name: str, value: object) -> _Entries:
    if value is None or isinstance(value, tuple):
        # A kind without a name means all names.
        return [text if "/" in text else f"{text}/*" for text in value] if name == "owners" and value else value
    return [repr(value)]


def _excepted(rule: Rule) -> _Entries:
    """Return a key that is equal only for rules that except the same pods."""
    return None if rule.except_ is None else [(rule.match.confidence, rule.except_.model_dump_json())]


def _sets(
    listed: Sequence[_Entries], kind: Callable[[Sequence[_Entries]], _Equal], allowed: Sequence[int] | None = None
) -> list[int]:
    """Return for each rule the rules that one field does not prevent from covering it.

    A rule that does not set the field is never prevented by it; a list is covered when each of its entries is.
    """
    free = _bits(number for number, entries in enumerate(listed) if entries is None)
    given = kind(listed)
    result = []
    for number, entries in enumerate(listed):
        covers = 0
        if entries is not None:
            covers = allowed[number] if allowed else -1
            for entry in entries:
                covers &= given.covering(entry)
        result.append(free | covers)
    return result


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


class _Equal:
    """Entries that cover only equal ones."""

    def __init__(self, listed: Sequence[_Entries]) -> None:
        self._rules: dict[Hashable, int] = {}
        for number, entries in enumerate(listed):
            for entry in entries or ():
                self._rules[entry] = self._rules.get(entry, 0) | 1 << number

    def covering(self, entry: Hashable) -> int:
        """Return the rules with an entry that covers this one."""
        return self._rules.get(entry, 0)


class _Globs(_Equal):
    """Globs, which cover narrower ones too.

    Read as plain text, a glob's `*` can only be matched by another's `*`, so a match of the two texts proves it. With
    sets and `?` it would not, so those cover only their equals. After `_MAX_COMPARED` pairs the rest is left uncovered.
    """

    def __init__(self, listed: Sequence[_Entries]) -> None:
        super().__init__(listed)
        self._wild: dict[str, list[tuple[Matches, int]]] = {}
        self._left = _MAX_COMPARED
        for glob, rules in self._rules.items():
            prefix, star, _ = str(glob).partition("*")
            if star and not {"?", "["} & set(str(glob)):
                self._wild.setdefault(prefix, []).append((matcher([str(glob)]), rules))
        self._lengths = sorted({*map(len, self._wild)})

    def covering(self, entry: Hashable) -> int:
        """Return the rules with a glob that matches whatever this one does."""
        covers = super().covering(entry)
        if "[" not in (text := str(entry)):
            for matches, rules in self._with_prefix_of(text):
                self._left -= 1
                if self._left < 0:
                    break
                if matches(text):
                    covers |= rules
        return covers

    def _with_prefix_of(self, text: str) -> Iterator[tuple[Matches, int]]:
        for length in self._lengths:
            yield from self._wild.get(text[:length], ()) if length <= len(text) else ()
