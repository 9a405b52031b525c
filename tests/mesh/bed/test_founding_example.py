"""A cache behind a port declared as HTTP: which end's sidecar breaks it, and which remedy heals it."""

import asyncio

import pytest
from sidecar import Sidecar
from speakers import PROTOCOL_ERROR, WORKS, dial, serving
from wire import MTLS, PLAIN, Wire

SHOP = "founding"
PORT = 6379
CLIENTS = {
    "sidecar": Sidecar(),
    "none": None,
    "bypassed": Sidecar(exclude_outbound=(PORT,)),
}
SERVERS = {
    "sidecar": Sidecar(),
    "none": None,
    "bypassed": Sidecar(exclude_inbound=(PORT,)),
}


def service(server, **port):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": SHOP, "name": f"basket-{server}"},
        "spec": {"selector": {"app": f"server-{server}"}, "ports": [{"name": "http", "port": PORT, **port}]},
    }


@pytest.fixture(scope="module")
def shop(bed):
    bed.namespace(SHOP)
    for name, proxy in CLIENTS.items():
        bed.pod(f"client-{name}", SHOP, proxy=proxy)
    for name, proxy in SERVERS.items():
        bed.pod(f"server-{name}", SHOP, proxy=proxy, ports=[PORT])
        bed.apply(service(name))
    bed.ready()
    bed.in_force()
    yield bed
    for name in SERVERS:
        bed.delete("Service", f"basket-{name}", SHOP)
    for name in [f"client-{name}" for name in CLIENTS] + [f"server-{name}" for name in SERVERS]:
        bed.delete_pod(name)


def ask(bed, client, server):
    """What the client sees of a connection to the server's Service, and what arrives at the server."""

    async def asked():
        there, here = bed.pods[f"server-{server}"].network, bed.pods[f"client-{client}"].network
        address = bed.plane.api.get("Service", f"basket-{server}", SHOP)["spec"]["clusterIP"]
        wire = Wire(there)
        async with serving(there, {PORT: "client-first"}):
            with wire.watching():
                names = {"host": f"basket-{server}.{SHOP}", "authority": bed.plane.authority.certificate}
                outcome = await dial(here, address, PORT, "client-first", **names)
                return outcome.result, wire.seen(here.address, PORT), outcome.detail

    return asyncio.run(asked())


@pytest.mark.parametrize("client", CLIENTS)
def test_declared_http_breaks_at_the_servers_sidecar_whatever_the_client_has(shop, client):
    result, wire, detail = ask(shop, client, "sidecar")
    assert (result, wire) == (PROTOCOL_ERROR, PLAIN)
    assert detail.startswith("HTTP/1.1 400")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", ["none", "bypassed"])
def test_without_the_servers_sidecar_on_that_port_it_works_in_plain_text(shop, client, server):
    assert ask(shop, client, server)[:2] == (WORKS, PLAIN)


@pytest.mark.parametrize(("client", "wire"), [("sidecar", MTLS), ("none", PLAIN), ("bypassed", PLAIN)])
def test_declared_tcp_it_works_and_is_encrypted_between_two_sidecars(shop, client, wire):
    shop.apply(service("sidecar", appProtocol="tcp"))
    shop.in_force()
    try:
        assert ask(shop, client, "sidecar")[:2] == (WORKS, wire)
    finally:
        shop.apply(service("sidecar", appProtocol="http"))
        shop.in_force()
