"""Compiled Kubernetes label selectors.

Source: Kubernetes "Labels and Selectors"; apimachinery's LabelSelector. NotIn also matches if the key is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement on one label key; `values` is empty for Exists and DoesNotExist."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet the requirement."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels

    def __str__(self) -> str:
        """Return the requirement in kubectl's syntax."""
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "In" if len(self.values) == 1:
                return f"{self.key}={min(self.values)}"
        return f"{self.key} {self.operator.lower()} ({','.join(sorted(self.values))})"


class _Expression(Protocol):
    """One entry of matchExpressions."""

    @property
    def key(self) -> str: ...

    @property
    def operator(self) -> Operator: ...

    @property
    def values(self) -> Iterable[str] | None: ...


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that are ANDed. A matchLabels pair is an In with one value."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def of(cls, match_labels: Mapping[str, str] | None, match_expressions: Iterable[_Expression] | None) -> Selector:
        """Return the compiled selector.

        Args:
            match_labels: The API's matchLabels; None or empty for none.
            match_expressions: The API's matchExpressions; None or empty for none.
        """
        pairs = [Requirement(key, "In", frozenset({value})) for key, value in (match_labels or {}).items()]
        more = [Requirement(each.key, each.operator, frozenset(each.values or ())) for each in match_expressions or ()]
        return cls((*pairs, *more))

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet every requirement."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """Return the selector in kubectl's syntax: "app=web,tier in (edge,front)"."""
        return ",".join(map(str, self.requirements))


class LabelSelectorRequirement(Struct, frozen=True):
    """One entry of matchExpressions, as in the API."""

    key: str
    operator: Operator
    values: list[str] | None = None


class LabelSelector(Struct, frozen=True, rename="camel"):
    """A LabelSelector, as in the API; Istio's WorkloadSelector is one with matchLabels only."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet every requirement."""
        return Selector.of(self.match_labels, self.match_expressions).holds(labels)
