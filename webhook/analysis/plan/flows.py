"""The connections that another policy would break, heal, or take mutual TLS from.

They are those of the pods that it changes, and those of others that call such pods.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from webhook.analysis.connections import Connected
from webhook.core.verdict import Outcome, Security, Verdict
from webhook.verdicts.compose import Judged


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection of which another policy would make something else.

    Attributes:
        kind: The client: "Deployment".
        namespace: Its namespace.
        name: Its name.
        judged: The connection, with its verdict under the proposed policy.
        before: Its verdict under the current policy.
    """

    kind: str
    namespace: str
    name: str
    judged: Judged
    before: Verdict

    @property
    def after(self) -> Verdict:
        """Its verdict under the proposed policy."""
        return self.judged.verdict

    @property
    def at_fault(self) -> Verdict:
        """That of the two verdicts that says what breaks: of a connection that only loses mutual TLS, the second."""
        return self.before if self.before.outcome.breaks else self.after


@dataclass(frozen=True, slots=True)
class Flows:
    """What another policy would make of all connections.

    Attributes:
        broken: Those that flow now, and would not.
        healed: Those that do not flow now, and would.
        plaintext: Those that would lose mutual TLS.
        unknown: How many have no verdict, under either policy.
    """

    broken: Sequence[Flow] = field(default=())
    healed: Sequence[Flow] = field(default=())
    plaintext: Sequence[Flow] = field(default=())
    unknown: int = 0


def flows_of(before: Sequence[Connected], after: Sequence[Connected]) -> Flows:
    """Compare the connections of all workloads under two policies.

    Args:
        before: Under the current policy.
        after: Under the proposed one, of the same workloads in the same order.
    """
    broken, healed, plaintext, unknown = [], [], [], 0
    for flow in _both(before, after):
        first, then = flow.before, flow.after
        if Outcome.UNKNOWN in {first.outcome, then.outcome}:
            unknown += 1
        elif then.outcome.breaks and not first.outcome.breaks:
            broken.append(flow)
        elif first.outcome.breaks and not then.outcome.breaks:
            healed.append(flow)
        elif (first.security, then.security) == (Security.MTLS, Security.PLAINTEXT):
            plaintext.append(flow)
    return Flows(broken, healed, plaintext, unknown)


def _both(before: Sequence[Connected], after: Sequence[Connected]) -> Iterator[Flow]:
    """Yield the connections that are found under both policies, whose catalogs may differ."""
    for current, proposed in zip(before, after, strict=True):
        workload = current.decided.workload
        known = {_key(judged): judged.verdict for judged in current.connections}
        for judged in proposed.connections:
            if (verdict := known.get(_key(judged))) is not None:
                yield Flow(workload.kind, workload.namespace, workload.name, judged, verdict)


def _key(judged: Judged) -> Hashable:
    return judged.kind, judged.host, judged.port, judged.wire, judged.init


NO_FLOWS = Flows()
