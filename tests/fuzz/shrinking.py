"""Make a failing case smaller, crudely: drop parts for as long as it fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
from cases import Case

SECONDS = 10.0
"""How long one case may be worked on."""


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Drop objects of the world and parts of the review, largest first, until no single one can go or time is over.

    Args:
        case: A case that fails.
        fails: Whether a smaller one fails in the same way.

    Returns:
        The smallest that was found.
    """
    deadline = time.monotonic() + SECONDS
    for world in ([], *([one] for one in case.world)):
        if time.monotonic() < deadline and fails(smaller := replace(case, world=world)):
            case = smaller
            break
    try:
        document = msgspec.json.decode(case.body)
    except ValueError:
        return _bytes_dropped(case, fails, deadline)
    changed = True
    while changed and time.monotonic() < deadline:
        changed = False
        for smaller_document in _smaller(document):
            if time.monotonic() > deadline:
                break
            smaller = replace(case, body=msgspec.json.encode(smaller_document))
            if len(smaller.body) < len(case.body) and fails(smaller):
                document, case, changed = msgspec.json.decode(smaller.body), smaller, True
                break
    return case


def _bytes_dropped(case: Case, fails: Callable[[Case], bool], deadline: float) -> Case:
    step = len(case.body) // 2
    while step and time.monotonic() < deadline:
        for at in range(0, len(case.body), step):
            smaller = case.with_body(case.body[:at] + case.body[at + step :])
            if time.monotonic() < deadline and fails(smaller):
                case = smaller
                break
        else:
            step //= 2
    return case


def _smaller(document: Any) -> Iterator[Any]:
    """Yield the document with one part gone at a time: shallow parts first. It is changed back before the next."""
    level: list[Any] = [document]
    while level:
        below: list[Any] = []
        for node in level:
            for key in list(node) if isinstance(node, dict) else list(range(len(node))):
                child = node[key]
                if isinstance(child, str) and len(child) > 8:
                    for half in (child[: len(child) // 2], child[len(child) // 2 :]):
                        node[key] = half
                        yield document
                    node[key] = child
                elif isinstance(child, (dict, list)):
                    below.append(child)
            if isinstance(node, list) and len(node) > 1:
                kept = node[:]
                for half in (kept[: len(kept) // 2], kept[len(kept) // 2 :]):
                    node[:] = half
                    yield document
                node[:] = kept
            elif isinstance(node, dict):
                for key in list(node):
                    kept_items = dict(node)
                    del node[key]
                    yield document
                    node.clear()
                    node.update(kept_items)
        level = below
