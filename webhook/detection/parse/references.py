"""References to variables inside values: $(NAME), ${NAME}, ${NAME:-default}, ${NAME:default}, $NAME.

The kubelet expands $(NAME), and only where a pod itself contains it: in env values, commands, arguments, commands of
probes, and subPathExpr (`expand_as_kubernetes`). Everywhere else, as in a ConfigMap, it is a literal text. Shells and
frameworks such as Spring expand the others: they are written ${NAME} or ${NAME:-default} after `normalised`, and
expanded only when a whole pod is available.
"""

from __future__ import annotations

import re
from collections.abc import Callable

NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,120}"
REFERENCE = rf"\$\{{{NAME}(?::-[A-Za-z0-9_.:-]{{0,120}})?\}}"
# "$$" is how Kubernetes writes a "$" that begins no reference. A name extends to the next parenthesis, whatever it is;
# any other "$" is copied together with what follows it.
_KUBERNETES = re.compile(r"\$\$|\$\(([^)]*)\)|\$[^$(]", re.DOTALL)
_LITERAL = re.compile(rf"\$\$|\$\({NAME}\)")
_DEFAULT = re.compile(rf"\$\{{({NAME}):-?([^{{}}$]{{0,500}})\}}")
_SHELL = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]{0,120})")
# What Ruby computes inside a string; nearly always a password that is read from a file.
_RUBY = re.compile(r"#\{[^{}]{0,200}\}")
UNSET = "${_}"
"""A reference to no variable; it replaces a literal $(NAME) and what is unknown."""
_NO_VARIABLE = "_"
_NAME = re.compile(NAME)
_NORMAL = re.compile(rf"\$\{{({NAME})(?::-([^{{}}]{{0,500}}))?\}}")


class Pattern:
    """A pattern that contains references, as an alternative each: `(?:…|REFERENCE)`.

    Most texts contain none, and are matched without those alternatives at a third of the cost.
    """

    def __init__(self, pattern: str) -> None:
        self._with = re.compile(pattern)
        self._without = re.compile(pattern.replace(f"|{REFERENCE}", ""))

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """As `re.fullmatch`."""
        return (self._with if "$" in text else self._without).fullmatch(text)


def normalised(text: str, *, bare: bool = False) -> str:
    """Return the text with its references in one form; `bare` also accepts $NAME."""
    if "#{" in text:
        text = _RUBY.sub("", text)
    if "$" not in text:
        return text
    if "$(" in text:
        text = _LITERAL.sub(lambda found: found[0] if found[0] == "$$" else UNSET, text)
    text = _DEFAULT.sub(r"${\1:-\2}", text)
    return _SHELL.sub(r"${\1}", text) if bare else text


def default_of(text: str) -> tuple[str, str] | None:
    """Return variable and default of a text that is one reference and nothing else, or None."""
    whole = _NORMAL.fullmatch(text)
    return (whole[1], whole[2]) if whole and whole[2] else None


def expand(text: str, value_of: Callable[[str], str]) -> str:
    """Return the text with every reference replaced by the variable's value, else its default, else nothing."""
    if "$" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        known = "" if found[1] == _NO_VARIABLE else value_of(found[1])
        return known or found[2] or ""

    return _NORMAL.sub(value, text)


def expand_as_kubernetes(text: str, value_of: Callable[[str], str | None]) -> str:
    """Replace each $(NAME) of an environment variable, an argument or a subPathExpr, as the kubelet does.

    Args:
        text: The text as it is written in the pod.
        value_of: Returns a variable's value; None for one that is not set, whose reference stays as it is.

    Source: Kubernetes third_party/forked/golang/expansion.
    """
    end = text.rfind(")") + 1  # after it nothing is a reference, and no name has to be searched

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$" if found[0] == "$$" else found[0]
        known = value_of(name)
        return found[0] if known is None else known

    return _KUBERNETES.sub(value, text[:end]) + text[end:].replace("$$", "$")


def referred(text: str) -> str | None:
    """Return the variable of a text that is one $(NAME) and nothing else, or None."""
    whole = _KUBERNETES.fullmatch(text)
    return whole[1] if whole else None


def reference(name: str) -> str | None:
    """Return how a text refers to a variable, to be expanded later; None for a name that cannot be written so."""
    return f"${{{name}}}" if _NAME.fullmatch(name) else None


def is_variable(name: str) -> bool:
    """Return whether Kubernetes accepts a key as the name of an environment variable."""
    return name.isascii() and name.isprintable() and "=" not in name and name != ""
