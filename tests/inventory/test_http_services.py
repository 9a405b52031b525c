"""The Services of all namespaces that declare a port as HTTP, which capture it for everyone who sees them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.core.recording import RecordingView
from webhook.core.surroundings import Service, ServicePort, Services
from webhook.inventory.declared import MOST
from webhook.inventory.store import Store
from webhook.mesh.protocols import select

HTTP = ServicePort(6379, "http-web")


def named(services):
    return [f"{service.namespace}/{service.name}" for service in services]


def store_with(*services):
    store = Store()
    for service in services:
        store.put_service(service)
    return store


def test_the_oldest_comes_first_then_by_name_and_namespace():
    store = store_with(
        Service("b", "web", (HTTP,), created="2024-01-01T00:00:00Z"),
        Service("a", "web", (HTTP,), created="2024-01-01T00:00:00Z"),
        Service("c", "api", (HTTP,), created="2024-01-01T00:00:00Z"),
        Service("z", "old", (HTTP,), created="2020-01-01T00:00:00Z"),
    )

    assert named(store.http_services(6379)) == ["z/old", "c/api", "a/web", "b/web"]


def test_only_tcp_ports_that_are_declared_as_http_count():
    ports = (
        ServicePort(6379, "redis"),
        ServicePort(80, "http"),
        ServicePort(81),
        ServicePort(53, "http", transport="UDP"),
        ServicePort(443, "https"),
        ServicePort(90, app_protocol="kubernetes.io/h2c"),
    )
    store = store_with(Service("shop", "web", ports))

    assert [number for number in (6379, 80, 81, 53, 443, 90) if store.http_services(number)] == [80, 90]


def test_a_service_that_is_changed_or_dropped_is_no_longer_listed():
    service = Service("shop", "web", (HTTP, replace(HTTP, name="http-other")))
    store = store_with(service)
    before = store.http_services(6379)
    store.put_service(replace(service))
    assert store.http_services(6379) is before

    store.put_service(replace(service, selector={"app": "web"}))
    assert store.http_services(6379).digest != before.digest
    store.put_service(Service("shop", "web", (ServicePort(6379, "redis"),)))
    assert store.http_services(6379) == ()
    store.put_service(service)
    store.drop_service("shop", "web")
    assert store.http_services(6379) == ()


def test_an_answer_is_bounded_and_says_so():
    store = store_with(*(Service(f"n{number:04}", "web", (HTTP,)) for number in range(MOST)))
    whole = store.http_services(6379)
    assert (len(whole), whole.cut) == (MOST, False)

    store.put_service(Service("z1", "web", (HTTP,)))
    first = store.http_services(6379)
    assert (named(first), first.cut) == (named(whole), True)
    assert first.digest != whole.digest
    store.put_service(Service("z2", "web", (HTTP,)))
    assert store.http_services(6379) is first


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("cd"),
            st.lists(st.sampled_from([HTTP, ServicePort(6379), ServicePort(80, "http"), ServicePort(80, "grpc-x")])),
            st.sampled_from(["", "1", "2"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_the_index_is_what_a_search_of_all_services_finds(changes):
    store, kept = Store(), {}
    for namespace, name, ports, created, dropped in changes:
        if dropped:
            store.drop_service(namespace, name)
            kept.pop((namespace, name), None)
        else:
            kept[namespace, name] = Service(namespace, name, tuple(ports), created=created)
            store.put_service(kept[namespace, name])
        for number in (80, 6379):
            found = [
                service
                for service in kept.values()
                if any(
                    port.number == number and (protocol := select(port).protocol) and protocol.is_http
                    for port in service.ports
                )
            ]
            age = sorted(found, key=lambda service: (service.created, service.name, service.namespace))
            assert list(store.http_services(number)) == age


def test_twenty_thousand_services_are_indexed_and_changed_in_no_time():
    services = [
        Service(f"n{number % 500}", f"s{number}", (ServicePort(80, "http"),), created=str(number * 7919 % 20_000))
        for number in range(20_000)
    ]
    with measured() as work:
        store = store_with(*services)
    assert work.seconds < 2
    with measured() as work:
        for service in services[:200]:
            store.put_service(replace(service, selector={"app": "x"}))
            assert store.http_services(80).digest
    assert work.seconds < 1


def test_a_recording_view_asks_once():
    view = RecordingView(store_with(Service("shop", "web", (HTTP,))))

    assert named(view.http_services(6379)) == ["shop/web"]
    assert view.http_services(80) == Services()
    assert [(question.kind, question.name) for question in view.answers] == [("HTTP", "6379"), ("HTTP", "80")]
