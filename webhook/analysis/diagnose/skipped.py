"""Find pods without a sidecar that could have one if Services were fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.analysis.diagnose.finding import Code, Finding, Mend, Subject
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.analysis.diagnose.ports import Place
from webhook.core.decision import Action

_BY_DEPENDENCY = "dependency "


def skipped_for_a_service(picture: Picture, wrong: Mapping[Place, Finding]) -> Iterator[Finding]:
    """Yield pods that the policy skips for dependencies whose Services are all known, and at least one is wrong."""
    for member in picture.members:
        if member.decision.action is Action.SKIP and (finding := _about(member, picture, wrong)) is not None:
            yield finding


def _about(member: Member, picture: Picture, wrong: Mapping[Place, Finding]) -> Finding | None:
    matched = member.decision.matched
    kinds = {phrase.removeprefix(_BY_DEPENDENCY) for phrase in matched if phrase.startswith(_BY_DEPENDENCY)}
    if not kinds:
        return None
    reached: dict[str, None] = {}
    fixable: dict[Place, Finding] = {}
    for dependency, service, port in picture.called(member):
        if dependency.kind in kinds:
            reached[dependency.kind] = None
            if found := wrong.get((service.namespace, service.name, port.number)):
                fixable[service.namespace, service.name, port.number] = found
    # A dependency outside the cluster, or without a known Service, may need to be skipped nevertheless.
    if kinds - reached.keys() or not fixable:
        return None
    names = ", ".join(f"{name}:{number}" for _, name, number in fixable)
    return Finding(
        code=Code.SKIPPED_FOR_A_SERVICE,
        subject=Subject(member.kind, member.namespace, member.name),
        message=f"rule {member.decision.rule} skips the sidecar; fixing Service {names} would make that unnecessary",
        evidence=tuple(dependency.evidence for dependency, _, _ in picture.called(member) if dependency.kind in kinds),
        mend=Mend(
            " && ".join(found.mend.command for found in fixable.values() if found.mend.command),
            None,
            "then remove the kind from the rule and restart the pods",
        ),
        severity=Code.SKIPPED_FOR_A_SERVICE.severity,
    )
