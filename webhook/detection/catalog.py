"""The catalog of backends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Catalog:
    """The backends that detection knows."""

    kinds: frozenset[str]

    @classmethod
    def default(cls) -> Catalog:
        """The catalog shipped in the package."""
        return cls(frozenset("rabbitmq redis mssql postgresql mysql mongodb kafka nats".split()))
