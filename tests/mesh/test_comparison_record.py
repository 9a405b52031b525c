"""The record of the broken applications is about the manifests that there are."""

import pytest
import yaml
from applications import APPLICATIONS, DIRECTORY, OUTSIDE, RECORD


def test_the_record_is_of_these_applications():
    recorded = yaml.safe_load(RECORD.read_text())["applications"]
    assert {name: one["connection"] for name, one in recorded.items()} == {
        one.name: {"client": one.client, "server": f"{one.host}:{one.port}", "protocol": one.speaks}
        for one in APPLICATIONS
    }
    assert sorted(recorded) == sorted(file.stem for file in DIRECTORY.iterdir())


def test_none_of_their_connections_works():
    recorded = yaml.safe_load(RECORD.read_text())["applications"].values()
    assert not [one for one in recorded if one["envoy"]["result"] == "works"]


def test_analyze_reports_nothing_of_files_alone_as_the_page_says():
    recorded = yaml.safe_load(RECORD.read_text())
    assert "service.PortNameAnalyzer" in recorded["skipped by analyze without a cluster"]
    assert [one["analyze"]["file"] for one in recorded["applications"].values()] == [[]] * len(APPLICATIONS)


def test_no_two_share_a_namespace():
    every = [namespace for one in APPLICATIONS for namespace in one.namespaces()]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("one", APPLICATIONS, ids=lambda one: one.name)
def test_the_client_calls_what_the_manifests_have(one):
    objects = {
        (found["kind"], "/".join((found["metadata"].get("namespace", ""), found["metadata"]["name"]))): found
        for found in one.documents()
    }
    values = [env["value"] for env in containers(objects["Deployment", one.client])[0]["env"]]
    name, _, namespace = one.host.partition(".")
    assert any(name in value for value in values)
    assert any(str(one.port) in value for value in values)
    if one.host in OUTSIDE:
        return
    service = objects["Service", f"{namespace}/{name}"]["spec"]
    assert (one.port, one.target) in [(port["port"], port["targetPort"]) for port in service["ports"]]
    server = objects["Deployment", one.server]
    assert service["selector"].items() <= server["spec"]["template"]["metadata"]["labels"].items()
    assert {"containerPort": one.target} in containers(server)[0]["ports"]


def containers(deployment):
    return deployment["spec"]["template"]["spec"]["containers"]
