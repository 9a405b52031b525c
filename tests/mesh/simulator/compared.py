"""Random meshes, followed by the judge of connections and by Istio's own simulation, and where the two differ.

python tests/mesh/simulator/compared.py --meshes 10000
"""

from __future__ import annotations

import argparse
import collections
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from judged import Judged
from random_meshes import meshes
from simulator import Answer, Call, Mesh, simulate

from webhook.mesh.trace import Trace

DEPENDS = "it depends on the endpoint"
PART = 500
"""Meshes that are made, simulated and judged at a time."""


@dataclass(frozen=True)
class Difference:
    """A call of which the two say different things."""

    mesh: Mesh
    call: Call
    simulated: Answer
    judged: Trace | None

    def __str__(self) -> str:
        told = self.simulated
        lines = [
            f"mesh {self.mesh.name}: {self.call}",
            f"  simulated {told.result}, {told.wire}: {told.why}; {told.outbound}; {told.inbound}",
            f"  judged    {_said(self.judged)}",
        ]
        return "\n".join(lines)


def differences(those: Iterable[Mesh], *, seconds: float = 900) -> Iterator[tuple[Call, Answer, Difference | None]]:
    """Yield each call of some meshes with what the simulation says, and a difference where the judge says otherwise."""
    every = list(those)
    told = simulate(every, seconds=seconds)
    for mesh in every:
        judged = Judged(mesh)
        for call, answer in zip(mesh.calls, told[mesh.name], strict=True):
            trace = judged.trace(call)
            yield call, answer, None if _agree(answer, trace) else Difference(mesh, call, answer, trace)


def reduced(difference: Difference) -> Difference:
    """Leave out of a mesh, as long as the two differ, one object after another."""
    alone = replace(difference.mesh, calls=[difference.call])
    while True:
        fewer = []
        for number, one in enumerate(alone.objects):
            if f"{one['metadata']['namespace']}/{one['metadata']['name']}" == difference.call.origin:
                continue
            left = [other for other in alone.objects if other is not one]
            fewer.append(replace(alone, name=str(number), objects=left))
        found = next((one for _, _, one in differences(fewer) if one is not None), None)
        if found is None:
            return difference
        difference = found
        alone = found.mesh


def _agree(answer: Answer, trace: Trace | None) -> bool:
    if trace is not None and trace.code == "tls-originated":
        return True
    if answer.result == "unknown":
        return answer.why.startswith(DEPENDS) and trace is None
    return trace is not None and (trace.result, trace.arrived) == (answer.result, answer.wire)


def _said(trace: Trace | None) -> str:
    if trace is None:
        return "that it depends on the server"
    return f"{trace.result}, {trace.arrived} ({trace.code}): {'; '.join(trace.evidence)}"


def main() -> None:
    """Say what came out how often, and print every difference."""
    parser = argparse.ArgumentParser(description="Compare the judge of connections with Istio's own simulation.")
    parser.add_argument("--meshes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first mesh")
    parser.add_argument(
        "--root", type=float, default=0.01, help="the share of meshes with objects in the root namespace"
    )
    parser.add_argument("--shown", type=int, default=20, help="how many differences are printed")
    parser.add_argument("--reduce", action="store_true", help="leave out of each what is not needed for it")
    asked = parser.parse_args()
    counted: collections.Counter[tuple[str, str]] = collections.Counter()
    found: list[Difference] = []
    started = time.monotonic()
    made = list(meshes(asked.seed, asked.first + asked.meshes, root=asked.root))[asked.first :]
    for start in range(0, len(made), PART):
        for _, answer, difference in differences(made[start : start + PART]):
            counted[answer.result, answer.wire] += 1
            if difference is not None:
                found.append(difference)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    took = time.monotonic() - started
    print(
        f"{len(made)} meshes, {counted.total()} calls: {took:.0f} s; of the simulation, {processor:.0f} s of processor"
    )
    for (result, wire), count in counted.most_common():
        print(f"{count:8} {result}, {wire}")
    for difference in found[: asked.shown]:
        one = reduced(difference) if asked.reduce else difference
        print(one)
        for document in one.mesh.objects if asked.reduce else ():
            print(f"    {document['kind']} {document['metadata']} {document['spec']} {document.get('status', '')}")
    if found:
        sys.exit(f"{len(found)} differences")


if __name__ == "__main__":
    main()
