"""The index of ServiceEntries: what decides about a connection, and no more."""

from ipaddress import ip_address

from webhook.mesh.config import IstioConfiguration


def entry(name, protocol="TCP", namespace="shop", number=3306, hosts=None, **spec):
    ports = [{"number": number, "name": "one", "protocol": protocol}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": hosts or [f"{name}.example.com"], "ports": ports, **spec},
    }


def concerning(*entries, host="", address=None, visible=lambda _: True):
    at_port = IstioConfiguration.of(entries).entries_at(3306)
    return [found.metadata.name for found, _ in at_port.concerning(host, address, "view", visible)]


def test_of_thousands_a_connection_depends_on_its_own_and_the_oldest():
    entries = [entry(f"e{number:04}") for number in range(5000)]
    assert concerning(*entries, host="e4000.example.com") == ["e0000", "e4000"]


def test_the_oldest_is_the_one_that_the_client_sees():
    entries = [entry(f"e{number}") for number in range(5)]
    assert concerning(*entries, visible=lambda found: found.metadata.name > "e2") == ["e3"]


def test_of_the_same_age_the_first_host_is_the_oldest():
    assert concerning(entry("a", hosts=["z.example.com"]), entry("b", hosts=["a.example.com"])) == ["b"]


def test_each_kind_has_its_oldest():
    entries = [entry("a"), entry("b", "TLS"), entry("c"), entry("d", "HTTP"), entry("e", addresses=["192.0.2.1"])]
    assert concerning(*entries) == ["a", "b", "d", "e"]


def test_addresses_ranges_and_wildcards_count():
    oldest = [entry("a"), entry("b", addresses=["192.0.2.1"]), entry("c", addresses=["192.0.2.0/30"])]
    later = [
        entry("d", addresses=["192.0.2.2"]),
        entry("e", addresses=["192.0.2.64/26"]),
        entry("f", hosts=["z.example.com", "*.example.com"]),
    ]
    assert concerning(*oldest, *later, address=ip_address("192.0.2.2")) == ["a", "b", "c", "d", "e", "f"]
    assert concerning(*oldest, *later, entry("g")) == ["a", "b", "c", "e", "f"]


def test_each_view_has_its_own():
    at_port = IstioConfiguration.of([entry("a"), entry("b")]).entries_at(3306)
    for view, seen in (("one", "a"), ("other", "b"), ("one", "a")):
        found = at_port.concerning("", None, view, lambda each, seen=seen: each.metadata.name == seen)
        assert [each.metadata.name for each, _ in found] == [seen]
