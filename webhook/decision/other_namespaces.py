"""The part of a decision that a pod's author may see where objects of other namespaces contributed to it.

A user who may create a pod may name any Service in it, and sees the decision: in the pod, in warnings, Events and audit
annotations. The decision uses everything; what is shown is computed from the pod and its own namespace alone. So two
clusters that differ only in other namespaces show the same of a pod, except for what a rule did because of them: its
action, its name, the ports of the pod's own configuration that it excludes, and that there was something of which it
had no port.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from webhook.core.decision import Dependency, Findings
from webhook.core.ruling import Ruling

_HIDDEN = "a dependency in another namespace"


class Hiding(Struct, frozen=True):
    """A ruling that excludes no port which only objects of other namespaces contain.

    Attributes:
        ruling: For those who may see all.
        to_author: The same as the pod's author may see it.
    """

    ruling: Ruling
    to_author: Ruling


def only_own(findings: Findings) -> Findings:
    """Return the findings as if other namespaces had no objects."""
    return findings if findings.own is None else replace(findings, dependencies=findings.own, own=None)


def hide(ruling: Ruling, own: tuple[Dependency, ...], own_verdict: Ruling) -> Hiding:
    """Remove from a ruling what only objects of other namespaces contain.

    Args:
        ruling: The policy's ruling, given everything.
        own: The dependencies that the pod and its own namespace show.
        own_verdict: The policy's ruling, given nothing but those.
    """
    least, kinds = ruling.confidence.rank, ruling.kinds
    seen = [found for found in own if found.confidence.rank >= least and (kinds is None or found.kind in kinds)]
    written = [found for found in ruling.dependencies if not found.port_elsewhere]
    left_out = ruling.ports is None and len(written) < len(ruling.dependencies)
    carried_out = replace(ruling, dependencies=(*seen, *written), left_out=left_out)
    if own_verdict.rule == ruling.rule:
        matched = own_verdict.matched
    else:
        matched = _without_hidden(ruling, {f"dependency {found.kind}" for found in seen})
    return Hiding(carried_out, replace(carried_out, matched=matched, warnings=own_verdict.warnings))


def _without_hidden(ruling: Ruling, known: set[str]) -> tuple[str, ...]:
    """Return the phrases of a rule that matches only because of other namespaces, naming no kinds but `known`."""
    dependencies = {f"dependency {found.kind}" for found in ruling.dependencies}
    shown = [phrase for phrase in ruling.matched if phrase not in dependencies or phrase in known]
    if dependencies.intersection(ruling.matched) and not known.intersection(ruling.matched):
        shown.append(_HIDDEN)
    return tuple(shown)
