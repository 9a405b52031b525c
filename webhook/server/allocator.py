"""Configure the C library's allocator to return the memory of large requests to the system."""

from __future__ import annotations

import ctypes
from typing import Final

_LARGE: Final = 64 * 1024
"""Bytes from which an allocation gets a mapping of its own; also the free memory kept at the end of the heap."""
# From malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def return_large_memory() -> None:
    """Return the memory of large allocations to the system as soon as they are freed, where the C library is glibc.

    By default glibc raises its threshold up to 32 MiB once a large block was freed. From then on bodies that grow, and
    their texts, leave gaps in the heaps, one for each thread, which take more memory than what is in use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
