"""Split a shell text into its words and the operators that separate its commands, in one pass."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

# A word of a text in which every quote is closed, or what separates commands.
_WORD = re.compile(r"""(?:\\\n|[^\s;|&<>"'`]|"(?:[^"\\]|\\.)*+"|'[^']*+')++|[;|&\n]""", re.DOTALL)
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*+"|'[^']*+'|(?P<open>["'])""", re.DOTALL)
# An omitted line may have closed a quote of another one.
_MOST_ROUNDS = 4
_SPACE = re.compile(r"\s")
SEPARATORS = frozenset(";|&\n")
MOST_WORDS = 5_000
KEYWORDS = frozenset(
    "until while if ! then do else exec sudo timeout time [ [[ { eval nohup env command wait4x set export local".split()
) | {str(seconds) for seconds in range(61)}
"""Words of the shell, and programs that run their arguments."""


class Word(NamedTuple):
    """A word without its quotes, or a separator.

    Attributes:
        text: The word.
        is_glued: Whether it follows the previous one without a space.
    """

    text: str
    is_glued: bool = False


def shell_words(text: str) -> list[Word]:
    """Return the first `MOST_WORDS` + 1 words and separators of a text."""
    text = _closed(text)
    words: list[Word] = []
    end = 0
    for match in islice(_WORD.finditer(text), MOST_WORDS + 1):
        start = match.start()
        words.append(Word(_unquoted(match[0]), is_glued=start > 0 and not _SPACE.search(text, end, start)))
        end = match.end()
    return words


def base_name(path: str) -> str:
    """Return the name of the program at a path."""
    return path.rstrip("/").rpartition("/")[2]


def _unquoted(word: str) -> str:
    return word.replace('"', "").replace("'", "").strip("`") if word not in SEPARATORS else word


def _closed(text: str) -> str:
    """Return the text without the lines in which a quote is not closed.

    After the first unclosed quote of a kind, no other of that kind is closed.
    """
    if '"' not in text and "'" not in text:
        return text
    for _ in range(_MOST_ROUNDS):
        found = next((quoted for quoted in _QUOTED.finditer(text) if quoted["open"]), None)
        if found is None:
            return text
        start = text.rfind("\n", 0, found.start()) + 1
        lines = text[start:].split("\n")[1:]
        text = text[:start] + "\n".join("" if found["open"] in line else line for line in lines)
    return text.replace('"', "<").replace("'", "<")
