"""The policies under which is measured."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

TEN = Path(__file__).with_name("policy.yaml")


def ten() -> dict[str, Any]:
    """The policy of ten rules."""
    return yaml.safe_load(TEN.read_text())


def grown(count: int) -> dict[str, Any]:
    """The policy of ten rules with more of its first nine before its last, to make so many.

    No two of them ask for the same: each has names of its own wherever it names something.
    """
    policy = ten()
    *asked, last = policy["spec"]["rules"]
    rules = [_renamed(asked[number % len(asked)], number) for number in range(count - 1)]
    policy["spec"]["rules"] = [*rules, last]
    return policy


def write(path: Path, count: int) -> Path:
    """Write a policy of so many rules into a file, and return it."""
    path.write_text(yaml.safe_dump(ten() if count == len(ten()["spec"]["rules"]) else grown(count), sort_keys=False))
    return path


def _renamed(rule: dict[str, Any], number: int) -> dict[str, Any]:
    renamed = copy.deepcopy(rule)
    renamed["name"] += f"-{number}"
    match = renamed["match"]
    for field in ("namespaces", "serviceAccounts"):
        if field in match:
            match[field] = [f"{number}-{glob}" for glob in match[field]]
    if "images" in match:
        match["images"] = [glob.replace(":", f"-{number}:") for glob in match["images"]]
    if "owners" in match:
        match["owners"] = [f"{owner}/{number}-*" for owner in match["owners"]]
    for field in ("labels", "annotations", "namespaceLabels"):
        if field in match:
            match[field] = {
                "matchLabels": {name: f"{text}-{number}" for name, text in match[field]["matchLabels"].items()}
            }
    if list(match) == ["dependencies", "confidence"]:
        match["labels"] = {"matchLabels": {"tier": f"backend-{number}"}}
    return renamed
