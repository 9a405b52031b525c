"""The API server goes and comes back; a control plane of its own, since nobody else would like that."""

import shutil

import pytest
import shop
from api import eventually
from controlplane import control_plane
from product import PolicyServer

PATCHED = {"patchType": "JSONPatch"}


@pytest.fixture(scope="module")
def gone_and_back(tools):
    """What the server said while the API server was there, gone, and back."""
    with control_plane(tools) as plane:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        plane.api.apply(namespace | {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}})
        plane.api.apply(*(_in_shop(document) for document in shop.OBJECTS))
        server = PolicyServer(plane, shop.policy(shop.SKIP_CLIENTS))
        said = {"there": _said(server)}
        plane.api_server.stop(grace=20)
        eventually(lambda: server.metric(STALENESS) > 5, what="it is noticed")
        said["gone"] = _said(server)
        plane.start_api_server()
        eventually(lambda: server.get("/readyz") == "ok\n", seconds=60, what="all is followed again")
        said["back"] = _said(server)
        plane.api.merge("ConfigMap", "cfg-basket", {"data": {"ConnectionString": "", "EventBusConnection": ""}}, "shop")
        eventually(lambda: "patch" not in _review(server), what="an edit is seen")
        said["log"] = server.log("watch failed")
    shutil.rmtree(plane.directory)
    return said


STALENESS = "sidecar_policy_inventory_staleness_seconds"


def _in_shop(document):
    return document | {"metadata": document["metadata"] | {"namespace": "shop"}}


def _review(server):
    return server.review(_in_shop(shop.pod("client", shop.client_spec())), path="/mutate")


def _said(server):
    return {"ready": server.get("/readyz"), "answer": _review(server), "behind": server.metric(STALENESS)}


def test_all_is_well_while_it_is_there(gone_and_back):
    assert gone_and_back["there"]["ready"] == "ok\n"
    assert gone_and_back["there"]["behind"] == 0
    assert "patch" in gone_and_back["there"]["answer"]


def test_while_it_is_gone_the_last_known_state_is_used_and_said_to_be_so(gone_and_back):
    assert gone_and_back["gone"]["answer"] == gone_and_back["there"]["answer"]
    assert "the last known state of " in gone_and_back["gone"]["ready"]
    assert "cannot be reached" in gone_and_back["gone"]["ready"]
    assert gone_and_back["gone"]["behind"] > 5


def test_it_is_logged_once_for_each_resource(gone_and_back):
    resources = [line["resource"] for line in gone_and_back["log"] if "cannot be reached" in line["problem"]]

    assert sorted(resources) == sorted({*resources})
    assert "ConfigMap" in resources


def test_when_it_is_back_nothing_is_behind(gone_and_back):
    assert gone_and_back["back"]["behind"] == 0
    assert "patch" in gone_and_back["back"]["answer"]
