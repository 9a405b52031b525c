"""Each case: manifests, a policy where it is not the default one, and what is expected of both ways to ask."""

import asyncio
import base64
import io
import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import jsonpatch
import pytest
import yaml
from prometheus_client import CollectorRegistry
from serialised import as_serialised
from typer.testing import CliRunner

from webhook.cli.main import app as command_line
from webhook.inventory.manifests import read
from webhook.policy.load import default_policy, load
from webhook.server.admission.pods import Decider
from webhook.server.http.app import create_app
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer
from webhook.server.settings import Limits, LogFormat

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/manifests.yaml"))
TEMPLATES = {"Pod": [], "CronJob": ["spec", "jobTemplate", "spec", "template"]}
HASH = "7d9c5b8f6"


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    return request.param


def test_the_command_line_decides_as_expected(case, pytestconfig):
    said = by_command_line(case)

    expected = case / "expected.json"
    if pytestconfig.getoption("--update-golden"):
        expected.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    assert said == json.loads(expected.read_text())


@pytest.mark.parametrize("form", [deepcopy, as_serialised], ids=["as written", "as the API server serialises it"])
def test_the_server_decides_as_expected(case, form):
    expected = json.loads((case / "expected.json").read_text())

    assert over_http(case, form) == {name: one["decision"] for name, one in expected.items()}


def test_the_server_leaves_a_patched_pod_as_it_is(case):
    ask = server(case)
    for document in workloads(case):
        once, _ = ask(as_serialised(pod_of(document)))

        assert ask(once)[0] == once


def test_no_value_is_shown(case):
    shown = json.dumps(by_command_line(case)) + json.dumps(over_http(case))

    assert "canary" not in shown


def by_command_line(case):
    explained = json.loads(command(case, "explain"))
    injected = {name_of(document): document for document in json.loads(command(case, "inject"))["items"]}
    return {
        f"{one['kind']}/{one['name']}": {
            "decision": {key: one[key] for key in ("action", "rule", "mode", "reason", "warnings")}
            | metadata_of(template_of(injected[f"{one['kind']}/{one['name']}"])),
            "explanation": {key: one[key] for key in ("dependencies", "serves", "unknown", "matched", "ports", "hold")},
        }
        for one in explained
    }


def command(case, name):
    policy = ["--policy", str(case / "policy.yaml")] if (case / "policy.yaml").exists() else []
    result = CliRunner().invoke(command_line, [name, "-o", "json", "-f", str(case / "manifests.yaml"), *policy])
    assert result.exit_code == 0, result.output
    return result.stdout


def over_http(case, form=as_serialised):
    ask = server(case)
    said = {}
    for document in workloads(case):
        pod, response = ask(form(pod_of(document)))
        audited = response["auditAnnotations"]
        said[name_of(document)] = {
            "action": audited["decision"],
            "rule": audited.get("rule"),
            "mode": audited["mode"],
            "reason": audited["reason"],
            "warnings": [warning.removeprefix("sidecar-policy: ") for warning in response.get("warnings", [])],
        } | metadata_of(pod)
    return said


def server(case):
    """Asks the application behind the TLS port; gives the patched pod and the response."""
    policy = load([case / "policy.yaml"]) if (case / "policy.yaml").exists() else default_policy()
    surroundings = read([str(case / "manifests.yaml")])
    observer = Observer(Metrics(CollectorRegistry()), make_logger(io.StringIO(), LogFormat.JSON))
    app = create_app(Decider(SimpleNamespace(current=policy), surroundings), observer, Limits())

    def ask(pod):
        request = {
            "uid": "0b5e",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": pod["metadata"]["namespace"],
            "object": pod,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        response = json.loads(asyncio.run(post(app, "/mutate", json.dumps(review).encode())))["response"]
        assert (response["uid"], response["allowed"]) == ("0b5e", True)
        return jsonpatch.apply_patch(pod, base64.b64decode(response.get("patch", "W10="))), response

    return ask


async def post(app, path, body):
    sent, messages = [], [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    assert sent[0]["status"] == 200
    return sent[1]["body"]


def workloads(case):
    documents = list(yaml.safe_load_all((case / "manifests.yaml").read_text()))
    return [document for document in documents if template_of(document) is not None]


def pod_of(document):
    """The pod that the workload's controller asks for: its owner is the nearest, as in a cluster."""
    kind, name = document["kind"], document["metadata"]["name"]
    pod = deepcopy(template_of(document))
    metadata = pod["metadata"] = pod.get("metadata") or {}
    metadata["namespace"] = document["metadata"]["namespace"]
    owner = {
        "Deployment": {"kind": "ReplicaSet", "name": f"{name}-{HASH}"},
        "CronJob": {"kind": "Job", "name": f"{name}-29384756"},
    }.get(kind, {"kind": kind, "name": name})
    if kind != "Pod":
        metadata["generateName"] = f"{owner['name']}-"
        metadata["ownerReferences"] = [owner | {"controller": True}]
    if kind == "Deployment":
        metadata["labels"] = metadata["labels"] | {"pod-template-hash": HASH}
    return pod


def template_of(document):
    found = document
    for step in TEMPLATES.get(document["kind"], ["spec", "template"]):
        found = found.get(step) or {}
    return found if "containers" in found.get("spec", {}) else None


def metadata_of(pod):
    metadata = pod.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != "pod-template-hash"}
    return {"labels": labels, "annotations": metadata.get("annotations") or {}}


def name_of(document):
    return f"{document['kind']}/{document['metadata']['name']}"
