"""`spec.detection.catalog`: kinds of one's own, more about known ones, and what may be wrong with it."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from webhook.core.values import Tls
from webhook.core.verdict import Wire
from webhook.decision.engine import decide
from webhook.detection.catalog import Catalog
from webhook.inventory.manifests import Manifests
from webhook.kubernetes.pod import Container, ContainerPort, EnvVar, ObjectMeta, Pod, PodSpec
from webhook.policy.files import PolicyError, Source
from webhook.policy.load import build
from webhook.policy.schema import json_schema
from webhook.policy.source import PolicySource, ReloadOutcome

NOTHING = Manifests((), ())


def _policy(catalog, *rules):
    rules = rules or ({"name": "own", "match": {"dependencies": list(catalog)}, "action": "skip"},)
    return yaml.safe_dump(
        {
            "apiVersion": "sidecar-policy.dev/v1alpha1",
            "kind": "InjectionPolicy",
            "metadata": {"name": "own"},
            "spec": {"detection": {"catalog": catalog}, "rules": list(rules)},
        },
        sort_keys=False,
    )


def _built(catalog, *rules):
    return build([Source("policy.yaml", _policy(catalog, *rules).encode())])


def _decide(policy, image="shop/app", ports=(), **env):
    container = Container(
        name="c",
        image=image,
        env=[EnvVar(name, value) for name, value in env.items()],
        ports=[ContainerPort(port) for port in ports],
    )
    pod = Pod(ObjectMeta(name="p"), PodSpec(containers=[container]))
    return decide(pod, "shop", document=dict, surroundings=NOTHING, policy=policy, always_detect=True)


def _kinds(policy, **env):
    return {dependency.kind for dependency in _decide(policy, **env).findings.dependencies}


WORKFLOW = {
    "workflow": {"ports": [7233], "schemes": ["workflow"], "names": ["conductor"], "images": ["acme/conductor"]}
}


@pytest.mark.parametrize(
    "env", [{"ENGINE_ADDR": "engine:7233"}, {"ENGINE": "workflow://engine"}, {"CONDUCTOR_HOST": "engine"}]
)
def test_a_kind_of_ones_own_is_found_by_everything_that_it_claims(env):
    decision = _decide(_built(WORKFLOW), **env)

    assert [found.kind for found in decision.findings.dependencies] == ["workflow"]
    assert decision.rule == "own"


def test_a_server_of_a_kind_of_ones_own_is_known_by_its_image():
    assert _decide(_built(WORKFLOW), image="example.com/acme/conductor:1").findings.serves == ("workflow",)


def test_more_about_a_known_kind_is_added_to_what_is_known():
    policy = _built({"redis": {"ports": [7000]}})

    assert _kinds(policy, A="sessions:7000", B="carts:6379") == {"redis"}
    assert len(_decide(policy, A="sessions:7000", B="carts:6379").findings.dependencies) == 2


def test_a_known_kind_can_be_replaced():
    policy = _built({"redis": {"ports": [7000], "replace": True}})

    assert _kinds(policy, A="carts:6379", B="redis://carts") == set()
    assert _kinds(policy, A="carts:7000") == {"redis"}


def test_what_an_own_entry_claims_is_taken_from_other_kinds():
    policy = _built({"broker": {"ports": [5672], "names": ["rabbit"]}})

    assert _kinds(policy, A="mq:5672") == {"broker"}
    assert _kinds(policy, RABBIT_HOST="mq") == {"broker"}
    assert _kinds(policy, A="amqp://mq") == {"rabbitmq"}


def test_clients_of_object_stores_are_reported_to_those_who_ask_for_it():
    policy = _built({"minio": {"serverOnly": False}})

    assert _kinds(policy, MINIO_ENDPOINT="http://minio:9000") == {"minio"}


def test_a_policy_without_a_catalog_uses_the_packaged_one():
    assert _built({}, {"name": "r", "action": "skip"}).catalog is Catalog.default()


def test_rules_of_one_file_may_name_the_kinds_of_another():
    rules = {"name": "own", "match": {"dependencies": ["workflow"]}, "action": "skip"}
    second = yaml.safe_load(_policy({}, rules))
    del second["spec"]["detection"]

    policy = build(
        [
            Source("a.yaml", _policy(WORKFLOW, {"name": "a", "match": {"owners": ["Job"]}, "action": "skip"}).encode()),
            Source("b.yaml", yaml.safe_dump(second).encode()),
        ]
    )

    assert _decide(policy, A="engine:7233").rule == "own"


def test_a_changed_catalog_is_in_force_after_a_reload(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(_policy(WORKFLOW))
    source = PolicySource([file])
    changed = {"workflow": {"ports": [7234]}}

    file.write_text(_policy(changed))

    assert source.reload() is ReloadOutcome.LOADED
    assert _kinds(source.current, A="engine:7233") == set()
    assert _kinds(source.current, A="engine:7234") == {"workflow"}


def test_a_broken_catalog_leaves_the_last_good_one_in_force(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(_policy(WORKFLOW))
    source = PolicySource([file])

    file.write_text(_policy({"workflow": {"ports": ["7233"]}}))

    assert source.reload() is ReloadOutcome.REJECTED
    assert _kinds(source.current, A="engine:7233") == {"workflow"}


@pytest.mark.parametrize(
    ("catalog", "told"),
    [
        ({"workflow": {"prots": [1]}}, "catalog.workflow.prots: unknown field (did you mean 'ports'?)"),
        ({"workflow": {"ports": [0]}}, "catalog.workflow.ports[0]: must be from 1 to 65535"),
        ({"workflow": {"ports": ["x"]}}, "catalog.workflow.ports[0]: must be a whole number, not text"),
        ({"workflow": {"ports": 7233}}, "catalog.workflow.ports: must be a list (write [7233])"),
        ({"workflow": {"ports": []}}, "catalog.workflow.ports: an empty list matches nothing"),
        ({"workflow": {"schemes": ["Workflow://"]}}, "catalog.workflow.schemes[0]: invalid URL scheme 'Workflow://'"),
        ({"workflow": {"names": ["con ductor"]}}, "catalog.workflow.names[0]: 'con ductor' is not one word"),
        (
            {"workflow": {"names": ["host"]}},
            "catalog.workflow.names[0]: 'host' is too generic: it occurs in the keys of every backend",
        ),
        ({"workflow": {"keys": ["Bootstrap"]}}, "catalog.workflow.keys[0]: invalid key phrase 'Bootstrap'"),
        ({"workflow": {"images": ["a/b/c:1"]}}, "catalog.workflow.images[0]: invalid base name of an image 'a/b/c:1'"),
        ({"workflow": {"servers": ["/bin/x"]}}, "catalog.workflow.servers[0]: invalid program name '/bin/x'"),
        ({"workflow": {"http": "yes"}}, "catalog.workflow.http: must be true or false, not text"),
        ({"workflow": {}}, "catalog.workflow: sets no property of the kind"),
        ({"workflow": {"replace": True}}, "catalog.workflow: sets no property of the kind"),
        ({"Work Flow": {"ports": [1]}}, "catalog.Work Flow: invalid kind name 'Work Flow'"),
        ({"a1": {"ports": [7233]}, "b1": {"ports": [7233]}}, "catalog.b1.ports: 7233 is already claimed by 'a1'"),
    ],
)
def test_a_fault_is_told_with_its_place_and_how_to_mend_it(catalog, told):
    rule = {"name": "r", "match": {"owners": ["Job"]}, "action": "skip"}

    with pytest.raises(PolicyError) as raised:
        _built(catalog, rule)

    (problem,) = raised.value.problems
    assert f"error: spec.detection.{told}" in str(problem)
    assert problem.line == _line_of(_policy(catalog, rule), told)


def _line_of(text, told):
    """The line that the fault's field stands on: of the innermost name or item of its path."""
    path = told.partition(":")[0].partition("catalog.")[2]
    innermost = path.rpartition(".")[2] or path
    name, item, _ = innermost.partition("[")
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().startswith("catalog:"))
    kind = path.partition(".")[0]
    start = next(n for n in range(start, len(lines)) if lines[n].strip().startswith(f"{kind}:"))
    at = next(n for n in range(start, len(lines)) if lines[n].strip().startswith(f"{name}:"))
    return at + 1 + bool(item)


def test_a_rule_that_misspells_a_kind_of_ones_own_is_told_the_right_name():
    with pytest.raises(PolicyError, match=r"unknown kind 'workflwo' \(did you mean 'workflow'\?\)"):
        _built(WORKFLOW, {"name": "r", "match": {"dependencies": ["workflwo"]}, "action": "skip"})


def test_an_editor_accepts_a_kind_of_ones_own_where_the_file_brings_it():
    validator = jsonschema.Draft202012Validator(json_schema(Catalog.default().kinds))
    own = yaml.safe_load(_policy(WORKFLOW))
    alone = yaml.safe_load(_policy(WORKFLOW))
    del alone["spec"]["detection"]

    assert validator.is_valid(own)
    assert not validator.is_valid(alone)
    own["spec"]["detection"]["catalog"]["workflow"]["prots"] = [1]
    assert not validator.is_valid(own)


def test_what_is_said_first_is_described_by_default_and_for_schemes_and_ports():
    tarantool = {
        "ports": [3301],
        "schemes": ["tarantool", "tarantools"],
        "wire": "server-first",
        "otherWires": {"tls": ["tarantools", 3302], "unknown": [3303]},
        "tlsBegins": "first",
    }
    redis = {"otherWires": {"tls": [6380]}}
    catalog = _built({"tarantool": tarantool, "redis": redis}).catalog

    said = [catalog.said("tarantool", "", port, None) for port in (3301, 3302, 3303)]
    assert said == [Wire.SERVER_FIRST, Wire.TLS, None]
    assert catalog.said("tarantool", "tarantools", 3301, None) is Wire.TLS
    assert catalog.said("tarantool", "", 3301, Tls.ON) is Wire.TLS
    # The built-in entry says unknown of the port, and says TLS of the scheme.
    assert catalog.said("redis", "", 6380, None) is Wire.TLS
    assert catalog.said("redis", "rediss", 6379, None) is Wire.TLS
    assert Catalog.default().said("redis", "", 6380, None) is None


def test_what_is_said_first_of_a_kind_that_does_not_say_is_unknown():
    catalog = _built({"tarantool": {"ports": [3301]}, "graph": {"ports": [8182], "http": True}}).catalog

    assert catalog.said("tarantool", "", 3301, None) is None
    assert catalog.said("graph", "", 8182, None) is Wire.HTTP1
