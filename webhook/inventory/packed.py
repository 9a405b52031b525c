"""What the keys of a ConfigMap or Secret say, in a twentieth of the memory.

Most are never asked for: of those of a whole cluster, a pod reads two or three. As objects, the settings of one file
take many times the file's own size, and the garbage collector visits each of them again and again. So they are kept as
compressed bytes, and unfolded key by key when somebody asks; those that were asked for last stay unfolded, up to a
bound of their size, since what a ConfigMap of a megabyte says takes some thirty as objects.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from threading import Lock
from typing import Final

import msgspec
from msgspec import Raw

from webhook.detection.content import Content

UNFOLDED: Final = 4 * 1024 * 1024
"""Bytes of what stays unfolded, before it becomes objects of ten times the size; the last one stays in any case."""
# Of the smallest, in bytes.
_OVERHEAD = 1024
# More effort saves little, and costs half as much again when the cluster is read.
_EFFORT = 1
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_KEYS = msgspec.msgpack.Decoder(dict[str, Raw])
# One key at a time: a single call holds the interpreter, and a ConfigMap may have a hundred files.
_CONTENT = msgspec.msgpack.Decoder(Content)


class Packed(Mapping[str, Content]):
    """A mapping that is kept small. Comparing two does not unfold them."""

    __slots__ = ("_bytes", "_digest")

    def __init__(self, contents: Mapping[str, Content]) -> None:
        """Fold what the keys say."""
        self._bytes = zlib.compress(_ENCODER.encode(contents), _EFFORT)
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """The same of those that say the same, and of no others."""
        if not self._digest:
            self._digest = sha256(self._bytes).digest()
        return self._digest

    def __getitem__(self, key: str) -> Content:
        """What a key says."""
        return _RECENT.of(self._bytes).content(key)

    def __iter__(self) -> Iterator[str]:
        """The keys, sorted."""
        return iter(_RECENT.of(self._bytes).keys)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(_RECENT.of(self._bytes).keys)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return self._bytes == other._bytes if isinstance(other, Packed) else super().__eq__(other)

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Packed({dict(self)!r})"


class _Unfolded:
    """What was folded, each key as bytes until it is asked for."""

    __slots__ = ("_read", "keys", "size")

    def __init__(self, folded: bytes) -> None:
        text = zlib.decompress(folded)
        self.size = len(text) + _OVERHEAD
        self.keys = _KEYS.decode(text)
        self._read: dict[str, Content] = {}

    def content(self, key: str) -> Content:
        said = self._read.get(key)
        if said is None:
            said = self._read[key] = _CONTENT.decode(self.keys[key])
        return said


class _Recent:
    """What was unfolded last. It may be used from several threads."""

    def __init__(self) -> None:
        self.size = 0
        self._held: OrderedDict[bytes, _Unfolded] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, folded: bytes) -> _Unfolded:
        with self._lock:
            found = self._held.get(folded)
            if found is not None:
                self._held.move_to_end(folded)
                return found
        # Another thread may do the same at the same time, which is only work.
        found = _Unfolded(folded)
        with self._lock:
            before = self._held.pop(folded, None)
            self._held[folded] = found
            self.size += found.size - (0 if before is None else before.size)
            while self.size > UNFOLDED and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self.size -= oldest.size
        return found


_RECENT: Final = _Recent()
