"""YAML from strangers: the fast loader, and the bound on nesting without which it brings the process down.

libyaml's composer recurses in C for each level of nesting, so a text of 40 kB of "[" overflows the stack. Its event
parser does not recurse; counting levels there first costs a third of a load, and is spared where the characters already
say that there cannot be many.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

# Deeper than any configuration, and far from where the stack ends.
DEEPEST = 100
_CANNOT_HARM = 2_000
# What a line begins with before its first key or value; each block collection begins in a column of its own there.
_INDENT = re.compile(r"^[ ?:-]*", re.MULTILINE)

if TYPE_CHECKING:
    FastLoader = yaml.SafeLoader
else:
    # libyaml is optional in PyYAML; without it the pure loader answers the same, slower.
    FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeep(yaml.YAMLError):
    """The text is nested deeper than any configuration is."""

    def __init__(self) -> None:
        super().__init__(f"nested more than {DEEPEST} levels deep")


def bounded(text: str) -> str:
    """The text itself, once it is known not to be nested too deeply to be loaded.

    Raises:
        TooDeep: It is nested deeper than `DEEPEST`.
        yaml.YAMLError: It is not YAML.
    """
    depth = 0
    if len(text) > _CANNOT_HARM and _most_levels(text) > DEEPEST:
        for event in yaml.parse(text, Loader=FastLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise TooDeep
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    return text


def _most_levels(text: str) -> int:
    """More levels of nesting than a text can have, from its characters alone."""
    # A pair in a flow sequence is a mapping without a brace, and a sequence may stand in the column of its key.
    openers = text.count("[") + text.count("{")
    columns = max(map(len, _INDENT.findall(text))) + 1
    return 2 * (openers + columns)
