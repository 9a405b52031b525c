"""Which files of its volumes a container sees.

Of two sources of a volume with the same path the later one counts. Of two mounts the one with the longer path hides
what is below it, and of two with the same path the later one hides the other: container runtimes mount in this order.

Source: Kubernetes pkg/volume/projected (`collectData`), containerd's and CRI-O's order of mounts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from posixpath import normpath

from msgspec import Struct

from webhook.kubernetes.pod import ConfigMapVolume, ProjectedSource, SecretVolume, Volume


class Projection(Struct, frozen=True, gc=False):
    """One source of a volume.

    Attributes:
        kind: "ConfigMap", "Secret"; "" for a source that contains no configuration.
        name: The object's name.
        paths: The key and the path of each file; None for all keys, each under its own name.
        optional: Whether it may be absent.
    """

    kind: str
    name: str
    paths: list[tuple[str, str]] | None
    optional: bool | None


def projections(volume: Volume) -> Iterator[Projection]:
    """Yield the sources of a volume, in order: a later one replaces files of an earlier one with the same path."""
    if (config_map := volume.config_map) is not None:
        yield _object("ConfigMap", config_map.name, config_map)
    if (secret := volume.secret) is not None:
        yield _object("Secret", secret.secret_name, secret)
    for source in (volume.projected.sources or ()) if volume.projected is not None else ():
        if source.secret is not None:
            yield _object("Secret", source.secret.name, source.secret)
        elif source.config_map is not None:
            yield _object("ConfigMap", source.config_map.name, source.config_map)
        elif paths := [("", clean(path)) for path in _without_configuration(source)]:
            yield Projection("", "", paths, optional=True)


def _object(kind: str, name: str, source: ConfigMapVolume | SecretVolume) -> Projection:
    paths = [(item.key, clean(item.path)) for item in source.items or ()]
    return Projection(kind, name, paths or None, source.optional)


def _without_configuration(source: ProjectedSource) -> list[str]:
    if source.downward_api is not None:
        return [item.path for item in source.downward_api.items or ()]
    return [file.path for file in (source.service_account_token, source.cluster_trust_bundle) if file is not None]


class MountPoints:
    """Where volumes are mounted in one container."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = [_absolute(path) for path in paths]
        self._last = {path: index for index, path in enumerate(self._paths)}
        self._lengths = sorted(set(map(len, self._last)))

    def shows(self, index: int, path: str) -> bool:
        """Return whether the container sees a file of a mount.

        Args:
            index: Which mount.
            path: The file's path below it; "" for the mount itself.
        """
        whole = f"{self._paths[index]}/{path}" if path else self._paths[index]
        return next(self._mounted(whole), index) == index

    def cost(self, index: int, path: str) -> int:
        """Return how many characters `shows` looks at, at most."""
        length = len(self._paths[index]) + 1 + len(path)
        return length * bisect_right(self._lengths, length)

    def _mounted(self, path: str) -> Iterator[int]:
        """Yield the mounts that a path is in, those that are on top first."""
        for length in reversed(self._lengths[: bisect_right(self._lengths, len(path))]):
            if path[length : length + 1] in {"", "/"} and (found := self._last.get(path[:length])) is not None:
                yield found


def clean(path: str) -> str:
    """Return a relative path in normal form; "" for the folder itself."""
    path = normpath(path)
    return "" if path == "." else path


def _absolute(path: str) -> str:
    """Return an absolute path in normal form; "" for the root."""
    return normpath(f"/{path.strip('/')}").rstrip("/")
