"""Upper bounds as polynomials, for the cost of CEL expressions over pods of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

Monomial = tuple[str, ...]
"""The factors of a term, sorted; one that occurs twice is squared."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A polynomial without negative coefficients.

    Attributes:
        terms: The coefficient of each monomial.
    """

    terms: Mapping[Monomial, float]

    @classmethod
    def of(cls, *names: str, times: float = 1) -> Bound:
        """Return the product of variables and a number."""
        return cls({tuple(sorted(names)): times} if times else {})

    def __add__(self, other: Bound) -> Bound:
        terms = dict(self.terms)
        for names, times in other.terms.items():
            terms[names] = terms.get(names, 0) + times
        return Bound(terms)

    def __mul__(self, other: Bound | float) -> Bound:
        if not isinstance(other, Bound):
            return Bound({names: times * other for names, times in self.terms.items()})
        terms: dict[Monomial, float] = {}
        for left, by in self.terms.items():
            for right, times in other.terms.items():
                names = tuple(sorted((*left, *right)))
                terms[names] = terms.get(names, 0) + by * times
        return Bound(terms)

    def __or__(self, other: Bound) -> Bound:
        """Return a bound on the larger of the two."""
        names = self.terms.keys() | other.terms.keys()
        return Bound({name: max(self.terms.get(name, 0), other.terms.get(name, 0)) for name in names})

    def at(self, sizes: Mapping[str, float]) -> float:
        """Return the value for these values of the variables."""
        return sum(prod((sizes[name] for name in names), start=times) for names, times in self.terms.items())

    def summed(self, parts: Mapping[str, Bound], count: Bound) -> Bound:
        """Return a bound on the sum over the elements of a list.

        Args:
            parts: The variables for the sizes of one element, with the sizes of the whole list: the sum over the
                elements does not exceed the size of the list.
            count: How many elements there are.
        """
        total = NOTHING
        for names, times in self.terms.items():
            inner = [name for name in names if name in parts]
            term = Bound.of(*(name for name in names if name not in parts), times=times)
            for name in inner:
                term *= parts[name]
            total += term if inner else term * count
        return total


NOTHING = Bound({})
ONE = Bound.of()


def total(bounds: Iterable[Bound]) -> Bound:
    """Return the sum of bounds."""
    return sum(bounds, NOTHING)
