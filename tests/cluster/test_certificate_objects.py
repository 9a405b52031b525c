"""The Secret and the webhook configurations, over HTTP, from an API server that knows resource versions and patches."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import jsonpatch
import pytest
import yaml

from webhook.cluster.client import connect
from webhook.cluster.configurations import WebhookConfigurations
from webhook.cluster.errors import ClusterError
from webhook.cluster.secret import Secret

SECRETS = "/api/v1/namespaces/mesh/secrets"
GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations/0-sidecar-policy"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations/0-sidecar-policy"


@dataclass
class ApiServer:
    objects: dict[str, dict] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    port: int = 0

    def answer(self, method, path, kind, body):
        if path in self.refusals:
            return refused(*self.refusals[path])
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            return refused(409, "already exists") if path in self.objects else (201, self.keep(path, body))
        if path not in self.objects:
            return refused(404, "not found")
        stored = self.objects[path]
        if method == "GET":
            return 200, stored
        patched = (
            jsonpatch.apply_patch(stored, body) if kind.startswith("application/json-patch") else merge(stored, body)
        )
        if patched["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            return refused(409, "the object has been modified")
        return 200, self.keep(path, patched)

    def keep(self, path, document):
        version = int(document["metadata"].get("resourceVersion", "0")) + 1
        self.objects[path] = document | {"metadata": document["metadata"] | {"resourceVersion": str(version)}}
        return self.objects[path]


def merge(target, patch):
    """JSON Merge Patch, as RFC 7386 writes it down."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def refused(status, message):
    return status, {"kind": "Status", "message": message, "code": status}


@pytest.fixture
def api(loopback):
    api = ApiServer()
    with loopback(api.answer) as api.port:
        yield api


@pytest.fixture
def run(api, tmp_path):
    """Run a scenario with a client of the API server."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api.port}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )

    def run(scenario):
        client = connect(kubeconfig)

        async def session():
            try:
                return await scenario(client)
            finally:
                await client.close()

        return asyncio.run(session())

    return run


@pytest.fixture
def stored(api):
    """A Secret with something of ours and something of somebody else's."""
    metadata = {"name": "certs", "labels": {"l": "1"}, "annotations": {"a": "1", "theirs": "kept"}}
    data = {"tls.crt": b64encode(b"old").decode(), "theirs": b64encode(b"kept").decode()}
    return api.keep(f"{SECRETS}/certs", {"metadata": metadata, "data": data})


def webhook(name, service="sidecar-policy", bundle=None):
    config: dict[str, Any] = {"service": {"namespace": "mesh", "name": service, "port": 443}}
    if bundle is not None:
        config["caBundle"] = b64encode(bundle).decode()
    return {"name": name, "clientConfig": config, "failurePolicy": "Fail"}


def configure(api, path, *webhooks):
    return api.keep(path, {"metadata": {"name": "0-sidecar-policy"}, "webhooks": list(webhooks)})


def configurations(client):
    return WebhookConfigurations(client, ["0-sidecar-policy"], ("mesh", "sidecar-policy"))


def test_a_secret_is_read_decoded(run, stored):
    secret = run(lambda client: Secret(client, "mesh", "certs").read())

    assert (secret.version, secret.labels, secret.data) == ("1", {"l": "1"}, {"tls.crt": b"old", "theirs": b"kept"})
    assert "old" not in repr(secret)


def test_no_secret_is_none(run):
    assert run(lambda client: Secret(client, "mesh", "certs").read()) is None


def test_a_secret_that_may_not_be_read_is_an_error(run, api):
    api.refusals[f"{SECRETS}/certs"] = (403, "secrets is forbidden")

    with pytest.raises(ClusterError, match="secrets is forbidden"):
        run(lambda client: Secret(client, "mesh", "certs").read())


def test_of_two_that_create_one_wins(run, api):
    async def scenario(client):
        secret = Secret(client, "mesh", "certs")
        return [await secret.create("Opaque", {"l": "1"}, {"a": "1"}, {"k": value}) for value in (b"1", b"2")]

    assert run(scenario) == [True, False]
    assert api.objects[f"{SECRETS}/certs"]["data"] == {"k": b64encode(b"1").decode()}
    assert api.objects[f"{SECRETS}/certs"]["type"] == "Opaque"


def test_a_change_leaves_alone_what_is_somebody_elses(run, api, stored):
    async def scenario(client):
        return await Secret(client, "mesh", "certs").change("1", {"a": None, "b": "2"}, {"tls.crt": b"new", "k": None})

    assert run(scenario)
    changed = api.objects[f"{SECRETS}/certs"]
    assert changed["metadata"]["annotations"] == {"b": "2", "theirs": "kept"}
    assert changed["data"] == {"tls.crt": b64encode(b"new").decode(), "theirs": b64encode(b"kept").decode()}


@pytest.mark.parametrize("gone", [False, True])
def test_a_change_of_another_version_is_refused(run, api, stored, gone):
    if gone:
        del api.objects[f"{SECRETS}/certs"]
    before = dict(api.objects)

    assert not run(lambda client: Secret(client, "mesh", "certs").change("0", {}, {"tls.crt": b"new"}))
    assert api.objects == before


def test_both_kinds_of_configuration_are_read_and_those_that_are_not_there_are_left_out(run, api):
    configure(api, MUTATING, webhook("a", bundle=b"A"), webhook("b"))

    (found,) = run(lambda client: configurations(client).read())

    assert (found.name, found.bundles, found.problem) == (
        "MutatingWebhookConfiguration 0-sidecar-policy",
        (b"A", b""),
        "",
    )


def test_a_bundle_is_put_only_where_it_is_not_and_only_into_entries_that_call_us(run, api):
    for path in (MUTATING, VALIDATING):
        configure(api, path, webhook("a", bundle=b"A"), webhook("b"), webhook("c", service="other"), {"name": "d"})

    async def scenario(client):
        return [await one.install(b"A") for one in await configurations(client).read()]

    assert run(scenario) == ["", ""]
    for path in (MUTATING, VALIDATING):
        expected = [webhook("a", bundle=b"A"), webhook("b", bundle=b"A"), webhook("c", service="other"), {"name": "d"}]
        assert api.objects[path]["webhooks"] == expected


def test_a_configuration_that_was_changed_meanwhile_is_left_alone(run, api):
    configure(api, MUTATING, webhook("a"))

    async def scenario(client):
        (read,) = await configurations(client).read()
        configure(api, MUTATING, webhook("renamed"))
        api.keep(MUTATING, api.objects[MUTATING])
        return await read.install(b"A")

    assert run(scenario) == ""
    assert api.objects[MUTATING]["webhooks"] == [webhook("renamed")]


def test_a_configuration_that_may_not_be_read_is_a_problem_of_it_alone(run, api):
    configure(api, VALIDATING, webhook("a"))
    api.refusals[MUTATING] = (403, "it is forbidden")

    first, second = run(lambda client: configurations(client).read())

    assert (first.problem, second.problem) == ("MutatingWebhookConfiguration 0-sidecar-policy: it is forbidden", "")
    assert first.bundles == ()


def test_a_configuration_that_may_not_be_written_says_so(run, api):
    configure(api, MUTATING, webhook("a"))

    async def scenario(client):
        (read,) = await configurations(client).read()
        api.refusals[MUTATING] = (403, "it is forbidden")
        return await read.install(b"A")

    assert run(scenario) == "MutatingWebhookConfiguration 0-sidecar-policy: it is forbidden"


def test_a_configuration_that_calls_somebody_else_is_told(run, api):
    configure(api, MUTATING, webhook("a", service="other"))

    (found,) = run(lambda client: configurations(client).read())

    assert found.problem.endswith("0-sidecar-policy has no webhook that calls Service mesh/sidecar-policy")
