"""What the keys of a ConfigMap or Secret say, in a twentieth of the memory.

Most are never asked for: of those of a whole cluster, a pod reads two or three. As objects, the settings of one file
take many times the file's own size, and the garbage collector visits each of them again and again. So they are kept as
compressed bytes, and unfolded when somebody asks; those that were asked for last stay unfolded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from webhook.detection.content import Content

UNFOLDED: Final = 128
"""How many stay unfolded: for ConfigMaps of 10 KB some 10 MB, in the whole process."""
# More effort saves little, and costs half as much again when the cluster is read.
_EFFORT = 1
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(dict[str, Content])


class Packed(Mapping[str, Content]):
    """A mapping that is kept small. Comparing two does not unfold them."""

    __slots__ = ("_bytes",)

    def __init__(self, contents: Mapping[str, Content]) -> None:
        """Fold what the keys say."""
        self._bytes = zlib.compress(_ENCODER.encode(contents), _EFFORT)

    def __getitem__(self, key: str) -> Content:
        """What a key says."""
        return _unfolded(self._bytes)[key]

    def __iter__(self) -> Iterator[str]:
        """The keys, sorted."""
        return iter(_unfolded(self._bytes))

    def __len__(self) -> int:
        """How many keys there are."""
        return len(_unfolded(self._bytes))

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return self._bytes == other._bytes if isinstance(other, Packed) else super().__eq__(other)

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Packed({dict(self)!r})"


@lru_cache(maxsize=UNFOLDED)
def _unfolded(folded: bytes) -> dict[str, Content]:
    return _DECODER.decode(zlib.decompress(folded))
