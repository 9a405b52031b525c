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
    level = [document]
    while level:
        for node in level:
            for changed in _changed(node):
                node_kept = _emptied(node)
                _filled(node, changed)
                yield document
                _emptied(node)
                _filled(node, node_kept)
        level = [child for node in level for child in _values(node) if isinstance(child, (dict, list))]


def _changed(node: Any) -> list[Any]:
    """What a mapping or a sequence could be instead: without a key, one half of it, or with one half of a string."""
    if isinstance(node, list):
        dropped: list[Any] = _halves(node) if len(node) > 1 else []
    else:
        dropped = [{name: value for name, value in node.items() if name != key} for key in node]
    keys = list(node) if isinstance(node, dict) else range(len(node))
    texts = [(key, half) for key in keys if isinstance(node[key], str) for half in _halves(node[key])]
    return [*dropped, *(_with(node, key, half) for key, half in texts if len(node[key]) > 8)]


def _halves(whole: Any) -> list[Any]:
    middle = len(whole) // 2
    return [whole[:middle], whole[middle:]]


def _with(node: Any, key: Any, value: Any) -> Any:
    copied = node.copy()
    copied[key] = value
    return copied


def _values(node: Any) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node


def _emptied(node: Any) -> Any:
    kept = node.copy()
    node.clear()
    return kept


def _filled(node: Any, content: Any) -> None:
    if isinstance(node, dict):
        node.update(content)
    else:
        node.extend(content)
