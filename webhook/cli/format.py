"""The output formats of commands."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """The output format: text for users, or JSON or YAML for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
