"""Diagnose a cluster: run all checks, and sort their findings."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.decided import ports_not_bypassed, skipped_for_a_service
from webhook.analysis.diagnose.finding import Finding, Severity
from webhook.analysis.diagnose.hosts import hosts
from webhook.analysis.diagnose.injectors import injectors
from webhook.analysis.diagnose.peers import peer_ports
from webhook.analysis.diagnose.picture import Picture, Place
from webhook.analysis.diagnose.ports import Ports
from webhook.analysis.diagnose.tls import mutual_tls
from webhook.analysis.diagnose.workloads import plain_sidecars

_ORDER = tuple(Severity)


def diagnose(picture: Picture) -> list[Finding]:
    """Return all findings, the most severe first.

    Args:
        picture: The workloads with their decisions, and their context.

    Returns:
        The findings; within a severity sorted by code and object.
    """
    return sorted(_all(picture), key=lambda found: (_ORDER.index(found.severity), found.code.code, str(found.subject)))


def _all(picture: Picture) -> Iterator[Finding]:
    ports = list(Ports(picture).findings())
    wrong: dict[Place, Finding] = {
        (finding.subject.namespace, finding.subject.name, finding.subject.port or 0): finding for finding in ports
    }
    yield from ports
    yield from hosts(picture)
    yield from mutual_tls(picture)
    yield from peer_ports(picture)
    yield from plain_sidecars(picture)
    yield from skipped_for_a_service(picture, wrong)
    yield from ports_not_bypassed(picture)
    yield from injectors(picture)
