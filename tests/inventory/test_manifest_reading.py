from __future__ import annotations

import io
import json
import os

import pytest

from webhook.core.facts import owners_of
from webhook.inventory import manifests
from webhook.inventory.manifests import ManifestError, read
from webhook.kubernetes.yaml import Limits

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
"""


def _read(*texts, **options):
    return read(["-"], stdin=io.StringIO("---\n".join(texts)), **options)


def test_json_may_escape_any_character():
    annotations = {"note": "\N{GRINNING FACE}\\ud83d\\ude00\\\N{GRINNING FACE}\u00e9"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations}}
    (workload,) = _read(json.dumps({"kind": "List", "apiVersion": "v1", "items": [pod]})).workloads

    assert workload.document["metadata"]["annotations"] == annotations


def test_a_workloads_pod_has_its_owner_namespace_and_name_prefix():
    (workload,) = _read(DEPLOYMENT).workloads

    assert (workload.kind, workload.namespace, workload.name) == ("Deployment", "shop", "web")
    assert workload.document["metadata"] == {
        "labels": {"app": "web"},
        "namespace": "shop",
        "generateName": "web-",
        "ownerReferences": [{"kind": "Deployment", "name": "web"}],
    }
    assert workload.source == "-:1"


def test_a_cron_jobs_pod_belongs_to_a_job_that_is_named_as_kubernetes_does_and_to_the_cron_job():
    spec = {"jobTemplate": {"spec": {"template": {}}}}
    job = json.dumps({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "n"}, "spec": spec})

    (workload,) = _read(job).workloads

    owners = [(owner.kind, owner.name) for owner in owners_of(workload.pod)]
    assert owners == [("Job", "n-29000000"), ("CronJob", "n")]


@pytest.mark.parametrize("labels", ["", "labels: {app: report}", "labels: null"])
@pytest.mark.parametrize(("kind", "above"), [("Job", "template"), ("CronJob", "jobTemplate: {spec: {template")])
def test_a_pod_of_a_job_has_the_labels_that_kubernetes_gives_it(kind, above, labels):
    below = "}}" if kind == "CronJob" else ""
    text = f"{{apiVersion: batch/v1, kind: {kind}, metadata: {{name: report}}, "
    text += f"spec: {{{above}: {{metadata: {{{labels}}}}}{below}}}}}\n"
    (workload,) = read(["-"], stdin=io.StringIO(text)).workloads

    given = {"app": "report"} if "app" in labels else {}
    job = {"Job": "report", "CronJob": "report-29000000"}[kind]
    assert workload.pod.labels == given | {"job-name": job, "batch.kubernetes.io/job-name": job}


def test_a_service_knows_the_images_behind_it():
    service = _read(SERVICE, DEPLOYMENT).service("shop", "web")

    assert service is not None
    assert service.images == ("nginx",)
    assert (service.ports[0].number, service.ports[0].target) == (80, "http")


def test_lists_are_taken_apart():
    items = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}],
    }

    assert [workload.name for workload in _read(json.dumps(items)).workloads] == ["p"]


def test_a_namespace_without_its_object_is_taken_to_be_in_the_mesh_and_that_is_said():
    manifests = _read(DEPLOYMENT)

    assert manifests.namespace_labels("shop") == {"istio-injection": "enabled"}
    assert manifests.notes == ("no Namespace object for 'shop' among the manifests: assuming istio-injection=enabled",)


def test_a_namespaces_own_labels_hold():
    namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b}}}\n"

    manifests = _read(namespace, DEPLOYMENT)

    assert manifests.namespace_labels("shop") == {"a": "b", "kubernetes.io/metadata.name": "shop"}
    assert manifests.notes == ()


def test_namespace_labels_can_be_given():
    assert _read(DEPLOYMENT, namespace_labels={"istio.io/rev": "x"}).namespace_labels("shop") == {"istio.io/rev": "x"}


def test_directories_are_read_in_name_order_without_hidden_entries(tmp_path):
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text(DEPLOYMENT.replace("name: web,", f"name: {name[0]},"))
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "c.yaml").write_text(DEPLOYMENT)

    assert [workload.name for workload in read([str(tmp_path)]).workloads] == ["a", "b"]


def test_dates_and_sexagesimal_numbers_stay_what_they_look_like():
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {day: 2026-11-24, port: 22:22}}, spec: {}}"

    (workload,) = _read(pod).workloads

    assert workload.pod.labels == {"day": "2026-11-24", "port": "22:22"}


def test_a_field_of_the_wrong_type_is_told_with_its_line_and_the_rest_is_read():
    broken = DEPLOYMENT.replace("name: web,", "name: broken,") + "        env:\n        - {name: PORT, value: 80}\n"

    manifests = _read(broken, DEPLOYMENT)

    assert [workload.name for workload in manifests.workloads] == ["web"]
    assert [str(problem) for problem in manifests.problems] == [
        "-:12: error: spec.template.spec.containers[0].env[0].value: expected `str | null`, got `int`"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "-:1: error: not valid YAML"),
        ("a: b\n  c: d\n", "-:2: error: not valid YAML"),
        ("replicas: 2\n", "-:1: error: not a Kubernetes object (every manifest has apiVersion and kind)"),
        ("", "-: error: no Kubernetes object found"),
        ("[" * 50_000, "-:1: error: nested deeper than 100 levels"),
    ],
)
def test_input_that_is_no_manifest_is_an_error_with_its_place(text, expected):
    with pytest.raises(ManifestError) as error:
        _read(text)

    assert str(error.value).startswith(expected)


def test_a_missing_file_is_named():
    with pytest.raises(ManifestError, match=r"gone\.yaml: error: cannot be read: No such file or directory"):
        read(["gone.yaml"])


def test_a_file_that_is_not_text_is_named(tmp_path):
    file = tmp_path / "image.yaml"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match="is not UTF-8 text"):
        read([str(file)])


def test_a_pipe_is_waited_for_only_where_that_is_wanted(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")

    for paths, pipes in [([tmp_path], True), ([tmp_path / "pipe.yaml"], False)]:
        with pytest.raises(ManifestError, match="it is a pipe and not a regular file"):
            read([str(path) for path in paths], pipes=pipes)


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    for name in "bcd":
        (tmp_path / name).symlink_to(tmp_path)

    assert len(read([str(tmp_path)]).objects) == 1


def test_a_file_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "MANIFESTS", Limits(1 << 20, levels=10, aliased=10))
    (tmp_path / "a.yaml").write_text("#" * ((1 << 20) + 1))

    with pytest.raises(ManifestError, match="more than 1 MiB"):
        read([str(tmp_path / "a.yaml")])
