"""A large Service or workload takes little memory once it is read: a tenant may make as many as fit into etcd."""

from __future__ import annotations

import tracemalloc
from functools import partial

import msgspec
import pytest

from webhook.inventory.objects import MOST_PORTS, ServiceObject, TemplatedObject, created_by, service_of
from webhook.inventory.outlines import MOST_IMAGES, MOST_LABELS
from webhook.inventory.store import Store

MANY = 30_000
META = {"name": "large", "namespace": "tenant"}


def _service(labels, ports):
    made = [{"port": 1 + number, "name": f"p{number}"} for number in range(ports)]
    return {"metadata": META, "spec": {"selector": {f"k{number}": "v" for number in range(labels)}, "ports": made}}


def _workload(labels, images):
    containers = [{"name": f"c{number}", "image": f"redis-{number}:7"} for number in range(images)]
    template = {"metadata": {"labels": {f"k{number}": "v" for number in range(labels)}}}
    return {"metadata": META, "spec": {"template": template | {"spec": {"containers": containers}}}}


def _read_service(document):
    return service_of(msgspec.convert(document, ServiceObject), "tenant")


def _read_template(document):
    return created_by("Deployment", msgspec.convert(document, TemplatedObject))


def _put(store, document):
    if "ports" in document["spec"]:
        store.put_service(_read_service(document))
        assert store.services("tenant").digest
    else:
        store.put_template("Deployment", "tenant", "large", _read_template(document))


@pytest.mark.parametrize(
    "large",
    [partial(_service, MANY, 5), partial(_service, 1, MANY), partial(_workload, MANY, 1), partial(_workload, 1, MANY)],
)
def test_an_object_of_a_megabyte_takes_no_more_than_that(large):
    document, store = large(), Store()
    tracemalloc.start()
    try:
        _put(store, document)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 500_000


def test_what_is_within_the_limits_is_read_to_the_end():
    service = _read_service(_service(MOST_LABELS, MOST_PORTS))
    template = _read_template(_workload(MOST_LABELS, MOST_IMAGES))

    assert (len(service.ports), len(service.selector)) == (MOST_PORTS, MOST_LABELS)
    assert service.selects(template.labels)
    assert len(template.images) == MOST_IMAGES


def test_a_selector_that_is_not_read_selects_nothing():
    """Of a part of it more pods would be selected than of the whole."""
    labels = {f"k{number}": "v" for number in range(MOST_LABELS + 1)}

    assert not _read_service(_service(MOST_LABELS + 1, 1)).selects(labels)
