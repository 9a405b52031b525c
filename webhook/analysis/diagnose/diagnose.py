"""Diagnose a cluster: run all checks, and sort their findings."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Finding, Severity
from webhook.analysis.diagnose.injectors import injectors
from webhook.analysis.diagnose.picture import Picture
from webhook.analysis.diagnose.ports import Place, Ports
from webhook.analysis.diagnose.workloads import plain_sidecars, skipped_for_a_service, strict_refuses

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
    yield from injectors(picture)
    yield from plain_sidecars(picture)
    yield from strict_refuses(picture)
    yield from skipped_for_a_service(picture, wrong)
