"""The store: Services find the images behind them, whatever comes first, and forget those that go."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.core.surroundings import Service, ServicePort, Services
from webhook.inventory.store import PodTemplate, Store

REDIS = PodTemplate({"app": "basket-data", "tier": "data"}, ("redis:7",))
SERVICE = Service("shop", "basket-data", (ServicePort(6379),), {"app": "basket-data"})


@pytest.fixture
def store():
    return Store()


def images(store):
    return store.service("shop", "basket-data").images


def test_a_service_has_the_images_of_the_workloads_that_it_selects(store):
    store.put_service(SERVICE)
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    store.put_template("Deployment", "shop", "web", PodTemplate({"app": "web", "tier": "data"}, ("web:1",)))
    store.put_template("Deployment", "other", "redis", PodTemplate({"app": "basket-data"}, ("other:1",)))

    assert images(store) == ("redis:7",)


def test_to_list_a_namespaces_services_does_not_go_through_its_workloads(store):
    """A tenant chooses how many there are of both, and every change of one has the list made again."""
    for number in range(1500):
        store.put_service(Service("shop", f"s{number}", selector={"app": "a"}))
        store.put_template("Deployment", "shop", f"d{number}", PodTemplate({"app": "a"}, (f"image:{number}",)))
    with measured() as work:
        listed = store.services("shop")

    assert len(listed) == 1500
    assert work.seconds < 0.1


def test_all_labels_of_the_selector_count(store):
    store.put_service(Service("shop", "basket-data", selector={"app": "basket-data", "role": "primary"}))
    store.put_template("StatefulSet", "shop", "redis", REDIS)

    assert images(store) == ()


def test_a_service_without_a_selector_has_no_images(store):
    store.put_service(Service("shop", "basket-data"))
    store.put_template("StatefulSet", "shop", "redis", REDIS)

    assert images(store) == ()


def test_a_workload_that_changes_or_goes_is_noticed_after_the_service_was_asked_for(store):
    store.put_service(SERVICE)
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    before = images(store)
    store.put_template("StatefulSet", "shop", "redis", PodTemplate(REDIS.labels, ("valkey:8",)))
    changed = images(store)
    store.drop_template("StatefulSet", "shop", "redis")

    assert (before, changed, images(store)) == (("redis:7",), ("valkey:8",), ())


def test_a_workload_whose_labels_change_is_no_longer_behind_the_service(store):
    store.put_service(SERVICE)
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    store.put_template("StatefulSet", "shop", "redis", PodTemplate({"app": "moved"}, REDIS.images))

    assert images(store) == ()


def test_a_service_that_changes_is_taken_over(store):
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    store.put_service(SERVICE)
    images(store)
    store.put_service(Service("shop", "basket-data", (ServicePort(6380),), {"app": "nothing"}))

    assert store.service("shop", "basket-data").ports == (ServicePort(6380),)
    assert images(store) == ()


def test_what_is_dropped_is_gone(store):
    store.put_namespace("shop", {"istio-injection": "enabled"})
    store.put_service(SERVICE)
    store.put_config_map("shop", "cfg", {})
    store.put_secret("shop", "key", {})
    store.drop_namespace("shop")
    store.drop_service("shop", "basket-data")
    store.drop_config_map("shop", "cfg")
    store.drop_secret("shop", "key")

    assert store.namespace_labels("shop") is None
    assert store.service("shop", "basket-data") is None
    assert store.config_map("shop", "cfg") is None
    assert store.secret("shop", "key") is None


def test_dropping_what_was_never_there_is_nothing(store):
    store.drop_template("Deployment", "shop", "redis")
    store.drop_service("shop", "basket-data")

    assert store.services("shop") == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put_service(Service("shop", "other")),
        lambda store: store.put_service(Service("shop", "basket-data", (ServicePort(1),))),
        lambda store: store.drop_service("shop", "basket-data"),
        lambda store: store.put_template("Deployment", "shop", "redis", REDIS),
        lambda store: store.drop_template("StatefulSet", "shop", "redis"),
    ],
)
def test_all_services_are_the_same_object_until_something_changes(store, change):
    store.put_service(SERVICE)
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    before = store.services("shop")
    assert store.services("shop") is before

    change(store)

    assert store.services("shop") is not before
    assert all(replace(store.service("shop", one.name), images=()) == one for one in store.services("shop"))


def test_what_is_worked_out_from_what_changes_meanwhile_is_not_kept(store):
    changes = []

    class Selector(dict):
        """A selector that is compared with a workload's labels, while that workload gets another image."""

        def items(self):
            if changes:
                changes.pop()()
            return super().items()

    store.put_service(Service("shop", "basket-data", selector=Selector(app="basket-data")))
    store.put_template("StatefulSet", "shop", "redis", REDIS)
    newer = PodTemplate(REDIS.labels, ("redis:8",))
    changes += [lambda: store.put_template("StatefulSet", "shop", "redis", newer), lambda: None]

    images(store)

    assert images(store) == ("redis:8",)


_LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"))


@given(st.lists(st.none() | _LABELS, max_size=6), _LABELS)
def test_the_services_found_by_label_are_those_that_select_the_pod_each_once(selectors, labels):
    services = Services(Service("shop", str(number), selector=one) for number, one in enumerate(selectors))

    found = list(services.selecting(labels))

    assert sorted(found, key=services.index) == [service for service in services if service.selects(labels)]
