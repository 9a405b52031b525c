import json

import pytest
import yaml

LABEL = "sidecar.istio.io/inject"
OTHERS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {flag: "y", when: "2024-01-01", script: "a\\nb\\n"}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
---"""


def labels_of(document):
    return document["spec"]["template"]["metadata"].get("labels", {})


def test_a_decision_is_written_into_the_pod_template_and_nowhere_else(run, deployment):
    ended = run("inject", "-f", "-", stdin=deployment("web"))

    (given,) = yaml.safe_load_all(deployment("web"))
    (injected,) = yaml.safe_load_all(ended.stdout)
    template = injected["spec"]["template"]["metadata"]
    assert template.pop("annotations")["sidecar-policy.dev/rule"] == "datastore-clients"
    assert template["labels"].pop(LABEL) == "false"
    assert injected == given


def test_other_documents_are_unchanged_and_in_order(run, deployment):
    given = list(yaml.safe_load_all(OTHERS + deployment("web")))

    injected = list(yaml.safe_load_all(run("inject", "-f", "-", stdin=OTHERS + deployment("web")).stdout))

    assert injected[:2] == given[:2]
    assert [document["kind"] for document in injected] == ["ConfigMap", "Widget", "Deployment"]


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_its_own_output_does_not_change_again(run, deployment, output):
    once = run("inject", "-f", "-", "-o", output, stdin=OTHERS + deployment("web")).stdout

    assert run("inject", "-f", "-", "-o", output, stdin=once).stdout == once


def test_json_is_one_list(run, deployment):
    listed = json.loads(run("inject", "-f", "-", "-o", "json", stdin=OTHERS + deployment("web")).stdout)

    assert (listed["kind"], len(listed["items"])) == ("List", 3)
    assert labels_of(listed["items"][2])[LABEL] == "false"


def test_a_list_on_one_line_is_injected_item_by_item(run, deployment):
    items = [yaml.safe_load(deployment("web")), yaml.safe_load(deployment("front", "http://web"))]
    line = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    web, front = yaml.safe_load_all(run("inject", "-f", "-", stdin=line).stdout)

    assert labels_of(web)[LABEL] == "false"
    assert LABEL not in labels_of(front)


def test_a_template_without_metadata_gets_it(run):
    job = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  jobTemplate:
    spec:
      template:
        spec: {containers: [{name: a, image: a, env: [{name: REDIS_URL, value: "redis://store:6379"}]}]}
"""
    (injected,) = yaml.safe_load_all(run("inject", "-f", "-", stdin=job).stdout)

    assert injected["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] == {LABEL: "false"}


@pytest.mark.parametrize("labels", ["", "metadata: {labels: null}, "])
def test_a_job_gets_the_decision_and_none_of_the_labels_that_kubernetes_adds(run, tmp_path, labels):
    (tmp_path / "policy.yaml").write_text(
        "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n  rules:\n"
        "  - {name: r, match: {labels: {matchExpressions: [{key: job-name, operator: Exists}]}}, action: skip}\n"
    )
    job = f"{{apiVersion: batch/v1, kind: Job, metadata: {{name: j}}, spec: {{template: {{{labels}spec: {{}}}}}}}}\n"
    (tmp_path / "job.yaml").write_text(job)

    (document,) = yaml.safe_load_all(run("inject", "-f", "job.yaml", "--policy", "policy.yaml").stdout)

    assert document["spec"]["template"]["metadata"]["labels"] == {"sidecar.istio.io/inject": "false"}


def test_nothing_is_printed_when_a_file_cannot_be_read(run):
    ended = run("inject", "-f", "nowhere.yaml")

    assert (ended.returncode, ended.stdout) == (3, "")


def test_an_object_that_cannot_be_understood_is_passed_on_and_told(run, deployment):
    bad = deployment("bad").replace("value: redis://store:6379", "value: 6379")

    ended = run("inject", "-f", "-", stdin=bad + "---" + deployment("web"))

    first, second = yaml.safe_load_all(ended.stdout)
    assert first == yaml.safe_load(bad)
    assert labels_of(second)[LABEL] == "false"
    assert ended.returncode == 3


def test_two_objects_on_one_line_are_told_apart(run, deployment):
    bad = deployment("bad").replace("value: redis://store:6379", "value: 6379")
    items = [yaml.safe_load(bad), yaml.safe_load(deployment("web"))]
    line = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    first, second = yaml.safe_load_all(run("inject", "-f", "-", stdin=line).stdout)

    assert first == items[0]
    assert labels_of(second)[LABEL] == "false"


def test_a_selector_that_is_an_alias_of_the_labels_keeps_what_it_selects(run, deployment):
    aliased = deployment("web").replace("matchLabels: {app: web}", "matchLabels: &labels {app: web}")
    aliased = aliased.replace("labels: {app: web}", "labels: *labels")

    (injected,) = yaml.safe_load_all(run("inject", "-f", "-", stdin=aliased).stdout)

    assert injected["spec"]["selector"]["matchLabels"] == {"app": "web"}
    assert labels_of(injected) == {"app": "web", LABEL: "false"}


@pytest.mark.parametrize("value", ["!!binary aGk=", "!!timestamp 2024-01-01", "!!set {a}"])
def test_a_value_that_json_cannot_hold_is_unreadable(run, value):
    ended = run("inject", "-f", "-", "-o", "json", stdin=f"apiVersion: v1\nkind: Widget\nspec: {value}\n")

    assert (ended.returncode, ended.stdout) == (3, "")
    assert "-:3: error: not valid YAML" in ended.stderr
