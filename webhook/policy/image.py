"""The equivalent names of a container image: as written, and all that container runtimes resolve to the same.

`nginx` means `docker.io/library/nginx:latest`. A glob over images matches when it matches any of the names, so
that neither a short glob misses the long name nor the other way round.

Source: distribution/reference, `ParseNormalizedNamed` and `TagNameOnly`; containerd, `ParseDockerRef`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from webhook.policy.glob import Matches, matcher

_MAX_LENGTH = 1024
"""Longer references are invalid: 255 characters of name, 128 of tag, a digest."""
_DOCKER = "docker.io"
# Aliases of Docker Hub: the old name of its index, and those of its registry.
_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_LIBRARY = "library/"
_LATEST = ":latest"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_ID = re.compile(r"[0-9a-f]{64}")


def image_matcher(globs: Iterable[str]) -> Matches:
    """Return a predicate: whether an image has a name that any of the globs matches."""
    matches = matcher(image_globs(globs))
    return lambda image: any(map(matches, image_names(image)))


def image_globs(globs: Iterable[str]) -> tuple[str, ...]:
    """Return globs, and for those over an alias of Docker Hub also the glob over its canonical name."""
    return tuple(dict.fromkeys(form for glob in globs for form in (glob, _of_docker(glob))))


def _of_docker(glob: str) -> str:
    host, slash, rest = glob.partition("/")
    return f"{_DOCKER}/{rest}" if slash and host in _ALIASES else glob


def image_names(image: str) -> tuple[str, ...]:
    """Return the names of an image; an invalid reference has only the one that is written.

    Args:
        image: The reference as a pod has it.
    """
    return _names(image) if len(image) <= _MAX_LENGTH else (image,)


@lru_cache(maxsize=4096)
def _names(image: str) -> tuple[str, ...]:
    name, at, digest = image.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    host, rest = _split(path)
    if not _valid(host, rest) or not _fits(_TAG, tag, given=path != name) or not _fits(_DIGEST, digest, given=bool(at)):
        return (image,)
    prefixes = [f"{host}/"]
    if host == _DOCKER:
        prefixes.append("")
        if rest.startswith(_LIBRARY) and "/" not in rest.removeprefix(_LIBRARY):
            rest = rest.removeprefix(_LIBRARY)
            prefixes = [f"{_DOCKER}/{_LIBRARY}", f"{_DOCKER}/", _LIBRARY, ""]
    # Runtimes ignore a tag next to a digest.
    suffixes = [name[len(path) :] + at + digest, *([at + digest] if at else [])]
    if suffixes[0] in {"", _LATEST}:
        suffixes = ["", _LATEST]
    return tuple(dict.fromkeys([image, *(f"{prefix}{rest}{end}" for prefix in prefixes for end in suffixes)]))


def _split(path: str) -> tuple[str, str]:
    """Return the registry and the path in it, both as Docker normalises them."""
    first, slash, rest = path.partition("/")
    if not slash or not (set(first) & {".", ":"} or first == "localhost" or first != first.lower()):
        first, rest = _DOCKER, path
    elif first in _ALIASES:
        first = _DOCKER
    return first, rest if first != _DOCKER or "/" in rest else f"{_LIBRARY}{rest}"


def _valid(host: str, path: str) -> bool:
    if _ID.fullmatch(path.removeprefix(_LIBRARY)) or len(host) + 1 + len(path) > 255:
        return False
    return _HOST.fullmatch(host) is not None and _PATH.fullmatch(path) is not None


def _fits(form: re.Pattern[str], text: str, *, given: bool) -> bool:
    return not given or form.fullmatch(text) is not None
