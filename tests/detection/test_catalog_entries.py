"""Every claim of every entry of the packaged catalog, tried by a pod that shows just that."""

from __future__ import annotations

import pytest

from webhook.detection.catalog import Catalog

CATALOG = Catalog.default()
KINDS = sorted(CATALOG.kinds)
CLIENT_KINDS = [kind for kind in KINDS if not CATALOG.is_server_only(kind)]


def _claims(field, kinds=CLIENT_KINDS):
    return [
        pytest.param(kind, claim, id=f"{kind}-{claim}")
        for kind in kinds
        for claim in getattr(CATALOG.backends[kind], field)
    ]


def _kinds(findings):
    return {dependency.kind for dependency in findings.dependencies}


def _serving(container):
    spec = {"containers": [{"name": "c", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


def test_there_are_at_least_twenty_five_kinds():
    assert len(KINDS) >= 25


@pytest.mark.parametrize(("kind", "port"), _claims("ports"))
def test_a_port_means_its_kind_beside_any_host(kind, port, find):
    for env in ({"PEER": f"peer:{port}"}, {"PEER_HOST": "peer", "PEER_PORT": str(port)}):
        assert _kinds(find({"env": env})) == {kind}


@pytest.mark.parametrize(("kind", "port"), _claims("ports"))
def test_a_port_of_a_service_means_its_kind_whatever_the_service_calls_it(kind, port, find):
    assert _kinds(find({"env": {"PEER_HOST": "peer"}, "services": {"peer": {"port": port, "port_name": "http"}}})) == {
        kind
    }


@pytest.mark.parametrize(("kind", "port"), _claims("weak_ports"))
def test_a_weak_port_means_its_kind_only_beside_a_name(kind, port, find):
    name = CATALOG.backends[kind].names[0].upper()

    assert _kinds(find({"env": {f"{name}_ADDR": f"peer:{port}"}})) == {kind}
    assert kind not in _kinds(find({"env": {"PEER": f"peer:{port}"}}))


@pytest.mark.parametrize(("kind", "scheme"), _claims("schemes"))
def test_a_scheme_means_its_kind_wherever_it_stands(kind, scheme, find):
    url = f"{scheme}://user:word@peer/x"

    assert _kinds(find({"env": {"PEER": url}})) == {kind}
    assert _kinds(find({"args": [f"--peer={url}"]})) == {kind}
    assert _kinds(find({"files": {"app.conf": f"first = 1\npeer = {url}\n"}})) == {kind}
    assert _kinds(find({"files": {"app.yaml": f"first: 1\npeer: {url}\n"}})) == {kind}


@pytest.mark.parametrize(("kind", "name"), _claims("names"))
def test_a_name_in_the_key_of_a_host_means_its_kind(kind, name, find):
    assert _kinds(find({"env": {f"{name.upper()}_HOST": "peer"}})) == {kind}
    assert _kinds(find({"files": {"app.yaml": f"first: 1\n{name}:\n  host: peer\n"}})) == {kind}


@pytest.mark.parametrize(("kind", "name"), _claims("names"))
def test_a_name_in_the_key_of_anything_else_means_nothing(kind, name, find):
    keys = ("PASSWORD", "PREFIX", "MAX_CONNECTIONS", "VERSION", "LOG_LEVEL", "IMAGE")

    assert kind not in _kinds(find({"env": {f"{name.upper()}_{key}": "peer" for key in keys}}))


@pytest.mark.parametrize(("kind", "name"), _claims("weak_names"))
def test_a_weak_name_counts_only_where_a_host_is_meant(kind, name, find):
    assert _kinds(find({"env": {f"{name.upper()}_HOST": "peer"}})) == {kind}
    assert _kinds(find({"env": {f"{name.upper()}_FOLDER": "peer"}})) == set()


@pytest.mark.parametrize(("kind", "phrase"), _claims("keys"))
def test_a_phrase_of_a_key_means_its_kind(kind, phrase, find):
    assert _kinds(find({"env": {f"APP_{phrase.upper().replace(' ', '_')}": "peer:19999"}})) == {kind}


@pytest.mark.parametrize(("kind", "image"), _claims("images"))
def test_an_image_behind_a_service_means_its_kind(kind, image, find):
    services = {"peer": {"port": 19999, "image": f"registry.example.com:5000/mirror/{image}:1.2@sha256:ab"}}

    assert _kinds(find({"env": {"PEER_HOST": "peer"}, "services": services})) == {kind}


@pytest.mark.parametrize(("kind", "image"), [*_claims("images", KINDS), *_claims("proxies", KINDS)])
def test_an_image_serves_its_kind(kind, image, find):
    assert find(objects=[_serving({"image": f"docker.io/{image}:1"})]).serves == (kind,)


@pytest.mark.parametrize(("kind", "program"), _claims("servers", KINDS))
def test_a_program_serves_its_kind(kind, program, find):
    assert find(objects=[_serving({"image": "acme/base", "command": [f"/usr/bin/{program}"]})]).serves == (kind,)


@pytest.mark.parametrize(("kind", "image"), _claims("proxies"))
def test_a_proxy_is_also_a_client_of_its_kind(kind, image, find):
    scheme = CATALOG.backends[kind].schemes[0]

    findings = find({"image": image, "env": {"BACKEND": f"{scheme}://peer"}})

    assert (findings.serves, _kinds(findings)) == ((kind,), {kind})


@pytest.mark.parametrize(("kind", "program"), _claims("clients"))
def test_a_program_given_a_host_is_a_client_of_its_kind(kind, program, find):
    assert _kinds(find({"args": ["sh", "-c", f"{program} --host peer run"]})) == {kind}


@pytest.mark.parametrize("kind", [kind for kind in CLIENT_KINDS if CATALOG.speaks_http(kind)])
def test_a_kind_that_speaks_http_is_found_behind_an_http_url_with_its_port(kind, find):
    backend = CATALOG.backends[kind]
    port = (backend.ports or backend.weak_ports)[0]

    assert _kinds(find({"env": {f"{backend.names[0].upper()}_URL": f"http://peer:{port}"}})) == {kind}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not CATALOG.speaks_http(kind)])
def test_a_kind_that_does_not_speak_http_is_never_found_behind_an_http_url(kind, find):
    backend = CATALOG.backends[kind]
    port = (backend.ports or backend.weak_ports)[0]

    assert _kinds(find({"env": {f"{backend.names[0].upper()}_URL": f"http://peer:{port}"}})) == set()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if CATALOG.is_server_only(kind)])
def test_of_some_kinds_only_servers_are_reported(kind, find):
    backend = CATALOG.backends[kind]
    services = {"peer": {"port": backend.weak_ports[0], "image": backend.images[0]}}

    assert (
        _kinds(find({"env": {"STORE_HOST": "peer", backend.names[0].upper(): "peer"}, "services": services})) == set()
    )


def test_no_two_kinds_claim_the_same():
    fields = ("ports", "schemes", "names", "keys", "images", "servers", "proxies", "clients")
    claims = [(field, claim) for kind in KINDS for field in fields for claim in getattr(CATALOG.backends[kind], field)]

    assert sorted({claim for claim in claims if claims.count(claim) > 1}) == []
