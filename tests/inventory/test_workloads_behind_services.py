"""The workloads behind a Service: what of their pods is kept, in how little memory, and when they count as unknown."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import msgspec
import pytest

from webhook.core.recording import RecordingView
from webhook.core.surroundings import Service, ServicePort
from webhook.inventory.manifests import read
from webhook.inventory.objects import TemplatedObject, created_by
from webhook.inventory.outlines import LONGEST_ANNOTATION, MOST_ANNOTATIONS, MOST_BYTES, template_of
from webhook.inventory.store import MOST_BACKINGS, PodTemplate, Store
from webhook.inventory.workloads import workload_of
from webhook.kubernetes.pod import Pod

SECRET = "opensesame"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "cache", "namespace": "shop", "uid": "u1"},
    "spec": {
        "template": {
            "metadata": {
                "labels": {"app": "cache"},
                "annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "6379", "team": "blue"},
            },
            "spec": {
                "serviceAccountName": "cache",
                "initContainers": [{"name": "istio-proxy", "image": "proxyv2", "restartPolicy": "Always"}],
                "containers": [
                    {
                        "name": "redis",
                        "image": "redis:7",
                        "command": ["redis-server", SECRET],
                        "args": [f"--requirepass={SECRET}"],
                        "env": [{"name": "REDIS_PASSWORD", "value": SECRET}],
                        "ports": [{"containerPort": 6379, "name": "redis"}],
                        "volumeMounts": [{"name": SECRET, "mountPath": "/data"}],
                        "livenessProbe": {"exec": {"command": ["redis-cli", "-a", SECRET]}},
                    }
                ],
                "volumes": [{"name": SECRET, "secret": {"secretName": SECRET}}],
            },
        }
    },
}
SERVICE = Service("shop", "cache", (ServicePort(6379),), {"app": "cache"})


def created(document=DEPLOYMENT):
    return created_by(document["kind"], msgspec.convert(document, TemplatedObject))


def store_with(*templates):
    store = Store()
    store.put_service(SERVICE)
    for name, template in templates:
        store.put_template("Deployment", "shop", name, template)
    return store


def pod(**metadata):
    spec = {"containers": [{"name": "redis", "image": "redis:7"}]}
    return msgspec.convert({"metadata": {"labels": {"app": "cache"}, **metadata}, "spec": spec}, Pod)


def outline(template):
    (backing,) = store_with(("cache", template)).behind("shop", "cache")
    return backing


def test_the_outline_is_that_of_the_pod_that_the_workload_would_create():
    backing = outline(created())

    assert (backing.kind, backing.namespace, backing.name, backing.cut) == ("Deployment", "shop", "cache", False)
    whole = workload_of(DEPLOYMENT, ("spec", "template"), "file:1").pod
    assert backing.outline.metadata == whole.metadata
    assert backing.outline.spec.service_account_name == "cache"
    assert backing.outline.named_ports == {"redis": 6379}
    assert [(one.name, one.image, one.restart_policy) for one in backing.outline.containers()] == [
        ("istio-proxy", "proxyv2", "Always"),
        ("redis", "redis:7", None),
    ]


def test_no_value_of_environment_arguments_commands_and_volumes_is_kept():
    assert SECRET not in repr(outline(created())) + repr(outline(created()).outline)
    assert SECRET.encode() not in created().packed


def test_files_and_a_watched_cluster_keep_the_same(tmp_path):
    (tmp_path / "all.json").write_text(
        msgspec.json.encode(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [
                    DEPLOYMENT,
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "metadata": {"name": "cache", "namespace": "shop"},
                        "spec": {"selector": {"app": "cache"}, "ports": [{"port": 6379}]},
                    },
                ],
            }
        ).decode()
    )

    assert read([str(tmp_path)]).behind("shop", "cache") == store_with(("cache", created())).behind("shop", "cache")


def test_workloads_are_in_the_order_of_their_names_whatever_came_first():
    template = template_of(pod())
    one, other = (store_with(*((name, template) for name in names)) for names in ("abc", "cba"))

    assert [backing.name for backing in one.behind("shop", "cache")] == ["a", "b", "c"]
    assert one.behind("shop", "cache").digest == other.behind("shop", "cache").digest


@pytest.mark.parametrize(
    "store",
    [
        Store(),
        store_with(),
        store_with(("cache", PodTemplate({"app": "cache"}, ("redis:7",)))),
        store_with(*((f"c{number}", template_of(pod())) for number in range(MOST_BACKINGS + 1))),
    ],
    ids=["no Service", "no workload", "workload without outline", "too many"],
)
def test_what_is_not_known_is_unknown_and_not_empty(store):
    assert store.behind("shop", "cache") is None


def test_a_service_without_a_selector_has_unknown_servers():
    store = store_with(("cache", created()))
    store.put_service(replace(SERVICE, selector=None))

    assert store.behind("shop", "cache") is None


def test_a_change_of_an_annotation_changes_the_digest_and_an_equal_template_does_not():
    store = store_with(("cache", created()))
    before = store.behind("shop", "cache")
    store.put_template("Deployment", "shop", "cache", created())
    assert store.behind("shop", "cache") is before

    changed = template_of(pod(annotations={"sidecar.istio.io/inject": "false"}))
    store.put_template("Deployment", "shop", "cache", changed)
    assert store.behind("shop", "cache").digest != before.digest
    store.drop_template("Deployment", "shop", "cache")
    assert store.behind("shop", "cache") is None


def test_a_recording_view_asks_once_and_does_not_look_for_missing_workloads_at_the_api_server():
    view = RecordingView(store_with())
    view.namespace_labels("shop")

    assert view.behind("shop", "cache") is None
    assert [question.kind for question in view.answers] == ["Namespace", "Behind"]
    assert [question.kind for question in view.missed] == ["Namespace"]


def test_istios_annotations_are_kept_where_others_are_cut():
    many = {f"checksum/{number}": "x" for number in range(MOST_ANNOTATIONS + 5)}
    backing = outline(template_of(pod(annotations=many | {"proxy.istio.io/config": "y" * 2 * LONGEST_ANNOTATION})))

    assert backing.cut
    assert len(backing.outline.annotations) == MOST_ANNOTATIONS + 1
    assert "proxy.istio.io/config" in backing.outline.annotations


def test_a_long_annotation_is_cut():
    backing = outline(template_of(pod(annotations={"note": "y" * (LONGEST_ANNOTATION + 1)})))

    assert backing.cut
    assert backing.outline.annotations == {}


def test_an_applied_manifest_is_not_kept_since_it_contains_the_environment():
    backing = outline(template_of(pod(annotations={"kubectl.kubernetes.io/last-applied-configuration": SECRET})))

    assert not backing.cut
    assert backing.outline.annotations == {}


def test_an_outline_is_never_large():
    document = {
        "metadata": {"labels": {"app": "cache"}},
        "spec": {"containers": [{"name": f"c{number}", "image": "x" * 10_000} for number in range(100)]},
    }
    template = template_of(msgspec.convert(document, Pod))

    assert len(template.packed) < MOST_BYTES
    assert outline(template).cut


def test_twenty_thousand_workloads_take_at_most_25_megabytes_more():
    def fill(*, outlines):
        store = Store()
        tracemalloc.start()
        for number in range(20_000):
            name = f"workload-{number}"
            document = DEPLOYMENT | {"metadata": {"name": name, "namespace": f"n{number % 500}", "uid": f"u{number}"}}
            template = created(msgspec.json.decode(msgspec.json.encode(document)))
            template = template if outlines else replace(template, packed=b"")
            store.put_template("Deployment", f"n{number % 500}", name, template)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return used

    assert fill(outlines=True) - fill(outlines=False) < 25_000_000
