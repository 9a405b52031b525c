"""Which connections a pod's sidecar gets, by the pod's annotations."""

import time
from ipaddress import ip_address

import pytest

from webhook.mesh.party import ALL, interception_of

PREFIX = "traffic.sidecar.istio.io/"
INSIDE, OUTSIDE = ip_address("10.1.2.3"), ip_address("192.0.2.1")


def intercepted(**annotations):
    return interception_of({f"{PREFIX}{name}": value for name, value in annotations.items()})


def test_without_annotations_a_sidecar_gets_all_but_its_own_ports():
    assert interception_of({}) == interception_of({"example.com/other": "1"}) == ALL
    assert ALL.outbound(80, None) is True
    assert [ALL.inbound(port) for port in (80, 15020, 15021, 15090)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("annotations", "port", "address", "expected"),
    [
        ({"excludeOutboundPorts": "5432,6379"}, 6379, None, False),
        ({"excludeOutboundPorts": "5432,6379"}, 80, None, True),
        ({"excludeOutboundPorts": " 5432 , 6379 "}, 6379, None, False),
        ({"excludeOutboundPorts": "6379", "includeOutboundPorts": "6379"}, 6379, None, False),
        ({"includeOutboundPorts": "6379", "includeOutboundIPRanges": ""}, 6379, OUTSIDE, True),
        ({"includeOutboundPorts": "6379", "excludeOutboundIPRanges": "0.0.0.0/0"}, 6379, OUTSIDE, False),
        ({"includeOutboundPorts": "6379", "excludeOutboundIPRanges": "10.0.0.0/8"}, 6379, None, None),
        ({"excludeOutboundIPRanges": "0.0.0.0/0"}, 80, None, False),
        ({"includeOutboundIPRanges": "0.0.0.0/0"}, 80, None, True),
        ({"excludeOutboundIPRanges": "192.0.2.0/24"}, 80, OUTSIDE, False),
        ({"excludeOutboundIPRanges": "192.0.2.0/24"}, 80, INSIDE, True),
        ({"excludeOutboundIPRanges": "192.0.2.1"}, 80, OUTSIDE, False),
        ({"excludeOutboundIPRanges": "192.0.2.1/24"}, 80, OUTSIDE, False),
        ({"excludeOutboundIPRanges": "192.0.2.0/24"}, 80, None, None),
        ({"excludeOutboundIPRanges": "nonsense,192.0.2.0/24"}, 80, OUTSIDE, False),
        ({"includeOutboundIPRanges": "10.0.0.0/8"}, 80, INSIDE, True),
        ({"includeOutboundIPRanges": "10.0.0.0/8"}, 80, OUTSIDE, False),
        ({"includeOutboundIPRanges": "10.0.0.0/8"}, 80, None, None),
        ({"includeOutboundIPRanges": "10.0.0.0/8", "excludeOutboundIPRanges": "10.1.0.0/16"}, 80, INSIDE, False),
        ({"includeOutboundIPRanges": "*"}, 80, OUTSIDE, True),
        ({"includeOutboundIPRanges": "*", "excludeOutboundIPRanges": "192.0.2.0/24"}, 80, OUTSIDE, False),
        ({"includeOutboundIPRanges": ""}, 80, INSIDE, False),
        ({"includeOutboundIPRanges": ""}, 80, None, False),
        ({"excludeOutboundIPRanges": "2001:db8::/32"}, 80, ip_address("2001:db8::1"), False),
        ({"excludeOutboundIPRanges": "2001:db8::/32"}, 80, OUTSIDE, True),
    ],
)
def test_what_goes_out_through_the_sidecar(annotations, port, address, expected):
    assert intercepted(**annotations).outbound(port, address) is expected


@pytest.mark.parametrize(
    ("annotations", "port", "expected"),
    [
        ({"excludeInboundPorts": "6379"}, 6379, False),
        ({"excludeInboundPorts": "6379"}, 80, True),
        ({"includeInboundPorts": "*"}, 80, True),
        ({"includeInboundPorts": "80,90"}, 90, True),
        ({"includeInboundPorts": "80,90"}, 6379, False),
        ({"includeInboundPorts": ""}, 80, False),
        ({"includeInboundPorts": "*", "excludeInboundPorts": "80"}, 80, False),
        ({"includeInboundPorts": "80", "excludeInboundPorts": "80"}, 80, True),
    ],
)
def test_what_comes_in_through_the_sidecar(annotations, port, expected):
    assert intercepted(**annotations).inbound(port) is expected


def test_a_sidecar_never_gets_its_own_ports():
    assert intercepted(excludeInboundPorts="80").inbound(15021) is False


def test_a_sidecar_that_intercepts_nothing_gets_nothing():
    none = interception_of({"sidecar.istio.io/interceptionMode": "NONE"})
    assert (none.outbound(80, INSIDE), none.outbound(80, None), none.inbound(80)) == (False, False, False)


@pytest.mark.parametrize("odd", ["http", "-80", "8e1", "80;90", "³", "999999", "", ",,,", "0x50"])
def test_what_is_no_port_excludes_none(odd):
    assert intercepted(excludeOutboundPorts=odd).outbound(80, None) is True
    assert intercepted(excludeOutboundPorts=f"{odd},80").outbound(80, None) is False


@pytest.mark.parametrize("name", ["excludeOutboundPorts", "excludeOutboundIPRanges", "includeInboundPorts"])
def test_a_huge_value_takes_bounded_time(name):
    before = time.process_time()
    found = intercepted(**{name: "1," * 2_000_000})
    assert time.process_time() - before < 0.5
    assert len(found.excluded_out) + len(found.excluded_ranges) + len(found.included_in or ()) <= 256
