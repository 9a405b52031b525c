"""Label selectors as Kubernetes writes them, compiled.

Source: Kubernetes "Labels and Selectors"; apimachinery's LabelSelector. NotIn holds where the key is absent, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition."""
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
        """The condition as kubectl writes it."""
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "In" if len(self.values) == 1:
                return f"{self.key}={min(self.values)}"
        return f"{self.key} {self.operator.lower()} ({','.join(sorted(self.values))})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold. A pair of matchLabels is an In with one value."""

    requirements: tuple[Requirement, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet every condition."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """The selector as kubectl writes it: "app=web,tier in (edge,front)"."""
        return ",".join(map(str, self.requirements))
