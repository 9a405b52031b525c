"""Write manifests as YAML that kubectl reads back unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """A YAML dumper that quotes strings which other parsers read as another type, and keeps long texts readable."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML calls it with the value
        """Write a value out wherever it occurs: anchors are legal, but no person expects them in a manifest."""
        return True


# Line breaks to YAML 1.1; only between double quotes do they survive.
_ODD_BREAKS = frozenset("\r\x85\u2028\u2029")


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if not _ODD_BREAKS.isdisjoint(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# PyYAML writes these strings plain, but kubectl's parser reads `y` as true, and `1e5` and `089` as numbers.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[.0-9]\S*$"), list("-+.0123456789"))


def dump(documents: Iterable[Any]) -> str:
    """Return the documents as one YAML stream, in their order; keys keep theirs."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
