"""From what there is to what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Finding, Severity
from webhook.analysis.diagnose.injectors import injectors
from webhook.analysis.diagnose.picture import Picture
from webhook.analysis.diagnose.ports import Place, Ports
from webhook.analysis.diagnose.sidecars import plain_sidecars
from webhook.analysis.diagnose.skipped import skipped_for_a_service
from webhook.analysis.diagnose.strict import strict_refuses

_ORDER = tuple(Severity)


def diagnose(picture: Picture) -> list[Finding]:
    """Everything that is wrong, the worst first.

    Args:
        picture: The workloads with their decisions, and what is around them.

    Returns:
        The findings; among equally bad ones those about one object stand together.
    """
    return sorted(_all(picture), key=lambda one: (_ORDER.index(one.severity), one.code.code, str(one.subject)))


def _all(picture: Picture) -> Iterator[Finding]:
    ports = list(Ports(picture).findings())
    wrong: dict[Place, Finding] = {
        (one.subject.namespace, one.subject.name, one.subject.port or 0): one for one in ports
    }
    yield from ports
    yield from injectors(picture)
    yield from plain_sidecars(picture)
    yield from strict_refuses(picture)
    yield from skipped_for_a_service(picture, wrong)
