"""Policy files as bytes: from a file, a directory or a mounted ConfigMap."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webhook.policy.document import MAX_BYTES
from webhook.problem import Problem
from webhook.regular import entries, open_regular

MAX_ENTRIES: Final = 1000
"""Entries that a directory with policy files may have."""
MAX_FILES: Final = 100
MAX_TOTAL_BYTES: Final = 3 << 20
"""Of all files of a policy; each may have a third of that."""
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Source:
    """One file's name, as the user gave it, and its bytes."""

    file: str
    content: bytes


class PolicyError(ValueError):
    """A policy that cannot be used.

    Attributes:
        problems: Everything that is wrong with it.
        unreadable: Whether a file could not be read at all.
    """

    def __init__(self, problems: Iterable[Problem], *, unreadable: bool = False) -> None:
        self.problems = tuple(problems)
        self.unreadable = unreadable
        super().__init__("\n".join(map(str, self.problems)))


def read(paths: Sequence[Path], *, pipes: bool = False) -> tuple[Source, ...]:
    """Read policy files.

    Args:
        paths: Files, and directories of which the *.yaml, *.yml and *.json files are taken in the order of their
            names. Hidden files are not: a mounted ConfigMap keeps its old and new content in those.
        pipes: Whether a path may be a pipe, whose writer is waited for.

    Returns:
        The files in order, each truncated just above the size that a policy may have.

    Raises:
        PolicyError: A path cannot be read, a directory contains no policy file, or the total is too large. All such
            problems at once.
    """
    problems: list[Problem] = []
    sources: list[Source] = []
    left = MAX_TOTAL_BYTES
    for path in paths:
        try:
            for file in _files(path):
                with open_regular(file, pipes=pipes and file == path) as stream:
                    content = stream.read(MAX_BYTES + 1)
                left -= len(content)
                if len(sources) >= MAX_FILES or left < 0:
                    raise PolicyError([_too_much(file)], unreadable=True)
                sources.append(Source(str(file), content))
        except OSError as error:
            file_name = str(error.filename or path)
            problems.append(Problem("error", file_name, None, "", f"cannot be read: {error.strerror or error}"))
    if problems:
        raise PolicyError(problems, unreadable=True)
    return tuple(sources)


def _too_much(file: Path) -> Problem:
    message = f"a policy has {MAX_FILES} files and {MAX_TOTAL_BYTES >> 20} MiB at most, and this file exceeds that"
    return Problem("error", str(file), None, "", message, "pass only the files of the policy")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = entries(path, MAX_ENTRIES)
    visible = (file for file in found if not file.name.startswith(".") and file.suffix in _SUFFIXES)
    files = sorted(file for file in visible if not file.is_dir())
    if not files:
        raise FileNotFoundError(2, "the directory contains no *.yaml, *.yml or *.json file", str(path))
    return files


def generation(sources: Sequence[Source]) -> str:
    """Return 8 hex digits of a digest of the files' content; their names and locations do not count."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(len(source.content).to_bytes(8, "big"))
        digest.update(source.content)
    return digest.hexdigest()[:8]
