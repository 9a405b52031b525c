"""One setting of a file, an argument or a script: the keys that lead to it, and its parsed value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from webhook.core.values import Form, Line, Value
from webhook.detection.parse.masks import Mask
from webhook.detection.parse.mentions import LONGEST_VALUE
from webhook.detection.parse.values import MOST_MENTIONS, is_cut, read_value
from webhook.detection.words import LONGEST_NAME, holds_credential, key_words

LONGEST = 1_000_000
"""Characters of a text that are read: more than a ConfigMap can contain."""
# Characters of all keys that lead to a setting: no program needs more, and parsed keys are cached.
_LONGEST_PATH = 1_000
_MOST_READ = 5_000
_NAME = re.compile(r"@?[\w\s.$/*#%()\[\]{}<>+-]*+(?:::?+[A-Za-z_.-]++)*+")
_INDEX = re.compile(r"\[?\d{1,4}\]?")
# A text with as many places as a value may name is longer.
_SHORT = 2 * MOST_MENTIONS
_MOST_CHARACTERS = 2 * LONGEST
_MOST_KEPT = 1_000_000
# The cost of a setting or a mention, in the unit of the characters of its keys.
_OVERHEAD = 50


def setting(path: tuple[str, ...], text: str) -> Line:
    """Return one setting from its text; a credential, or a word after a key that is not a name, is dropped."""
    if text and holds_credential(path):
        return Line(path, Value())
    value = read_value(text)
    if _is_unnamed(path):
        value = Value(tuple(mention for mention in value.mentions if mention.form is not Form.BARE))
    return Line(path, value)


def _is_unnamed(path: tuple[str, ...]) -> bool:
    """Return whether the innermost key has no words, as an address has none: its value may be the password for that.

    The index of a list element is not a key.
    """
    key = next((key for key in reversed(path) if not _INDEX.fullmatch(key)), "-")
    return key != "-" and not any(map(str.isalpha, key_words(key)))


def as_key(key: str) -> str:
    """Return a key from a file, or "…" for an invalid name: a value that was taken for a key may be a password."""
    key = key[-LONGEST_NAME:]
    return key if key.isidentifier() or _NAME.fullmatch(key) else "…"


class Quota:
    """How much of one text is parsed and stored.

    Attributes:
        cut: Whether anything was omitted.
        inline: Characters of lines that were parsed by themselves.
        mask: Hides the keys of the text that may be credentials.
    """

    def __init__(self) -> None:
        self.cut = False
        self.inline = 0
        self.mask = Mask()
        self._reads = _MOST_READ
        self._characters = _MOST_CHARACTERS
        self._kept = _MOST_KEPT

    def spend(self, reads: int = 1, *, characters: int = 0) -> bool:
        """Return whether so many more lines, values or words may be read, and so many characters again."""
        if self._reads <= 0 or self._characters <= 0:
            self.cut = True
            return False
        self._reads -= reads
        self._characters -= characters
        return True

    def setting(self, path: tuple[str, ...], text: str) -> Line:
        """As `setting`, with masked keys; record whether anything was omitted."""
        path = self.mask.path(path)
        line = setting(path, text)
        if len(text) > _SHORT and is_cut(text, line.value) and not holds_credential(path):
            self.cut = True
        return line

    def kept(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        """Return the settings with content, as far as the quota allows."""
        found: list[Line] = []
        for line in lines:
            value = line.value
            if not (value.mentions or value.switch is not None or value.word):
                continue
            length = len("".join(line.path))
            if length > _LONGEST_PATH:
                self.cut = True
                continue
            self._kept -= _OVERHEAD * (1 + len(value.mentions)) + length
            if self._kept < 0:
                self.cut = True
                break
            found.append(line)
        return tuple(found)


def lines_of(text: str, quota: Quota) -> Iterator[str]:
    """Yield the lines of a text that are short enough to be settings."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    at = 0
    while at < len(text) and quota.spend():
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if end - at <= LONGEST_VALUE:
            yield text[at:end]
        elif text.find(":", at, end) >= 0 or text.find("=", at, end - 2) >= 0:
            quota.cut = True
        at = end + 1
