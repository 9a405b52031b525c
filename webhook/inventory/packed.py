"""zlib-compressed storage for parsed ConfigMaps and Secrets, in a twentieth of the memory.

Most are never looked up: of all those in a cluster, a pod refers to two or three. As objects, the settings of one file
take many times the file's size, and the garbage collector traverses each of them repeatedly. So they are stored
compressed and decoded lazily, key by key; the most recently used stay decompressed in a cache of bounded size, since
the parsed content of a 1 MB ConfigMap takes some 30 MB as objects.
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

from webhook.core.values import Content

UNFOLDED: Final = 4 * 1024 * 1024
"""Size of the cache in bytes, before decoding to objects of ten times the size; the latest entry always stays."""
# Size of the smallest entry, in bytes.
_OVERHEAD = 1024
# A higher level saves little memory, and takes half as long again when the cluster is read.
_EFFORT = 1
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_KEYS = msgspec.msgpack.Decoder(dict[str, Raw])
# One key at a time: a single call holds the GIL, and a ConfigMap may have a hundred files.
_CONTENT = msgspec.msgpack.Decoder(Content)


class Packed(Mapping[str, Content]):
    """A compressed mapping from keys to their content. Comparing two does not decompress them."""

    __slots__ = ("_bytes", "_digest")

    def __init__(self, contents: Mapping[str, Content]) -> None:
        """Compress the contents."""
        self._bytes = zlib.compress(_ENCODER.encode(contents), _EFFORT)
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """A SHA-256 digest of the contents: equal if and only if they are."""
        if not self._digest:
            self._digest = sha256(self._bytes).digest()
        return self._digest

    def __getitem__(self, key: str) -> Content:
        """Return the content of a key."""
        return _RECENT.of(self._bytes).content(key)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys, sorted."""
        return iter(_RECENT.of(self._bytes).keys)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(_RECENT.of(self._bytes).keys)

    def __eq__(self, other: object) -> bool:
        """Return whether both have equal contents."""
        return self._bytes == other._bytes if isinstance(other, Packed) else super().__eq__(other)

    def __hash__(self) -> int:
        """Return a hash that is consistent with equality."""
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Packed({dict(self)!r})"


class _Decompressed:
    """A decompressed mapping; each key's content is decoded on first access."""

    __slots__ = ("_read", "keys", "size")

    def __init__(self, compressed: bytes) -> None:
        text = zlib.decompress(compressed)
        self.size = len(text) + _OVERHEAD
        self.keys = _KEYS.decode(text)
        self._read: dict[str, Content] = {}

    def content(self, key: str) -> Content:
        content = self._read.get(key)
        if content is None:
            content = self._read[key] = _CONTENT.decode(self.keys[key])
        return content


class _Recent:
    """A thread-safe LRU cache of decompressed mappings."""

    def __init__(self) -> None:
        self.size = 0
        self._held: OrderedDict[bytes, _Decompressed] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, compressed: bytes) -> _Decompressed:
        with self._lock:
            found = self._held.get(compressed)
            if found is not None:
                self._held.move_to_end(compressed)
                return found
        # Another thread may do the same concurrently, which only duplicates work.
        found = _Decompressed(compressed)
        with self._lock:
            before = self._held.pop(compressed, None)
            self._held[compressed] = found
            self.size += found.size - (0 if before is None else before.size)
            while self.size > UNFOLDED and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self.size -= oldest.size
        return found


_RECENT: Final = _Recent()
