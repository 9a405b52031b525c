"""Which part of a volume a mount takes: its `subPath`, or its `subPathExpr` with the environment filled in."""

from __future__ import annotations

from collections.abc import Callable
from posixpath import normpath

from msgspec import Struct

from webhook.core.pod import VolumeMount
from webhook.detection.references import UNSET, expand_as_kubernetes


class SubPath(Struct, frozen=True, gc=False):
    """A file or folder of a volume.

    Attributes:
        begin: The path; where a part of it is not known, what stands before that part.
        end: What stands behind the last part that is not known; None when the whole path is known.
    """

    begin: str = ""
    end: str | None = None

    def is_file(self, path: str) -> bool:
        """Whether it is, or may be, this very file."""
        if self.end is None:
            return path == self.begin
        return bool(self.end) and path.startswith(self.begin) and path.endswith(self.end, len(self.begin))

    def covers(self, path: str) -> bool:
        """Whether it is, or may be, this file or a folder that the file is in."""
        if self.end is None:
            return not self.begin or path == self.begin or path.startswith(f"{self.begin}/")
        return path.startswith(self.begin) and f"{self.end}/" in f"{path}/"[len(self.begin) :]


WHOLE = SubPath()


def sub_path(mount: VolumeMount, value_of: Callable[[str], str | None]) -> SubPath:
    """Return the part of its volume that a mount takes.

    Args:
        mount: The mount.
        value_of: Gives a variable's value; None or "" for one whose value is not known.
    """
    if mount.sub_path:
        return SubPath(_normal(mount.sub_path))
    if not mount.sub_path_expr:
        return WHOLE
    known = expand_as_kubernetes(mount.sub_path_expr, lambda name: value_of(name) or None)
    begin, *rest = known.replace("$$", "$").split(UNSET)
    return SubPath(begin.removeprefix("./"), rest[-1].rstrip("/")) if rest else SubPath(_normal(begin))


def _normal(path: str) -> str:
    path = normpath(path)
    return "" if path == "." else path
