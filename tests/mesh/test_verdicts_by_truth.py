"""The judge says of every connection that was measured on real sidecars what was measured."""

import cells
import pytest
import sights
import truth
from judged import Judged
from matrix import Cell
from truth import Sight

from webhook.core.verdict import End, Outcome, Security
from webhook.mesh.connections import judge

OUTCOMES = {
    "works": Outcome.FLOWS,
    "protocol error": Outcome.PROTOCOL_ERROR,
    "error response": Outcome.PROTOCOL_ERROR,
    "hangs": Outcome.HANGS,
    "reset": Outcome.REFUSED,
    "refused": Outcome.REFUSED,
    "black hole": Outcome.BLACKHOLED,
}
"""What a verdict calls what a client saw."""
SECURITY = {"plain": Security.PLAINTEXT, "mtls": Security.MTLS}


@pytest.fixture(scope="module")
def measured():
    return truth.load(truth.PATH.read_text())


@pytest.fixture(scope="module")
def judged(measured):
    """What was measured, with the mesh and the call."""
    found: dict = {}
    meshes: list = [*cells.meshes(key for key in measured if isinstance(key, Cell)), *sights.every()]
    for keys, mesh in meshes:
        there = Judged(mesh)
        found |= {key: (there, call) for key, call in zip(keys, mesh.calls, strict=True)}
    return found


def seen(measured, key):
    """What was seen of a connection: all of it, where it was not always the same."""
    return {(one.result, one.wire) for one in (measured[key].seen, *measured[key].flaky)}


def test_nothing_that_was_measured_is_left_out(measured, judged):
    assert {key for key in measured if key not in judged} == {
        key for key in measured if isinstance(key, Sight) and key.step == "kept open"
    }


def test_every_connection_ends_as_it_was_measured(measured, judged):
    different = []
    for key, (there, call) in judged.items():
        trace = there.trace(call)
        if trace is None or (trace.result, trace.arrived) not in seen(measured, key):
            different.append(f"{key}: measured {measured[key].seen}, judged {trace}")
    assert not different, "\n".join(different)


def test_every_verdict_says_what_the_client_saw(measured, judged):
    different = []
    for key, (there, call) in judged.items():
        verdict = judge(there.connection(call), there.mesh)
        expected = {
            (OUTCOMES[result], SECURITY[wire] if result == "works" else None) for result, wire in seen(measured, key)
        }
        # That a proxy refuses a request to a host that it does not know is a response, and leads nowhere all the same.
        if verdict.code == "not-in-registry" and seen(measured, key) == {("error response", "nothing")}:
            expected = {(Outcome.BLACKHOLED, None)}
        if (verdict.outcome, verdict.security) not in expected:
            different.append(f"{key}: measured {measured[key].seen}, judged {verdict}")
    assert not different, "\n".join(different)


def test_what_breaks_at_the_client_never_arrives_and_the_rest_does(measured, judged):
    different = []
    for key, (there, call) in judged.items():
        verdict = judge(there.connection(call), there.mesh)
        arrived = {wire for _, wire in seen(measured, key)} != {"nothing"}
        breaks = verdict.outcome is not Outcome.FLOWS
        if verdict.at is not ((End.SERVER if arrived else End.CLIENT) if breaks else None):
            different.append(f"{key}: measured {measured[key].seen}, judged {verdict}")
    assert not different, "\n".join(different)


def test_every_verdict_has_evidence_of_each_hop_and_nothing_is_missing(judged):
    for there, call in judged.values():
        verdict = judge(there.connection(call), there.mesh)
        assert verdict.evidence, call
        assert verdict.missing == ()
        assert verdict.code
