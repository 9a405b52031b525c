"""Find pods without a sidecar whose servers require mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Code, Finding, Mend, Subject
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.analysis.plan.impact import Consequences, Party
from webhook.detection.infer.called import called


def strict_refuses(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the workloads without a sidecar that call servers which accept mutual TLS only."""
    if not picture.istio.peers:
        return
    parties = [_party(member, picture) for member in picture.members]
    consequences = Consequences(parties, picture.surroundings, picture.istio)
    for party in parties:
        for refused in () if party.has_sidecar else consequences.refusals(party):
            yield Finding(
                code=Code.STRICT_REFUSES,
                subject=Subject(party.kind, party.namespace, party.name),
                message=f"it has no sidecar, and {refused.message}",
                evidence=refused.evidence,
                mend=Mend(note="keep its sidecar, or let the server accept plaintext: mtls mode PERMISSIVE"),
                severity=Code.STRICT_REFUSES.severity,
            )


def _party(member: Member, picture: Picture) -> Party:
    calls = {}
    if not member.gets_sidecar:
        calls = called(member.pod, member.namespace, picture.surroundings, picture.catalog)
    return Party(member.kind, member.namespace, member.name, member.pod, member.gets_sidecar, calls)
