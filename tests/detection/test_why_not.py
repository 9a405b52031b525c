"""What might have counted and did not, and "no" told apart from "unknown"."""

from __future__ import annotations

import pytest

from webhook.detection.catalog import Catalog
from webhook.detection.whynot import Answer, Reason, why_not

CANARY = "cAnArY9"


@pytest.fixture
def ask(read_case):
    def ask_(kind, case=None, **kwargs):
        workload, surroundings = read_case(case, **kwargs)
        return why_not(workload.pod, workload.namespace, surroundings, Catalog.default(), kind)

    return ask_


@pytest.mark.parametrize(
    ("kind", "case", "why"),
    [
        (
            "redis",
            {"env": {"CACHE_TYPE": "memory", "CACHE_REDIS_HOST": "cache"}},
            "a related setting disables it",
        ),
        ("redis", {"env": {"REDIS_ENABLED": "false"}}, "it is empty or disabled"),
        (
            "redis",
            {"env": {"REDIS_LISTEN_ADDR": "cache:6379"}},
            "the key names a listen, advertise or no-proxy address",
        ),
        ("redis", {"env": {"REDIS_PASSWORD": "word"}}, "a credential alone is not evidence of use"),
        ("redis", {"env": {"REDIS_HOST": ""}}, "it is empty or disabled"),
        ("redis", {"env": {"REDIS_PORT": "6379"}}, "a port without a host"),
        ("redis", {"env": {"REDIS_DB": "carts"}}, "the key does not name a host"),
        ("redis", {"env": {"REDIS_URL": "redis://localhost:6379"}}, "it resolves to the pod itself, or is not a host"),
        ("redis", {"env": {"REDIS_URL": "redis://$(CACHE)"}}, "the host is a variable that is unset"),
        ("redis", {"env": {"REDIS_URL": "http://cache"}}, "it is an http URL, and redis does not speak HTTP"),
        ("elasticsearch", {"env": {"ES_URL": "http://search:8080"}}, "only a word suggests that search:8080 is"),
        ("rabbitmq", {"env": {"RABBITMQ": "mq:15672"}}, "port 15672 belongs to a console or an exporter"),
        ("redis", {"env": {"REDIS_URL": "postgres://store"}}, "it resolves to store, which is postgresql"),
        (
            "minio",
            {"env": {"MINIO_HOST": "m"}, "services": {"m": {"port": 9000, "image": "minio/minio"}}},
            "clients of minio are not reported",
        ),
        (
            "kafka",
            {"image": "apache/kafka", "env": {"PEER": "kafka://peer:9092"}},
            "the pod itself serves kafka, and its replicas connect to each other",
        ),
        (
            "redis",
            {"image": "memcached", "env": {"PEER": "redis://cache"}},
            "the container runs memcached, which is not a client of redis",
        ),
        ("redis", {"env": {"CACHE_FILE": "/redis"}}, None),
        ("redis", {}, None),
    ],
)
def test_each_thing_that_might_have_counted_has_its_reason(ask, kind, case, why):
    answer = ask(kind, case)

    assert answer.answer is Answer.NO
    assert [why in reason.why for reason in answer.reasons] == ([True] if why else []), answer.reasons


def test_a_client_is_told_with_its_evidence(ask):
    answer = ask("redis", {"env": {"CACHE": "redis://cache:6379"}})

    assert answer.answer is Answer.YES
    assert answer.reasons == (Reason("env CACHE → cache:6379 → redis", "certain"),)


def _client(**container):
    spec = {"containers": [{"name": "app", "image": "shop/app", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


def test_what_could_not_be_read_makes_a_no_unknown(ask):
    env = [{"name": "SETTINGS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "url"}}}]
    pod = _client(env=env)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"url": "http://x"}}

    hidden, read = ask("redis", objects=[pod, secret], secrets=False), ask("redis", objects=[pod, secret])

    assert (hidden.answer, len(hidden.unknown)) == (Answer.UNKNOWN, 1)
    assert (read.answer, read.unknown) == (Answer.NO, ())


def test_a_client_is_a_client_whatever_else_could_not_be_read(ask):
    env = [{"name": "CACHE", "value": "redis://cache"}]
    pod = _client(env=env, envFrom=[{"configMapRef": {"name": "gone"}}])

    assert ask("redis", objects=[pod]).answer is Answer.YES
    assert ask("kafka", objects=[pod]).answer is Answer.UNKNOWN


def test_what_was_looked_at_is_counted(ask):
    case = {
        "env": {"A": "b", "C": "d"},
        "args": ["--flag=x"],
        "probe": ["wait-for-it", "peer:1234"],
        "files": {"app.conf": "x = y\nz = 1\n"},
        "services": {"peer": {"port": 1234}},
    }

    assert ask("redis", case).looked_at == {
        "Services": 1,
        "environment variables": 2,
        "arguments": 1,
        "commands of probes and hooks": 1,
        "settings in files": 2,
    }


def test_no_value_is_shown(ask):
    env = {
        "REDIS_PASSWORD": CANARY,
        "REDIS_URL": f"http://u:{CANARY}@cache/{CANARY}",
        "REDIS_DB": f"{CANARY} x",
        "REDIS_AUTH": CANARY,
    }
    files = {"app.conf": f"first = 1\nredis.auth = {CANARY}\nredis.secret = {CANARY}\n"}

    answer = ask("redis", {"env": env, "files": files})

    assert answer.reasons
    assert CANARY.lower() not in repr(answer).lower()
