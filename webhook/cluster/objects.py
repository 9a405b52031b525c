"""What every object of the API has: its metadata; and what is known of an object that cannot be read.

The API server checks the built-in kinds. Of other kinds, and behind aggregated API servers and proxies, an object may
have fields of any type, texts that are no Unicode, or none of the fields that every object has.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct
from structlog.typing import FilteringBoundLogger

from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.fragments import members, place
from webhook.cluster.versions import Key
from webhook.kubernetes import names

_LONGEST_PROBLEM: Final = 200


class Meta(Struct, rename={"resource_version": "resourceVersion", "continue_": "continue"}):
    """The metadata of an object, a list or a Status."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = ""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


class _Object(Struct):
    metadata: Meta


_OBJECT = msgspec.json.Decoder(_Object)


class UnreadableError(ClusterError):
    """The metadata of an object cannot be read. The text says where."""


def named(item: Raw) -> Meta:
    """Return the metadata of an object.

    Raises:
        UnreadableError: It has no name, or its metadata cannot be read.
    """
    try:
        metadata = _OBJECT.decode(item).metadata
    except UNREADABLE as error:
        raise UnreadableError(problem_of(error, item)) from None
    if not metadata.name:
        raise UnreadableError("Object has no name - at `$.metadata.name`")
    return metadata


def salvaged(item: Raw) -> Meta:
    """Return as much of an object's metadata as can be read; without its name if it is not clear which object it is."""
    try:
        fields = members(members(bytes(item))["metadata"])
    except (msgspec.DecodeError, KeyError):
        return Meta()
    name, namespace, version = (_text(fields.get(one, b'""')) for one in ("name", "namespace", "resourceVersion"))
    return Meta("" if name is None or namespace is None else name, namespace or "", version or "")


def problem_of(error: Exception, item: Raw) -> str:
    """Return why an object cannot be read: the field and its type, and nothing that it holds."""
    if isinstance(error, msgspec.ValidationError):
        said = str(error)
        return said if len(said) <= _LONGEST_PROBLEM else said[:_LONGEST_PROBLEM] + "…"
    what = "Value is nested too deeply" if isinstance(error, RecursionError) else "Value is not valid UTF-8 JSON"
    return f"{what} - at `{place(bytes(item))}`"


class Skipped:
    """The objects of one kind that cannot be read and are left out. Each is logged once for each reason."""

    MOST: Final = 1000
    """How many are counted and logged."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._problems: dict[Key, str] = {}

    def __len__(self) -> int:
        """Return how many there are; those of a namespace whose name cannot be read count as one."""
        return len(self._problems)

    def __contains__(self, key: Key) -> bool:
        return key in self._problems

    def add(self, key: Key, problem: str) -> None:
        """Note an object that cannot be read."""
        before = self._problems.get(key)
        if before == problem or (before is None and len(self._problems) >= self.MOST):
            return
        self._problems[key] = problem
        namespace, name = (text[: names.LONGEST] for text in key)
        self._log.warning("object skipped: unexpected field type", namespace=namespace, name=name, problem=problem)

    def discard(self, key: Key) -> None:
        """Note an object that can be read, or is gone."""
        self._problems.pop(key, None)

    def retain(self, keys: set[Key]) -> None:
        """Forget all but these."""
        self._problems = {key: problem for key, problem in self._problems.items() if key in keys}


def _text(value: bytes) -> str | None:
    try:
        return msgspec.json.decode(value, type=str)
    except UNREADABLE:
        return None
