"""Random meshes: many of them share a fake istiod, and none sees it."""

import resource

import pytest
import random_meshes
import simulator
from simulator import Call, Mesh, SimulatorError, pod

SECONDS = 15 * 60 * 2 / 10_000
"""Of processor time for a mesh: ten thousand in a quarter of an hour on two cores."""


def test_a_mesh_has_the_same_answers_alone_as_among_others():
    meshes = list(random_meshes.meshes(7, 60))
    together = simulator.simulate(meshes)
    alone = simulator.simulate(meshes, batch=1)
    # Why it is so may be said of one endpoint or another.
    for mesh in meshes:
        assert [(one.result, one.wire) for one in together[mesh.name]] == [
            (one.result, one.wire) for one in alone[mesh.name]
        ]
    assert {len(mesh.calls) == len(together[mesh.name]) for mesh in meshes} == {True}


def test_every_answer_is_known_and_every_result_occurs():
    answers = [one for several in simulator.simulate(random_meshes.meshes(1, 300)).values() for one in several]
    unknown = {one.why for one in answers if one.result == "unknown"}
    assert {why for why in unknown if "depends on the endpoint" not in why and "originates TLS" not in why} == set()
    assert {one.result for one in answers} == {
        "unknown",
        *("works", "hangs", "reset", "refused", "black hole"),
        *("protocol error", "error response"),
    }
    assert {one.wire for one in answers} == {"nothing", "connection", "plain", "mtls"}


def test_ten_thousand_meshes_fit_into_a_quarter_of_an_hour():
    meshes = list(random_meshes.meshes(2, 200))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    simulator.simulate(meshes)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took / len(meshes) < SECONDS


def test_meshes_that_share_addresses_are_not_run_together():
    def mesh(name, port):
        objects = [pod("server", name, "10.0.0.1", ports=[80]), pod("client", name, "10.0.0.2")]
        return Mesh(name, objects, [Call(f"{name}/client", "10.0.0.1", port, "http1")])

    answers = simulator.simulate([mesh("one", 80), mesh("same", 81)])
    assert [answers[name][0].result for name in ("one", "same")] == ["works", "error response"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call("here/nobody", "10.0.0.1", 80, "http1"), "call 0 is from here/nobody, which is no Pod of the mesh"),
        (Call("here/a", "10.0.0.1", 80, "gopher"), 'call 0 is of protocol "gopher"'),
    ],
)
def test_a_call_that_is_none_is_refused(call, message):
    with pytest.raises(SimulatorError, match=message):
        simulator.simulate([Mesh("x", [pod("a", "here", "10.0.0.1")], [call])])
