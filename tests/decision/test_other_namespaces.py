"""What only objects of other namespaces contain is used for the decision, and not shown to the pod's author."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.core.decision import Decision
from webhook.inventory.manifests import ManifestObject, Manifests
from webhook.inventory.objects import POD_PATHS
from webhook.inventory.workloads import workload_of
from webhook.policy.files import Source
from webhook.policy.load import build
from webhook.server.admission.outcome import Admission
from webhook.server.admission.pods import Decider, admit, mutate, validate
from webhook.server.observe.event_text import is_reported, of_decision
from webhook.verdicts.judge import Judge

SHOWING = "detection: {otherNamespaces: show}"


class _Policies:
    def __init__(self, policy):
        self.current = policy
        self.recent = (policy,)


def _policy(rules, spec=""):
    text = (
        "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\n"
        f"spec:\n  {spec}\n  rules: {json.dumps(rules)}\n"
    )
    return build([Source("policy.yaml", text.encode())])


def _service(namespace, name, *ports, alias=None, port_name="main"):
    spec = {"ports": [{"name": f"{port_name}-{port}", "port": port} for port in ports], "selector": {"app": name}}
    if alias:
        spec |= {"type": "ExternalName", "externalName": alias}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _behind(namespace, name, image):
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}


def _world(documents):
    objects = [ManifestObject(document, "-:1", POD_PATHS.get(document["kind"])) for document in documents]
    workloads = [workload_of(one.document, one.pod_path, "-:1") for one in objects if one.pod_path is not None]
    return Manifests(objects, workloads)


def _pod(env, **metadata):
    container = {"name": "c", "image": "shop/app", "env": [{"name": k, "value": v} for k, v in env.items()]}
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "app", "uid": "u", "controller": True}
    return {"metadata": {"ownerReferences": [owner]} | metadata, "spec": {"containers": [container]}}


def _ask(world, policy, pod, judge=mutate):
    """The response, and the decision that it was made from."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": "u", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": pod, "dryRun": True}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    admission = Admission("mutate")
    decider = Decider(_Policies(policy), world, connections=Judge(world))
    body = asyncio.run(
        admit(json.dumps(review).encode(), decider, admission, judge),
    )
    return json.loads(body)["response"], admission.decision


def _patched(response):
    operations = json.loads(base64.b64decode(response.get("patch", "W10=")))
    return {key: value for one in operations for key, value in one["value"].items()}


def _shown(response, decision):
    """All that the pod's author sees, as one text without digests and Base64, which may hold any digits."""
    event = of_decision(decision) if is_reported(decision) else None
    readable = {key: value for key, value in response.items() if key != "patch"}
    return (json.dumps([readable, _patched(response)]) + repr(event)).replace(decision.policy, "")


RULES = [{"name": "stores", "match": {"dependencies": ["mssql", "redis"]}, "action": "bypass"}]
FOREIGN = [
    _service("victim", "ledger", 7777, 1433),
    _service("victim", "vault", 7001),
    _behind("victim", "vault", "example.com/redis:6.0.1"),
]


@pytest.mark.parametrize("action", ["bypass", "skip"])
@pytest.mark.parametrize("host", ["ledger.victim", "vault.victim.svc.cluster.local", "db"])
def test_a_dry_run_names_no_kind_or_port_of_another_namespace(host, action):
    own = [_service("shop", "db", alias="ledger.victim.svc.cluster.local")]

    response, decision = _ask(
        _world([*FOREIGN, *own]), _policy([RULES[0] | {"action": action}]), _pod({"A_HOST": host})
    )

    shown = _shown(response, decision)
    assert not [word for word in ("redis", "mssql", "7777", "1433", "7001") if word in shown], shown
    assert _patched(response)["sidecar-policy.dev/reason"] == "a dependency in another namespace"
    assert ("does not exclude a port that only a Service in another namespace declares" in shown) is (
        action == "bypass"
    )


@pytest.mark.parametrize("env", [{"A_HOST": "ext.victim"}, {"A_HOST": "db"}, {"DB_HOST": "ext.victim"}])
def test_an_alias_of_another_namespace_shows_no_default_port(env):
    """Its target may say the kind, and the kind has a port that the pod's author did not write."""
    policy = _policy([{"name": "r", "match": {"dependencies": ["redis", "mysql"]}, "action": "bypass"}])
    own = _service("shop", "db", alias="ext.victim.svc.cluster.local")
    answers = []
    for target in ("a.mysql.database.azure.com", "a.redis.cache.windows.net"):
        response, _ = _ask(_world([_service("victim", "ext", alias=target), own]), policy, _pod(env))
        answers.append(response)

    assert answers[0] == answers[1]
    assert "traffic.sidecar.istio.io/excludeOutboundPorts" not in _patched(answers[0])


def test_administrators_see_all_of_it():
    _, decision = _ask(_world(FOREIGN), _policy(RULES), _pod({"A_HOST": "vault.victim"}))

    assert decision.summary["dependencies"] == ["redis"]
    assert decision.matched == ("dependency redis",)
    assert [(found.port, found.evidence) for found in decision.findings.dependencies] == [
        (7001, "env A_HOST → Service vault.victim:7001 → redis")
    ]


def test_a_policy_may_show_other_namespaces():
    response, decision = _ask(_world(FOREIGN), _policy(RULES, SHOWING), _pod({"A_HOST": "vault.victim"}))

    assert _patched(response)["traffic.sidecar.istio.io/excludeOutboundPorts"] == "7001"
    assert response["auditAnnotations"]["dependencies"] == "redis"
    assert "Service vault.victim:7001" in of_decision(decision).note
    assert "warnings" not in response


@pytest.mark.parametrize(
    ("env", "ports", "kinds"),
    [
        ({"A_HOST": "vault.victim:7001"}, "7001", None),
        ({"A_HOST": "vault.victim", "A_PORT": "7001"}, "7001", None),
        ({"REDIS_HOST": "vault.victim"}, "6379", "redis"),
        ({"A_URL": "redis://vault.victim"}, "6379", "redis"),
        ({"A_URL": "redis://vault.victim:7001"}, "7001", "redis"),
    ],
)
def test_what_the_author_wrote_is_the_authors_own(env, ports, kinds):
    response, _ = _ask(_world(FOREIGN), _policy(RULES), _pod(env))

    assert _patched(response)["traffic.sidecar.istio.io/excludeOutboundPorts"] == ports
    assert response["auditAnnotations"].get("dependencies") == kinds


@pytest.mark.parametrize("host", ["vault.victim", "vault.victim:7001", "redis.victim"])
def test_a_service_elsewhere_that_no_rule_is_about_answers_as_one_that_is_not_there(host):
    policy = _policy([{"name": "r", "match": {"dependencies": ["kafka"]}, "action": "skip"}])

    answers = [_ask(_world(objects), policy, _pod({"A_HOST": host, "REDIS_HOST": host})) for objects in (FOREIGN, [])]

    assert answers[0][0] == answers[1][0]


def test_a_port_in_another_namespace_cannot_be_found_by_writing_ports_beside_it():
    policy = _policy(RULES)
    env = {f"URL_{port}": f"redis://cache:{port}" for port in (6379, 7001)} | {"A_HOST": "vault.victim"}
    worlds = [
        _world([_service("victim", "vault", port), _behind("victim", "vault", "redis:7")]) for port in (6379, 7001, 9)
    ]

    answers = [_ask(world, policy, _pod(env))[0] for world in worlds]

    assert answers[0] == answers[1] == answers[2]


def test_the_pod_that_was_patched_conforms():
    world, policy = _world(FOREIGN), _policy(RULES)
    pod = _pod({"A_HOST": "vault.victim:7001", "B_HOST": "ledger.victim"})
    response, _ = _ask(world, policy, pod)
    injected = {"sidecar.istio.io/status": "{}"}
    pod["metadata"]["annotations"] = _patched(response) | injected

    response, _ = _ask(world, policy, pod, validate)

    assert "warnings" not in response


def _named(*ports):
    """A Service of another namespace, with the names of its ports."""
    service = _service("victim", "vault")
    service["spec"]["ports"] = [{"name": name, "port": number} for number, name in ports]
    return service


def _action(world, policy, env):
    return _done(_ask(world, policy, _pod(env))[1])[:2]


@pytest.mark.parametrize("port_name", ["main", "redis", "http", "metrics", "mysql"])
@pytest.mark.parametrize("image", ["redis:7", "", "shop/app"])
@pytest.mark.parametrize("env", [{"A_HOST": "vault.victim:{}"}, {"A_HOST": "vault.victim", "A_PORT": "{}"}])
def test_no_port_of_another_namespace_can_be_found_by_naming_one_after_the_other(port_name, image, env):
    policy = _policy([RULES[0] | {"action": "skip"}])
    world = _world([_named((7001, port_name)), _behind("victim", "vault", image)])

    actions = {
        _action(world, policy, {name: text.format(port) for name, text in env.items()})
        for port in (7000, 7001, 7002, 12345)
    }

    assert len(actions) == 1


def test_a_client_of_a_named_port_in_another_namespace_is_found():
    policy = _policy([RULES[0] | {"action": "skip"}])
    world = _world([_named((7001, "tcp-redis"), (8080, "http"))])

    for host in ("vault.victim", "vault.victim:7001"):
        assert _action(world, policy, {"A_HOST": host}) == ("skip", "stores")
    assert _action(world, policy, {"A_HOST": "vault.victim:8080"}) == ("inherit", None)


_unknown_ports = st.sampled_from([7000, 7001, 7002, 7003])


@settings(max_examples=200)
@given(
    st.dictionaries(_unknown_ports, st.sampled_from(["redis", "mysql", "http", "metrics", "main"]), max_size=3),
    st.dictionaries(_unknown_ports, st.sampled_from(["redis", "mysql", "http", "metrics", "main"]), max_size=3),
    st.sampled_from(["", "redis:7", "shop/app"]),
    _unknown_ports,
)
def test_an_action_does_not_depend_on_which_port_another_namespace_gives_a_name(one, other, image, port):
    """Two worlds whose Services have the same names on other ports act alike on a pod that names a port."""
    if sorted(one.values()) != sorted(other.values()):
        other = dict(zip((7003, 7002, 7000), one.values(), strict=False))
    policy = _policy([RULES[0] | {"action": "skip"}])

    actions = set()
    for ports in (one, other):
        world = _world([_named(*ports.items()), *([_behind("victim", "vault", image)] if image else [])])
        actions.add(_action(world, policy, {"A_HOST": f"vault.victim:{port}"}))

    assert len(actions) == 1


_hosts = st.sampled_from(
    [
        *("ledger.victim", "ledger.victim:7001", "ledger.victim.svc", "alias", "alias:5432", "cache", "cache.shop"),
        *("redis.victim", "redis://ledger.victim", "http://ledger.victim:9200", "http://ledger.victim", "far.victim"),
    ]
)
_keys = st.sampled_from(["A_HOST", "REDIS_HOST", "DB_HOST", "URL", "A_PORT", "DB_TYPE", "BROKERS"])
_environments = st.dictionaries(_keys, _hosts | st.sampled_from(["6379", "postgres", "true", ""]), max_size=4)
_ports = st.lists(st.sampled_from([80, 1433, 5432, 5672, 6379, 7001, 9200]), min_size=1, max_size=3, unique=True)
_images = st.sampled_from(["", "redis:7", "postgres", "rabbitmq", "elasticsearch", "shop/app"])


@st.composite
def _elsewhere(draw):
    """Objects of a namespace that is not the pod's."""
    objects = []
    for name in ("ledger", "redis", "far"):
        if not draw(st.booleans()):
            continue
        alias = draw(st.sampled_from([None, None, "cache.shop.svc.cluster.local", "redis.example.com", "x.far.svc"]))
        port_name = draw(st.sampled_from(["main", "redis", "mysql"]))
        objects.append(_service("victim", name, *draw(_ports), alias=alias, port_name=port_name))
        if image := draw(_images):
            objects.append(_behind("victim", name, image))
    return objects


OWN = [
    _service("shop", "cache", 6379),
    _behind("shop", "cache", "redis:7"),
    _service("shop", "alias", alias="ledger.victim.svc.cluster.local"),
    _service("shop", "app-db", 5432),
]
_criteria = st.fixed_dictionaries(
    {},
    optional={
        "dependencies": st.lists(
            st.sampled_from(["redis", "postgresql", "rabbitmq", "mssql", "elasticsearch", "mysql"]),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        "confidence": st.sampled_from(["possible", "probable", "certain"]),
        "when": st.sampled_from(["'redis' in dependencies", "pod.spec.gone == 1", "size(dependencies) > 1"]),
    },
)
_actions = st.sampled_from(["skip", "bypass", "inject", "inherit"])
_rules = st.lists(st.tuples(_criteria, _actions), min_size=1, max_size=3)


@settings(deadline=None, max_examples=400)
@given(_environments, _elsewhere(), _elsewhere(), _rules)
def test_worlds_that_differ_elsewhere_answer_alike_unless_a_rule_acts_on_it(env, one, other, rules):
    """The answer follows from what a rule does, and from the pod and its own namespace."""
    policy = _policy(
        [{"name": f"r{number}", "match": criteria, "action": action} for number, (criteria, action) in enumerate(rules)]
    )
    (first, decided), (second, decided_otherwise) = (
        _ask(_world([*OWN, *objects]), policy, _pod(env)) for objects in (one, other)
    )

    if _done(decided) == _done(decided_otherwise):
        assert _shown(first, decided) == _shown(second, decided_otherwise)


def _done(decision: Decision):
    left_out = [warning for warning in decision.warnings if "another namespace declares" in warning]
    return decision.action, decision.rule, decision.ports, left_out


_words = ("postgresql", "rabbitmq", "mssql", "mysql", "elasticsearch", "1433", "5672", "7001", "9200")


@settings(deadline=None, max_examples=200)
@given(_elsewhere(), _rules)
def test_a_pod_that_only_names_a_host_elsewhere_is_shown_no_kind_and_no_port(objects, rules):
    policy = _policy(
        [{"name": "r", "match": criteria, "action": action} for criteria, action in rules[:1]],
    )

    response, decision = _ask(_world(objects), policy, _pod({"A_HOST": "ledger.victim", "URL": "far.victim"}))

    assert not [word for word in _words if word in _shown(response, decision)]
