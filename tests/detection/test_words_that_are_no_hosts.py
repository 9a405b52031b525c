"""A word that a key or a list makes look like a host, and that may be a password, is neither shown nor looked up."""

from __future__ import annotations

import pytest
from clients import found_and_asked
from credentials_matrix import objects

from webhook.core.recording import RecordingView
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.inventory.manifests import ManifestObject, Manifests
from webhook.inventory.workloads import workload_of


@pytest.mark.parametrize(
    "key", "WALLET_SEED ENCRYPTION_SEED SESSION_MASTER DB_PRIMARY MASTER_KEY_PRIMARY CLUSTER_LEADER".split()
)
def test_a_word_under_a_key_that_only_says_which_of_several_is_not_looked_up(key):
    found, asked = found_and_asked({"env": {key: "hunter2"}})

    assert "hunter2" not in asked
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "key", "REDIS_PASSWORD_MASTER REDIS_KEY_PRIMARY KAFKA_PASSWORD_NODE_2 REDISPASS_REPLICA".split()
)
@pytest.mark.parametrize("word", ["hunter2", "hunter2:7319", "redis://hunter2"])
def test_the_password_of_one_of_several_says_nothing(key, word):
    found, asked = found_and_asked({"env": {key: word}})

    assert (found, "hunter2" in asked) == ((), False)


@pytest.mark.parametrize(("key", "kind"), [("REDIS_MASTER", "redis"), ("CASSANDRA_SEEDS", "cassandra")])
def test_a_word_under_a_key_that_names_a_backend_too_is_still_a_host(key, kind):
    found, asked = found_and_asked({"env": {key: "shop-0"}})

    assert [(dependency.kind, dependency.host) for dependency in found] == [(kind, "shop-0")]
    assert "shop-0" in asked


@pytest.mark.parametrize(
    "hosts", ["cache:6379,hunter2", "cache,6379,app,hunter2", "cache,hunter2", "cache:6379,x y,z:1"]
)
def test_a_word_behind_the_first_host_of_a_url_is_no_host(hosts):
    found, asked = found_and_asked({"env": {"REDIS_URL": f"redis://{hosts}"}})

    assert [dependency.host for dependency in found] == ["cache"]
    assert not {"hunter2", "app", "6379", "z"} & set(asked)


@pytest.mark.parametrize("hosts", ["cache-0:6379,cache-1", "cache-0,cache-1", "alpha:6379,beta:6379", "a.b.c,d.e.f"])
def test_all_hosts_of_a_url_that_are_alike_or_have_ports_are_still_found(hosts):
    found, _ = found_and_asked({"env": {"REDIS_URL": f"redis://{hosts}"}})

    assert [dependency.host for dependency in found] == [host.partition(":")[0] for host in hosts.split(",")]


@pytest.mark.parametrize("secret", ["hunter2", "hunter2:7319", "redis://hunter2:7319", "hunter2,hunter3", "x:hunter2"])
@pytest.mark.parametrize("use", ["$(VALUE)", "redis://$(VALUE)", "$(VALUE):6379", "cache-$(VALUE)"])
@pytest.mark.parametrize("source", ["env", "args"])
def test_nothing_that_a_reference_takes_from_a_secret_is_looked_up(secret, use, source):
    used = {"env": {"REDIS_HOST": use}} if source == "env" else {"args": ["app", f"--redis-host={use}"]}
    documents = objects({"secret": {"x": secret}, "secret_env": "VALUE"} | used)
    # The variable of the Secret comes first: a reference sees what was set before it.
    documents[-1]["spec"]["containers"][0]["env"].reverse()
    workload = workload_of(documents[-1], (), "-:1")
    asked = RecordingView(
        Manifests([ManifestObject(document, "-:1", None) for document in documents], [workload], secrets=True)
    )
    detect(workload.pod, "shop", asked, Catalog.default())

    assert not [question for question in asked.answers if question.kind == "Service" and "hunter" in question.name]


@pytest.mark.parametrize("default", ["hunter2", "hunter2:7319", "redis://hunter2"])
def test_the_default_of_a_credential_is_no_host(default):
    found, asked = found_and_asked({"env": {"REDIS_HOST": f"${{REDIS_SECRET:-{default}}}"}})

    assert (found, "hunter2" in asked) == ((), False)


@pytest.mark.parametrize("described", [{"env": {"VALUE": "hunter2:7319"}}, {"args": ["openssl", "-k", "hunter2:7319"]}])
def test_a_word_and_a_number_that_nothing_announces_are_not_looked_up(described):
    _, asked = found_and_asked(described)

    assert "hunter2" not in asked


@pytest.mark.parametrize(
    "described",
    [
        {"env": {"VALUE": "cache:6379"}},
        {"args": ["wait-for", "cache:6379"]},
        {"env": {"REDIS": "cache:7319"}},
        {"env": {"ORDERS_HOST": "cache:7319"}},
        {"env": {"VALUE": "x://cache:7319"}},
    ],
)
def test_a_place_with_a_known_port_a_key_or_a_scheme_is_looked_up(described):
    _, asked = found_and_asked(described)

    assert "cache" in asked
