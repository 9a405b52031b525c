"""References to variables inside values: $(NAME), ${NAME}, ${NAME:-default}, ${NAME:default}, $NAME.

Kubernetes expands $(NAME) in env values, commands and arguments; shells and frameworks such as Spring expand the
others. All are written ${NAME} or ${NAME:-default} after `normalised`, and expanded only when a whole pod is at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable

NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,120}"
REFERENCE = rf"\$\{{{NAME}(?::-[A-Za-z0-9_.:-]{{0,120}})?\}}"
# "$$" is how Kubernetes writes a "$" that begins no reference.
_KUBERNETES = re.compile(rf"\$\$|\$\(({NAME})\)")
_DEFAULT = re.compile(rf"\$\{{({NAME}):-?([^{{}}$]{{0,500}})\}}")
_SHELL = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]{0,120})")
# What Ruby computes inside a string; nearly always a password that is read from a file.
_RUBY = re.compile(r"#\{[^{}]{0,200}\}")
UNSET = "${_}"
"""A reference to a variable that has no value."""
_NORMAL = re.compile(rf"\$\{{({NAME})(?::-([^{{}}]{{0,500}}))?\}}")


class Pattern:
    """A pattern with references in it, as an alternative each: `(?:…|REFERENCE)`.

    Most texts hold none, and are matched without those alternatives at a third of the cost.
    """

    def __init__(self, pattern: str) -> None:
        self._with = re.compile(pattern)
        self._without = re.compile(pattern.replace(f"|{REFERENCE}", ""))

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """As `re.fullmatch`."""
        return (self._with if "$" in text else self._without).fullmatch(text)


def normalised(text: str, *, bare: bool = False) -> str:
    """The text with its references in one form; `bare` also takes $NAME."""
    if "#{" in text:
        text = _RUBY.sub("", text)
    if "$" not in text:
        return text
    text = _KUBERNETES.sub(lambda found: f"${{{found[1]}}}" if found[1] else found[0], text)
    text = _DEFAULT.sub(r"${\1:-\2}", text)
    return _SHELL.sub(r"${\1}", text) if bare else text


def default_of(text: str) -> tuple[str, str] | None:
    """Variable and default of a text that is one reference and nothing else, or None."""
    whole = _NORMAL.fullmatch(text)
    return (whole[1], whole[2]) if whole and whole[2] else None


def expand(text: str, value_of: Callable[[str], str]) -> str:
    """The text with every reference replaced by the variable's value, else its default, else nothing."""
    if "$" not in text:
        return text
    return _NORMAL.sub(lambda reference: value_of(reference[1]) or reference[2] or "", text)


def expand_as_kubernetes(text: str, value_of: Callable[[str], str | None]) -> str:
    """Replace each $(NAME) of an environment variable, an argument or a subPathExpr, as the kubelet does.

    Args:
        text: The text as it is written in the pod.
        value_of: Gives a variable's value; None for one that is not set.

    Returns:
        The text, in which $$ still stands before what is no reference, and `UNSET` for variables that are not set.
    """

    def value(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        known = value_of(found[1])
        return UNSET if known is None else known

    return _KUBERNETES.sub(value, text)


def referred(text: str) -> str | None:
    """The variable of a text that is one $(NAME) and nothing else, or None."""
    whole = _KUBERNETES.fullmatch(text)
    return whole[1] if whole else None
