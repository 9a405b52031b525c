"""References $(NAME) are expanded where the kubelet expands them, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.detection.parse.references import expand_as_kubernetes

FROM_CONFIG = [{"configMapRef": {"name": "cfg"}}]
HOST = {"name": "H", "value": "cache"}


def _config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": data}


def _pod(*env, spec=None, **container):
    container = {"name": "app", "image": "shop/app", "env": list(env)} | container
    metadata = {"name": "client"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]} | (spec or {})}


def _hosts(findings):
    return sorted(found.host for found in findings.dependencies if found.kind == "redis")


@pytest.mark.parametrize("value", ["redis://$(H)", "$(H):6379", "redis://$(H):6379/0", "$(H)"])
def test_a_reference_in_a_config_map_is_a_literal_text(find, value):
    configured = _config_map(REDIS_URL=value)
    by_key = {"name": "REDIS_URL", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "REDIS_URL"}}}

    assert _hosts(find(objects=[configured, _pod(HOST, envFrom=FROM_CONFIG)])) == []
    assert _hosts(find(objects=[configured, _pod(HOST, by_key)])) == []
    assert _hosts(find(objects=[_pod(HOST, {"name": "REDIS_URL", "value": value})])) == ["cache"]


def test_a_reference_in_a_mounted_file_is_a_literal_text(find):
    configured = _config_map(**{"app.properties": "redis.url=redis://$(H)\nother=1\n"})
    volumes = [{"name": "v", "configMap": {"name": "cfg"}}]

    findings = find(
        objects=[
            configured,
            _pod(HOST, volumeMounts=[{"name": "v", "mountPath": "/etc/app"}], spec={"volumes": volumes}),
        ]
    )

    assert _hosts(findings) == []


def test_references_of_frameworks_in_a_config_map_are_still_expanded(find):
    assert _hosts(find(objects=[_config_map(REDIS_URL="redis://${H}"), _pod(HOST, envFrom=FROM_CONFIG)])) == ["cache"]


@pytest.mark.parametrize("value", ["redis://$(H)", "redis://$$(H)"])
def test_an_expanded_value_is_not_expanded_a_second_time(find, value):
    env = [{"name": "LITERAL", "value": "$$(H)"}, HOST, {"name": "REDIS_URL", "value": "redis://$(LITERAL)"}]

    assert _hosts(find(objects=[_pod(*env)])) == []
    assert _hosts(find(objects=[_config_map(L=value), _pod(HOST, {"name": "REDIS_URL", "value": "$(L)"})])) == []


def test_a_variable_of_the_name_that_stands_for_none_answers_no_reference(find):
    env = [{"name": "_", "value": "cache"}, {"name": "REDIS_URL", "value": "redis://$(MISSING)"}]

    assert _hosts(find(objects=[_pod(*env)])) == []


@pytest.mark.parametrize("name", ["my.host", "1ST", "a-b", "with space"])
def test_a_name_extends_to_the_parenthesis(find, name):
    env = [{"name": name, "value": "cache"}, {"name": "REDIS_URL", "value": f"redis://$({name}):6379"}]

    assert _hosts(find(objects=[_pod(*env)])) == ["cache"]


def test_later_entries_override_earlier_ones_and_env_overrides_env_from(find):
    second = _config_map(REDIS_HOST="second") | {"metadata": {"name": "second"}}
    both = [*FROM_CONFIG, {"configMapRef": {"name": "second"}}]
    objects = [_config_map(REDIS_HOST="first"), second]

    assert _hosts(find(objects=[*objects, _pod(envFrom=both)])) == ["second"]
    assert _hosts(find(objects=[*objects, _pod({"name": "REDIS_HOST", "value": "own"}, envFrom=both)])) == ["own"]


def test_a_variable_hides_a_service_link(find):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cache"},
        "spec": {"ports": [{"port": 6379}], "selector": {"app": "cache"}},
    }
    url = {"name": "REDIS_URL", "value": "redis://$(CACHE_SERVICE_HOST)"}

    assert _hosts(find(objects=[service, _pod(url)])) == ["cache"]
    assert _hosts(find(objects=[service, _pod(url, envFrom=FROM_CONFIG), _config_map(CACHE_SERVICE_HOST="far")])) == [
        "far"
    ]


@pytest.mark.parametrize("key", ["REDIS=HOST", "REDIS_HÖST", "REDIS\nHOST"])
def test_a_key_that_is_no_name_of_a_variable_is_skipped(find, key):
    assert _hosts(find(objects=[_config_map(**{key: "cache:6379"}), _pod(envFrom=FROM_CONFIG)])) == []


def test_a_prefix_makes_the_name(find):
    env_from = [{"prefix": "REDIS_", "configMapRef": {"name": "cfg"}}]

    assert _hosts(find(objects=[_config_map(HOST="cache"), _pod(envFrom=env_from)])) == ["cache"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--redis-url=redis://$(H)", ["cache"]),
        ("--redis-url=redis://$(FROM)", ["configured"]),
        ("--redis-url=redis://$$(H)", []),
        ("--redis-url=redis://$(MISSING)", []),
        ("--redis-url=redis://$(LATER)", ["later"]),
    ],
)
def test_arguments_see_the_whole_environment(find, argument, expected):
    env = [HOST, {"name": "LATER", "value": "later"}]
    pod = _pod(*env, envFrom=FROM_CONFIG, args=["app", argument])

    assert _hosts(find(objects=[_config_map(FROM="configured"), pod])) == expected


@pytest.mark.parametrize(
    ("hook", "reference", "expected"),
    [
        ("livenessProbe", "$(H)", ["cache"]),
        ("readinessProbe", "$(FROM)", []),
        ("startupProbe", "$(NESTED)", []),
        ("startupProbe", "$$H", ["cache"]),
        ("postStart", "$(H)", []),
        ("preStop", "$H", ["cache"]),
    ],
)
def test_probes_know_the_texts_of_env_and_hooks_nothing(find, hook, reference, expected):
    env = [HOST, {"name": "NESTED", "value": "$(H)"}]
    handler = {"exec": {"command": ["sh", "-c", f"redis-cli -h {reference} ping"]}}
    container = {hook: handler} if hook.endswith("Probe") else {"lifecycle": {hook: handler}}
    pod = _pod(*env, envFrom=FROM_CONFIG, **container)

    assert _hosts(find(objects=[_config_map(FROM="configured"), pod])) == expected


def _as_in_go(text: str, variables: dict[str, str]) -> str:
    """The kubelet's own loop (third_party/forked/golang/expansion), in Python."""
    out, position = [], 0
    while position < len(text):
        following = text[position + 1 : position + 2]
        if text[position] != "$" or not following:
            out.append(text[position])
            position += 1
        elif following == "$":
            out.append("$")
            position += 2
        elif following == "(" and (end := text.find(")", position)) >= 0:
            name = text[position + 2 : end]
            out.append(variables.get(name, f"$({name})"))
            position = end + 1
        else:
            out.append(text[position : position + 2])
            position += 2
    return "".join(out)


@given(st.text("$()AB-\n", max_size=30))
def test_the_expansion_is_the_kubelets(text):
    variables = {"A": "1", "B": "", "A-B": "$(A)", "": "x"}

    assert expand_as_kubernetes(text, variables.get) == _as_in_go(text, variables)
