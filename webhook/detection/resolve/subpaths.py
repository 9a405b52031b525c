"""Which part of a volume a mount takes: its `subPath`, or its `subPathExpr` with the environment filled in."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from webhook.detection.parse.references import UNSET, expand_as_kubernetes
from webhook.detection.resolve.mounts import clean
from webhook.kubernetes.pod import VolumeMount


class SubPath(Struct, frozen=True, gc=False):
    """A file or folder of a volume.

    Attributes:
        begin: The path; where a part of it is unknown, what precedes that part.
        end: What follows the last part that is unknown; None when the whole path is known.
    """

    begin: str = ""
    end: str | None = None

    def inside(self, path: str) -> str | None:
        """Return where a file of the volume is below the mount, as far as that is known; None where it is not in it.

        "" is the mount itself, which then is, or may be, this very file.
        """
        if self.end is not None:
            if not path.startswith(self.begin) or f"{self.end}/" not in f"{path}/"[len(self.begin) :]:
                return None
            return "" if self.end and path.endswith(self.end, len(self.begin)) else path
        if not self.begin or path == self.begin:
            return "" if self.begin else path
        return path.removeprefix(f"{self.begin}/") if path.startswith(f"{self.begin}/") else None


WHOLE = SubPath()


def sub_path(mount: VolumeMount, value_of: Callable[[str], str | None]) -> SubPath:
    """Return the part of its volume that a mount takes.

    Args:
        mount: The mount.
        value_of: Returns a variable's value; None or "" for one whose value is unknown.
    """
    if mount.sub_path:
        return SubPath(clean(mount.sub_path))
    if not mount.sub_path_expr:
        return WHOLE
    begin, *rest = expand_as_kubernetes(mount.sub_path_expr, lambda name: value_of(name) or UNSET).split(UNSET)
    return SubPath(begin.removeprefix("./"), rest[-1].rstrip("/")) if rest else SubPath(clean(begin))
