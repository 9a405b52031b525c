"""Cells of the matrix share pods and Services without disturbing each other."""

import itertools

import pytest
from matrix import Cell, matrix
from placement import WELL_KNOWN, client_of, place


@pytest.fixture(scope="module")
def placed():
    return place(matrix())


def test_every_cell_has_a_place_at_a_pod_and_a_service_that_are_as_it_says(placed):
    objects = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in placed.objects()}
    for cell, there in placed.places.items():
        service = objects["Service", there.service]
        port = next(one for one in service["ports"] if one["port"] == there.port)
        assert service["selector"] == {"app": there.server}
        assert (service.get("clusterIP") == "None") == (cell.address == "headless")
        assert port["targetPort"] == there.target
        assert (there.target == there.port) == (cell.target == "same")
        assert (there.port in WELL_KNOWN) == (cell.declared == "well-known")
        assert there.server.startswith(f"server-{cell.server}-{cell.peer.lower()}")
        rule = objects.get(("DestinationRule", there.service), {"trafficPolicy": {"tls": {"mode": "none"}}})
        assert rule["trafficPolicy"]["tls"]["mode"] == cell.rule
        assert (("Sidecar", there.server) in objects) == (cell.sidecar == "ingress")
        assert (("Sidecar", client_of(cell)) in objects) == (cell.sidecar == "egress")


def test_what_arrives_at_a_port_from_a_client_is_one_cells(placed):
    arrivals = [(client_of(cell), there.server, there.target) for cell, there in placed.places.items()]
    assert len(set(arrivals)) == len(arrivals)


def test_a_service_has_a_port_once_and_no_port_is_in_two_services_but_the_well_known(placed):
    places = list(dict.fromkeys(placed.places.values()))
    assert len({(one.service, one.port) for one in places}) == len(places)
    ports = [one.port for one in places if one.port not in WELL_KNOWN]
    assert len(set(ports)) == len(ports)


def test_at_a_pods_address_no_headless_services_port_is_another_cells(placed):
    for _, places in itertools.groupby(sorted(set(placed.places.values()), key=str), key=lambda one: one.server):
        here = list(places)
        for one, other in itertools.permutations(here, 2):
            if one.cell.address == "headless":
                assert one.port not in {other.target} | ({other.port} if other.cell.address == "headless" else set())


def test_more_cells_at_well_known_ports_than_there_are_ports_make_further_pods():
    cells = [
        Cell(declared="well-known", protocol=one) for one in ("client-first", "server-first", "tls", "http1", "http2")
    ]
    servers = {there.server for there in place(cells).places.values()}
    assert servers == {"server-sidecar-permissive", "server-sidecar-permissive-1"}
