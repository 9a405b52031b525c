"""The judge of connections agrees with Istio's own simulation in meshes that nobody thought of."""

import os
import random

import compared
import pytest
from changed import changed, renamed
from compared import differences, reduced
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_meshes import meshes, random_mesh
from simulator import SimulatorError, simulate

MESHES = int(os.environ.get("MESHES", "300"))
SEED = int(os.environ.get("MESH_SEED", "1"))
PART = 500


def found(those):
    """Where the two differ, each mesh with no more objects than are needed for it."""
    every = [one for _, _, one in differences(those, seconds=3600) if one is not None]
    return [str(reduced(one)) for one in every[:3]] + [str(one) for one in every[3:]]


def drawn(count):
    """Meshes that hypothesis draws: simple ones first, and others like those that it has drawn."""
    made = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def draw(drawing):
        made.append(random_mesh(len(made), drawing))

    draw()
    return made[:count]


def test_the_judge_agrees_in_every_mesh_that_is_drawn():
    made = drawn(MESHES)
    assert len(made) == MESHES
    told = [text for start in range(0, MESHES, PART) for text in found(made[start : start + PART])]
    assert not told, "\n".join(told)


def test_the_judge_agrees_in_every_mesh_of_a_seed():
    told = found(meshes(SEED, MESHES, root=0.02))
    assert not told, "\n".join(told)


def test_a_change_of_one_field_changes_the_verdict_where_it_changes_the_simulation():
    before = list(meshes(SEED + 1, MESHES))
    drawing = random.Random(SEED)
    after = [renamed(changed(mesh, drawing), f"changed {mesh.name}") for mesh in before]
    told = simulate([*before, *after])
    different = {mesh.name for mesh, other in zip(before, after, strict=True) if told[mesh.name] != told[other.name]}
    assert len(different) > MESHES / 20, "hardly any change changes anything"
    assert not (differing := found([*before, *after])), "\n".join(differing)


def test_a_difference_is_reduced_to_the_objects_that_it_needs(monkeypatch):
    monkeypatch.setattr(compared, "_agree", lambda answer, trace: answer.wire != "mtls")
    every = [one for _, _, one in differences(meshes(3, 60)) if one is not None]
    assert every
    one = min(every, key=lambda one: len(one.mesh.objects))
    assert len(reduced(one).mesh.objects) < len(one.mesh.objects)


def test_a_mesh_that_is_none_is_an_error():
    with pytest.raises(SimulatorError):
        simulate([renamed(next(meshes(1, 1)), "x"), *_broken()])


def _broken():
    mesh = next(meshes(1, 1))
    mesh.objects.append({"kind": "Node", "apiVersion": "v1", "metadata": {"namespace": "here", "name": "n"}})
    yield renamed(mesh, "y")
