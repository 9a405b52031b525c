"""Decode the metadata of any API object, and as much as possible of an object that cannot be decoded.

The API server validates the built-in kinds. Custom resources, and objects from aggregated API servers and proxies, may
have fields of any type, strings that are not Unicode, or no metadata.
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


class ListedMeta(Struct, rename={"resource_version": "resourceVersion", "continue_": "continue"}):
    """The metadata of an object, a list or a Status."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = ""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


class _NamedObject(Struct):
    metadata: ListedMeta


_OBJECT = msgspec.json.Decoder(_NamedObject)


class UnreadableError(ClusterError):
    """The metadata of an object cannot be decoded. The text contains the path."""


def named(item: Raw) -> ListedMeta:
    """Return the metadata of an object.

    Args:
        item: The object's JSON.

    Raises:
        UnreadableError: It has no name, or its metadata cannot be decoded.
    """
    try:
        metadata = _OBJECT.decode(item).metadata
    except UNREADABLE as error:
        raise UnreadableError(problem_of(error, item)) from None
    if not metadata.name:
        raise UnreadableError("Object has no name - at `$.metadata.name`")
    return metadata


def salvaged(item: Raw) -> ListedMeta:
    """Return as much of an object's metadata as can be decoded; without a name if the object cannot be identified."""
    try:
        fields = members(members(bytes(item))["metadata"])
    except (msgspec.DecodeError, KeyError):
        return ListedMeta()
    name, namespace, version = (_text(fields.get(field, b'""')) for field in ("name", "namespace", "resourceVersion"))
    return ListedMeta("" if name is None or namespace is None else name, namespace or "", version or "")


def problem_of(error: Exception, item: Raw) -> str:
    """Return why an object cannot be decoded: the field's path and type, but no value.

    Args:
        error: The decoder's error.
        item: The object's JSON.
    """
    if isinstance(error, msgspec.ValidationError):
        said = str(error)
        return said if len(said) <= _LONGEST_PROBLEM else said[:_LONGEST_PROBLEM] + "…"
    what = "Value is nested too deeply" if isinstance(error, RecursionError) else "Value is not valid UTF-8 JSON"
    return f"{what} - at `{place(bytes(item))}`"


class Skipped:
    """The objects of one kind that are skipped because they cannot be decoded. Each is logged once per reason."""

    MOST: Final = 1000
    """Maximum number of objects that are counted and logged."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._problems: dict[Key, str] = {}

    def __len__(self) -> int:
        """Return the number of skipped objects; those of a namespace without a readable name count as one."""
        return len(self._problems)

    def __contains__(self, key: Key) -> bool:
        return key in self._problems

    def add(self, key: Key, problem: str) -> None:
        """Add an object, and log it if the problem is new."""
        before = self._problems.get(key)
        if before == problem or (before is None and len(self._problems) >= self.MOST):
            return
        self._problems[key] = problem
        namespace, name = (text[: names.LONGEST] for text in key)
        self._log.warning("object skipped: unexpected field type", namespace=namespace, name=name, problem=problem)

    def discard(self, key: Key) -> None:
        """Remove an object that can be decoded now, or was deleted."""
        self._problems.pop(key, None)

    def retain(self, keys: set[Key]) -> None:
        """Remove all objects but these."""
        self._problems = {key: problem for key, problem in self._problems.items() if key in keys}


def _text(value: bytes) -> str | None:
    try:
        return msgspec.json.decode(value, type=str)
    except UNREADABLE:
        return None
