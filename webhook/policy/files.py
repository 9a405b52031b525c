"""Policy files as bytes: from a file, a directory or a mounted ConfigMap."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from webhook.policy.document import MAX_BYTES
from webhook.problem import Problem

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


def read(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Read policy files.

    Args:
        paths: Files, and directories of which the *.yaml, *.yml and *.json files are taken in the order of their
            names. Hidden files are not: a mounted ConfigMap keeps its old and new content in those.

    Returns:
        The files in order, each cut off just above the size that a policy may have.

    Raises:
        PolicyError: A path cannot be read, or a directory holds no policy file. All such problems at once.
    """
    problems: list[Problem] = []
    sources: list[Source] = []
    for path in paths:
        try:
            for file in _files(path):
                with file.open("rb") as stream:
                    sources.append(Source(str(file), stream.read(MAX_BYTES + 1)))
        except OSError as error:
            file_name = str(error.filename or path)
            problems.append(Problem("error", file_name, None, "", f"cannot be read: {error.strerror or error}"))
    if problems:
        raise PolicyError(problems, unreadable=True)
    return tuple(sources)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    visible = (file for file in path.iterdir() if not file.name.startswith(".") and file.suffix in _SUFFIXES)
    files = sorted(file for file in visible if not file.is_dir())
    if not files:
        raise FileNotFoundError(2, "the directory holds no *.yaml, *.yml or *.json file", str(path))
    return files


def generation(sources: Sequence[Source]) -> str:
    """8 hex digits that stand for the content of the files; their names and places do not count."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(len(source.content).to_bytes(8, "big"))
        digest.update(source.content)
    return digest.hexdigest()[:8]
