"""Globs: `*` for any text, `?` for one character, `[abc]`, `[a-z]` and `[!a]` for one of a set.

They are anchored at both ends and case-sensitive. A `*` runs across "/" too, so "*/legacy/*" finds an image of that
folder in any registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_WILDCARDS = frozenset("*?[")


class GlobError(ValueError):
    """A glob that cannot be read."""


def is_literal(glob: str) -> bool:
    """Whether the glob is plain text that equals only itself."""
    return _WILDCARDS.isdisjoint(glob)


def pattern(glob: str) -> str:
    """The glob as a regular expression.

    Raises:
        GlobError: It is empty, has spaces around it, or a set in it is not closed, empty or backwards.
    """
    if not glob:
        raise GlobError("an empty glob matches nothing")
    if glob != glob.strip():
        raise GlobError("spaces around a glob never match")
    parts: list[str] = []
    position = 0
    while position < len(glob):
        character = glob[position]
        if character == "[":
            end = glob.find("]", position + 1)
            if end < 0:
                raise GlobError(f"'[' at character {position + 1} is not closed by ']'")
            parts.append(_set(glob[position + 1 : end]))
            position = end
        elif character == "*":
            if parts[-1:] != [".*"]:
                parts.append(".*")
        else:
            parts.append("." if character == "?" else re.escape(character))
        position += 1
    return "".join(parts)


def _set(text: str) -> str:
    negated = text.startswith("!")
    members = text[negated:]
    if not members:
        raise GlobError("a set '[]' without characters matches nothing")
    if any(low > high for low, high in re.findall(r"(.)-(.)", members)):
        raise GlobError(f"the range in '[{text}]' runs backwards")
    escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
    return f"[{'^' if negated else ''}{escaped}]"


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """One function that says whether a text matches any of the globs."""
    globs = tuple(globs)
    literals = frozenset(glob for glob in globs if is_literal(glob))
    wild = [pattern(glob) for glob in globs if not is_literal(glob)]
    if not wild:
        return literals.__contains__
    full = re.compile("|".join(wild), re.DOTALL).fullmatch
    return lambda text: text in literals or full(text) is not None
