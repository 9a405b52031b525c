"""Globs: `*` for any text, `?` for one character, `[abc]`, `[a-z]` and `[!a]` for one of a set.

They are anchored at both ends and case-sensitive. A `*` runs across "/" too, so "*/legacy/*" finds an image of that
folder in any registry.

Texts are untrusted, from pods, so matching takes time linear in the text: the part between two stars has a
fixed length, so its first occurrence is as good as any other, and nothing is tried twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_WILDCARDS = frozenset("*?[")
_ANY = "(?:.)"

Matches = Callable[[str], bool]


class GlobError(ValueError):
    """An invalid glob."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a glob between stars.

    Attributes:
        length: The number of characters that it matches.
        form: The characters; a regular expression where there is a wildcard among them.
    """

    length: int
    form: str | re.Pattern[str]

    def at(self, text: str, start: int) -> bool:
        """Return whether it matches at this position."""
        if isinstance(self.form, str):
            return text.startswith(self.form, start)
        return self.form.match(text, start) is not None

    def end_in(self, text: str, start: int, end: int) -> int:
        """Return the end of its first match between two positions; -1 where there is none."""
        if isinstance(self.form, str):
            found = text.find(self.form, start, end)
            return found if found < 0 else found + self.length
        match = self.form.search(text, start, end)
        return -1 if match is None else match.end()


def is_literal(glob: str) -> bool:
    """Return whether the glob is plain text that matches only itself."""
    return _WILDCARDS.isdisjoint(glob)


def pattern(glob: str) -> tuple[Piece, ...]:
    """Parse a glob into the pieces between its stars; a single one when it has no star.

    Raises:
        GlobError: It is empty, has spaces around it, or a set in it is not closed, empty or backwards.
    """
    if not glob:
        raise GlobError("an empty glob matches nothing")
    if glob != glob.strip():
        raise GlobError("spaces around a glob never match")
    pieces: list[list[str]] = [[]]
    position = 0
    while position < len(glob):
        character = glob[position]
        if character == "[":
            end = glob.find("]", position + 1)
            if end < 0:
                raise GlobError(f"'[' at character {position + 1} is not closed by ']'")
            pieces[-1].append(_set(glob[position + 1 : end]))
            position = end
        elif character == "*":
            pieces.append([])
        else:
            pieces[-1].append(_ANY if character == "?" else character)
        position += 1
    return tuple(map(_piece, pieces))


def _piece(characters: list[str]) -> Piece:
    """Return the piece of these characters: each a character, `_ANY`, or a set as a regular expression."""
    if all(len(character) == 1 for character in characters):
        return Piece(len(characters), "".join(characters))
    parts = (re.escape(character) if len(character) == 1 else character for character in characters)
    return Piece(len(characters), re.compile("".join(parts), re.DOTALL))


def _set(text: str) -> str:
    negated = text.startswith("!")
    members = text[negated:]
    if not members:
        raise GlobError("a set '[]' without characters matches nothing")
    if any(low > high for low, high in re.findall(r"(.)-(.)", members)):
        raise GlobError(f"the range in '[{text}]' runs backwards")
    escaped = re.sub(r"([\\^\[\]&~|])", r"\\\1", members)
    return f"[{'^' if negated else ''}{escaped}]"


def matcher(globs: Iterable[str]) -> Matches:
    """Return a predicate: whether a text matches any of the globs."""
    literals: set[str] = set()
    prefixes: list[str] = []
    others: list[Matches] = []
    for glob in globs:
        if is_literal(glob):
            literals.add(glob)
            continue
        first, *rest = pattern(glob)
        if isinstance(first.form, str) and len(rest) == 1 and not rest[0].length:
            prefixes.append(first.form)
        else:
            others.append(_matches(first, rest))
    exact, beginnings = frozenset(literals), tuple(prefixes)
    if not others and not beginnings:
        return exact.__contains__
    if not others:
        return lambda text: text in exact or text.startswith(beginnings)
    return lambda text: text in exact or text.startswith(beginnings) or any(matches(text) for matches in others)


def _matches(first: Piece, rest: list[Piece]) -> Matches:
    if not rest:
        return lambda text: len(text) == first.length and first.at(text, 0)
    *middle, last = (piece for piece in rest if piece.length or piece is rest[-1])
    least = first.length + last.length

    def matches(text: str) -> bool:
        end = len(text) - last.length
        if len(text) < least or not first.at(text, 0) or not last.at(text, end):
            return False
        position = first.length
        for piece in middle:
            position = piece.end_in(text, position, end)
            if position < 0:
                return False
        return True

    return matches
