"""Which PeerAuthentication holds for a pod, as Istio's ComposePeerAuthentication has it."""

from __future__ import annotations

import pytest

from webhook.mesh.config import IstioConfiguration

API = "security.istio.io/v1"
API_LABELS = {"app": "api"}
OLD, NEW = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


def peer(name, namespace="shop", mode=None, *, created=OLD, selects=None, ports=None):
    spec = {"mtls": {"mode": mode}} if mode else {}
    spec |= {"selector": {"matchLabels": selects}} if selects is not None else {}
    spec |= {"portLevelMtls": {str(port): {"mode": one} for port, one in ports.items()}} if ports else {}
    metadata = {"name": name, "namespace": namespace} | ({"creationTimestamp": created} if created else {})
    return {"apiVersion": API, "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


ROWS = {
    "none": ([], None),
    "mesh": ([peer("m", "istio-system", "STRICT")], "m"),
    "namespace over mesh": ([peer("m", "istio-system", "STRICT"), peer("n", mode="PERMISSIVE")], None),
    "unset inherits": (
        [peer("m", "istio-system", "STRICT"), peer("n", mode="UNSET"), peer("w", selects=API_LABELS)],
        "m",
    ),
    "some pods over namespace": ([peer("n", mode="PERMISSIVE"), peer("w", mode="STRICT", selects=API_LABELS)], "w"),
    "other pods": ([peer("w", mode="STRICT", selects={"app": "other"})], None),
    "another namespace": ([peer("n", "bank", "STRICT")], None),
    "some pods in the root namespace": ([peer("r", "istio-system", "STRICT", selects=API_LABELS)], None),
    "those do not hide the mesh's": (
        [
            peer("r", "istio-system", "DISABLE", selects=API_LABELS, created="2020-01-01T00:00:00Z"),
            peer("m", "istio-system", "STRICT"),
        ],
        "m",
    ),
    "an empty selector selects all": ([peer("n", mode="STRICT", selects={})], "n"),
    "the oldest of a namespace": ([peer("a", mode="PERMISSIVE", created=NEW), peer("b", mode="STRICT")], "b"),
    "the oldest for some pods": (
        [peer("a", mode="STRICT", selects=API_LABELS, created=NEW), peer("b", mode="DISABLE", selects=API_LABELS)],
        None,
    ),
    "the oldest of the mesh": (
        [peer("a", "istio-system", "PERMISSIVE", created=NEW), peer("b", "istio-system", "STRICT")],
        "b",
    ),
    "the oldest, also where it says nothing": ([peer("a", mode="UNSET"), peer("b", mode="STRICT", created=NEW)], None),
    "of equals the first by name": ([peer("b", mode="STRICT"), peer("a", mode="PERMISSIVE")], None),
    "without a time the oldest": ([peer("b", mode="STRICT", created=None), peer("a", mode="PERMISSIVE")], "b"),
    "ports of a namespace's count for nothing": ([peer("n", mode="PERMISSIVE", ports={8080: "STRICT"})], None),
    "ports of some pods'": ([peer("w", mode="PERMISSIVE", selects=API_LABELS, ports={8080: "STRICT"})], "w"),
    "other ports": ([peer("w", mode="STRICT", selects=API_LABELS, ports={9090: "DISABLE"})], "w"),
    "a port that inherits": ([peer("w", mode="STRICT", selects=API_LABELS, ports={8080: "UNSET"})], "w"),
}


@pytest.mark.parametrize(("documents", "expected"), ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("turned", [False, True], ids=["as written", "the other way round"])
def test_the_one_that_demands_mutual_tls(documents, expected, turned):
    istio = IstioConfiguration.of(reversed(documents) if turned else documents)
    found = istio.strict("shop", {"app": "api", "tier": "x"}, 8080)

    assert (found and found.metadata.name) == expected


def test_in_the_root_namespace_itself_only_the_meshs_own_holds():
    istio = IstioConfiguration.of(
        [peer("r", "istio-system", "STRICT", selects=API_LABELS), peer("m", "istio-system", "PERMISSIVE")]
    )

    assert istio.strict("istio-system", API_LABELS) is None


@pytest.mark.parametrize("key", [8080, "8080"])
def test_a_port_is_a_port_with_and_without_quotes(key):
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {key: {"mode": "DISABLE"}},
    }
    istio = IstioConfiguration.of(
        [{"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "p"}, "spec": spec}]
    )

    assert istio.unread == []
    assert istio.strict("default", {"a": "b"}, 8080) is None
    assert istio.strict("default", {"a": "b"}, 80) is not None
