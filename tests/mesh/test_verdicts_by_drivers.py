"""The judge says of every real driver what it met behind real sidecars, by the wire protocol of its backend."""

from pathlib import Path

import pytest
import yaml
from backends import BACKENDS
from judged import Judged
from simulator import Call, Mesh, istio, pod, service

from webhook.core.verdict import Outcome
from webhook.mesh.connections import judge

SEEN = yaml.safe_load((Path(__file__).parent / "drivers.yaml").read_text())["drivers"]
WIRES = {
    "memcached": "client-first",
    "mysql": "server-first",
    "nats": "server-first",
    "postgresql": "client-first",
    "rabbitmq": "request-like",
    "redis": "client-first",
    "sqlserver": "client-first",
}
BREAKS = {Outcome.PROTOCOL_ERROR, Outcome.REFUSED}
WAITS = {
    # It tries again after each reset, until its own time is over.
    ("python-tds", "tcp, STRICT", "no sidecar"),
}
CASES = [
    pytest.param(driver, situation, client, id=f"{driver}-{situation}-{client}")
    for driver, told in SEEN.items()
    for situation, clients in told["outcomes"].items()
    for client in clients
]


def verdict(backend, situation, client):
    """The verdict on the connection that a driver made."""
    port = BACKENDS[backend].port
    declared = {"http": {"name": "http"}, "undeclared": {}}.get(situation.partition(",")[0], {"appProtocol": "tcp"})
    excluded = [port] if "excluded" in situation else []
    objects = [
        pod("server", "shop", "10.0.0.1", ports=[port], exclude_inbound=excluded),
        pod("client", "shop", "10.0.0.2", injected=client == "sidecar"),
        service(backend, "shop", "10.0.0.3", "server", {"port": port, **declared}),
    ]
    if situation == "tcp, STRICT":
        objects.append(istio("PeerAuthentication", "default", "shop", {"mtls": {"mode": "STRICT"}}))
    if situation == "tcp, mTLS disabled for the port":
        spec = {"selector": {"matchLabels": {"app": "server"}}, "portLevelMtls": {str(port): {"mode": "DISABLE"}}}
        objects.append(istio("PeerAuthentication", "server", "shop", spec))
    call = Call("shop/client", "10.0.0.3", port, WIRES[backend], f"{backend}.shop")
    there = Judged(Mesh("drivers", objects, [call]))
    return judge(there.connection(call), there.mesh)


@pytest.mark.parametrize(("driver", "situation", "client"), CASES)
def test_a_verdict_is_what_the_driver_met(driver, situation, client):
    met = SEEN[driver]["outcomes"][situation][client]
    told = verdict(SEEN[driver]["backend"], situation, client)
    if met == "works":
        expected = {Outcome.FLOWS}
    elif (driver, situation, client) in WAITS or "varies" in met:
        expected = BREAKS
    else:
        expected = {Outcome.HANGS} if "hangs" in met else BREAKS
    assert told.outcome in expected, (met, told)


def test_every_backend_has_a_wire():
    assert {told["backend"] for told in SEEN.values()} == set(WIRES)


def test_what_looks_like_a_request_hangs_where_other_bytes_are_answered():
    assert verdict("rabbitmq", "http", "sidecar").outcome is Outcome.HANGS
    assert verdict("redis", "http", "sidecar").outcome is Outcome.PROTOCOL_ERROR
