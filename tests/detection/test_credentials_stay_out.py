"""No part of a password is part of any output, however it is written.

Each pair of a dialect and a password is put into one place of a pod, the pod is decided, and everything is gathered
that anybody is shown: the answer with its patch, warnings and audit annotations, the Event, the log line, metrics, what
`explain` and `--why-not` print, and the names of the objects that the server would ask the API server for. What the
same pod yields with another password is no leak.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
from types import SimpleNamespace

import pytest
from clients import found_and_asked
from credentials_matrix import KEYS, VALUES, objects, selected
from prometheus_client import CollectorRegistry, generate_latest

from webhook.analysis.connections import connections_of, rendering_of
from webhook.analysis.workloads import Answered, decide_by
from webhook.cli.render import decisions, whynot
from webhook.core.recording import RecordingView
from webhook.core.values import Content, Value
from webhook.detection.parse.commands import read_command
from webhook.detection.parse.content import read_content
from webhook.detection.parse.masks import Mask
from webhook.detection.parse.values import read_value
from webhook.detection.whynot import why_not
from webhook.inventory.manifests import ManifestObject, Manifests
from webhook.inventory.workloads import workload_of
from webhook.policy.load import default_policy
from webhook.server.admission.pods import Decider
from webhook.server.http.app import create_app
from webhook.server.observe.event_text import is_reported, of_decision
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer
from webhook.server.settings import Limits, LogFormat

POLICY = default_policy()
PAIRS = 3_000
# Parts of every password of the matrix.
MARKS = ("zq1", "qwxv", "7319", "10.83")
RUN = 4


class Told:
    """Events as they would be written."""

    def __init__(self):
        self.notes = []

    def offer(self, decision, pod, namespace, *, dry_run, connections):
        if is_reported(decision):
            self.notes.append(repr(of_decision(decision, connections)))

    def contradiction(self, code, sentence, pod, namespace, *, dry_run):
        self.notes.append(sentence)


class Server:
    """The application behind the TLS port, over one pod's surroundings after the other."""

    def __init__(self):
        self.lines, self.registry = io.StringIO(), CollectorRegistry()
        self.events = Told()
        self.surroundings = SimpleNamespace()
        observer = Observer(Metrics(self.registry), make_logger(self.lines, LogFormat.JSON), self.events)
        decider = Decider(SimpleNamespace(current=POLICY, recent=[POLICY]), self)
        self._app = create_app(decider, observer, Limits())

    def __getattr__(self, name):
        return getattr(self.surroundings, name)

    async def ask(self, pod, surroundings):
        self.surroundings = surroundings
        self.lines.seek(self.lines.truncate(0))
        self.events.notes.clear()
        request = {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE"}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        body = json.dumps(review | {"request": request | {"namespace": "shop", "object": pod}}).encode()
        sent, messages = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._app({"type": "http", "method": "POST", "path": "/mutate", "headers": headers}, receive, send)
        response = json.loads(sent[1]["body"])["response"]
        assert response["allowed"]
        patch = base64.b64decode(response.pop("patch", "")).decode()
        logged = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        for line in logged:
            del line["ms"], line["timestamp"]
        return [json.dumps(response), patch, json.dumps(logged), *self.events.notes]


@pytest.fixture(scope="module")
def server():
    return Server()


def outputs(server, described):
    documents = objects(described)
    pod = documents[-1]
    workload = workload_of(pod, (), "-:1")
    held = [ManifestObject(document, "-:1", None) for document in documents]
    surroundings = Manifests(held, [workload], secrets=True)
    assert not surroundings.problems
    asked = RecordingView(surroundings)
    said = asyncio.run(server.ask(pod, asked))
    rendering = rendering_of(surroundings, surroundings.istio, native=True)
    decided = connections_of(decide_by(POLICY, surroundings), surroundings, POLICY, rendering)
    answered = [
        Answered(workload, kind, why_not(workload.pod, workload.namespace, asked, POLICY.catalog, kind))
        for kind in ("redis", "postgresql")
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        decisions.show(decided)
        whynot.show(answered)
    # What is only mentioned is looked for among what is known, and never asked for.
    questions = [
        f"{asked_for.namespace}/{asked_for.name}" for asked_for in asked.answers if asked_for.kind != "Mention"
    ]
    return "\n".join([*said, *questions, printed.getvalue(), decisions.as_json(decided)]).lower()


def pieces(password, elsewhere):
    """Every run of the password that says something of it."""
    lowered = password.lower()
    runs = {lowered[at : at + RUN] for at in range(max(1, len(lowered) - RUN + 1))}
    return {run for run in runs if run not in elsewhere and len(run.strip()) == RUN}


@pytest.mark.parametrize("chosen", [pytest.param(chosen, id=place) for place, chosen in selected(PAIRS)])
def test_no_part_of_a_password_is_in_any_output(chosen, server):
    leaked = {}
    for case in chosen:
        other = case.described("x")
        elsewhere = (outputs(server, other) + json.dumps(objects(other))).lower()
        said = outputs(server, case.described(case.password))
        if found := {piece for piece in pieces(case.password, elsewhere) if piece in said}:
            leaked[case.name] = sorted(found)

    assert leaked == {}, f"{len(leaked)} of {len(chosen)} pairs"
    # Numbers are no names: only they stand behind the last space.
    metrics = generate_latest(server.registry).decode().lower()
    counted = "\n".join(line.rpartition(" ")[0] for line in metrics.splitlines())
    assert not [mark for mark in MARKS if mark in counted]


# In these nothing is found, whatever the password.
UNCLEAR = {
    "query without authority",
    "easy connect",
    "pgpass",
    "netrc",
    "pair",
    "pair with a colon",
    "authorization",
    "sentence",
    "pool",
    "parameters behind an ampersand",
    "properties of an authority",
    "host, user, password",
    "host, port, user, password",
    "host | user | password",
    "host:port:user:password",
    "user:password:host",
}


@pytest.mark.parametrize("dialect", [dialect for dialect in VALUES if dialect not in UNCLEAR])
@pytest.mark.parametrize("password", ["s3cr3t", "Zq1a%40-_.~", "aGFsbG8gd29ybGQ9PQ"])
def test_a_host_beside_an_ordinary_password_is_still_found(dialect, password):
    text = password.join(part.replace("{{", "{").replace("}}", "}") for part in VALUES[dialect].split("{pw}"))

    assert "dbhost" in {mention.host.removesuffix("-1") for mention in read_value(text).mentions}


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("redis://:a@b@cache:6379/0", "cache"),
        ("postgres://app:p@ss:w@rd@cache/shop", "cache"),
        ("redis://u:x/y@cache:6379", "cache"),
        ("jdbc:sqlserver://cache:1433;databaseName=x;user=sa;password=a@b.example.com", "cache"),
        ("jdbc:postgresql://cache:5432/shop?user=app&password=a@b/c?d", "cache"),
        ("postgresql://cache/shop?user=me@realm&password=a@b", "cache"),
        ("jdbc:oracle:thin:app/p@x@cache:1521:XE", "cache"),
        ("app:p@ss@tcp(cache:3306)/shop", "cache"),
        ("mongodb://acct:key==@cache:10255/?ssl=true&appName=@acct@", "cache"),
        ("app:s3cr3t@cache:5672,app:s3cr3t@cache:5673", "cache"),
        ('Server=cache;Password="a;Server=b";Database=shop', "cache"),
        ("Password=a@b;Server=cache;Database=shop", "cache"),
        ("cache:6379,password=a,b@c,ssl=true", "cache"),
    ],
)
def test_where_a_password_ends_without_doubt_the_host_is_found(text, host):
    assert {mention.host for mention in read_value(text).mentions} == {host}


@pytest.mark.parametrize(
    "text",
    [
        "redis://user:7319?x@cache:6379",
        "redis://user:7319#x@cache:6379",
        "redis://token/x@cache:6379",
        "redis:///x@b.example.com",
        "cache:5432:shop:app:x://a.example.com/y://b.example.com",
        "redis://user:7319 x@cache:6379",
        "postgres:///shop?host=cache&password=a@b.example.com",
        "redis://cache:6379,redis://a:b@cache",
        "jdbc:oracle:thin:app/p?x@b@cache:1521:XE",
        "user:7319,x@cache:6379",
        "cache:5432:shop:app:a@b.example.com:6379",
        "password=a;b@b.example.com:6379",
    ],
)
def test_what_cannot_be_told_from_a_password_is_dropped(text):
    assert {mention.host for mention in read_value(text).mentions} <= {"cache"}
    assert "7319" not in {mention.port for mention in read_value(text).mentions}


@pytest.mark.parametrize("separator", [",", ";", "|", " ", "\n", ", ", "; "])
@pytest.mark.parametrize("password", ["s3cr3t", "p@x,zq", "a;b@c", "p|x@y z"])
def test_a_list_of_urls_is_read_whatever_separates_them(separator, password):
    text = separator.join(f"amqp://app:{password}@{host}:5672" for host in ("mq-0", "mq-1"))

    assert {mention.host for mention in read_value(text).mentions} <= {"mq-0", "mq-1"}
    if password == "s3cr3t":
        assert len(read_value(text).mentions) == 2


@pytest.mark.parametrize("key", ["REDIS", "MYSQL", "KAFKA"])
@pytest.mark.parametrize("word", ["hunter2", "s3cr3t-pw", "a.b.svc"])
def test_a_secrets_word_under_a_backends_name_is_no_host(key, word):
    found, asked = found_and_asked({"secret": {"x": word}, "secret_env": key})

    assert [(dependency.kind, dependency.host) for dependency in found] == [(key.lower(), None)]
    assert not [dependency for dependency in found if word in dependency.evidence]
    assert word not in asked


def test_a_list_of_unlike_words_is_no_list_of_hosts():
    found, asked = found_and_asked({"env": {"REDIS_HOSTS": "cache,app,hunter2"}})

    assert [dependency.host for dependency in found] == [None]
    assert "hunter2" not in asked


def test_a_list_of_hosts_of_one_kind_is_still_found():
    found, _ = found_and_asked({"env": {"REDIS_HOSTS": "cache-0,cache-1,cache-2"}})

    assert [dependency.host for dependency in found] == ["cache-0", "cache-1", "cache-2"]


@pytest.mark.parametrize("key", "AUTH_HOST KEYDB_HOST AUTH_SERVICE_URL PIN_SERVICE_HOST LICENSE_SERVER KEYDB".split())
def test_a_place_whose_key_only_sounds_like_a_credential_is_still_read(key):
    assert [mention.host for mention in read_content(key, "cache:6379").value.mentions] == ["cache"]


@pytest.mark.parametrize("key", KEYS)
def test_a_credential_in_any_language_says_nothing(key):
    assert read_content(key, "hunter2zq:6379") == Content(Value())


@pytest.mark.parametrize(
    "arguments",
    [
        ["app", "Server=cache;Password=x zq --host=zq"],
        ["app", "redis://:x\nzq:6379 --host=zq@cache:6379"],
        ["app", "--redis-password=x\nredis://zq:6379"],
        ["app", "cache:5432:shop:app:x redis://zq:6379"],
    ],
)
def test_an_argument_that_is_one_value_is_no_script(arguments):
    hosts = {mention.host for line in read_command(arguments) for mention in line.value.mentions}

    assert not {host for host in hosts if "zq" in host}


@pytest.mark.parametrize("key", "REDIS_CREDS REDIS_CRED MONGO_CREDS DB_PSW DB_PASSW REDIS_PASSWRD".split())
def test_a_key_that_names_a_credential_says_nothing(key):
    assert read_content(key, "hunter2zq:7319") == Content(Value())


# Each with a credential, {}, for a key.
KEYED = {
    "YAML": "debug: true\napiKeys: {{{}: {{backend: {{redis: {{host: redis, port: 6379}}}}}}}}\n",
    "YAML template": "{{{{ x }}}}\naccounts:\n  {}:\n    redis: {{url: 'redis://redis:6379'}}\n",
    "YAML names": "debug: true\ntokens: [{{name: {}, value: 'redis://redis:6379'}}, {{{}: {{url: 'redis://redis:6379'}}}}]\n",
    "INI": "[token {}]\nurl = redis://redis:6379\n",
    "INI with dots": "[tokens.{}]\nurl = redis://redis:6379\n",
    "TOML": '[[credentials.x."{}"]]\nurl = "redis://redis:6379"\n',
    "properties": "users.{}.redis.host=redis\nusers.{}.redis.port=6379\n",
    "double underscores": "Tokens__{}__Url=redis://redis:6379\n",
    "JSON": '{{"htpasswds": {{"{}": {{"url": "redis://redis:6379"}}}}}}',
    "arguments": "--token.{}.url=redis://redis:6379 --accounts.{}.host redis:6379",
}


@pytest.mark.parametrize("written", KEYED)
@pytest.mark.parametrize("credential", ["sk_live_CANARY123", "hunter2canary", "Y2FuYXJ5OmNhbmFyeQ", "0ca7a9canary"])
def test_a_key_below_a_credentials_is_neither_kept_nor_shown(written, credential):
    content = read_content("app.conf", KEYED[written].replace("{}", credential).format())
    found, _ = found_and_asked({"file": ("app.conf", KEYED[written].replace("{}", credential).format())})

    kept = repr(([line.path for line in content.lines], found)).lower()
    assert not {run for run in pieces(credential, KEYED[written].lower()) if run in kept}
    assert {(dependency.kind, dependency.host) for dependency in found} == {("redis", "redis")}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("apiKeys", "sk_live_x", "backend", "host"), "apiKeys.…x1.backend.host"),
        (("credentials", "redis-cache-1", "port"), "credentials.redis-cache-1.port"),
        (("users", "é-redis-é", "RabbitMQ"), "users.redis_…x1.RabbitMQ"),
        (("auth.hunter2.url",), "auth.…x1.url"),
        (("spring.redis.shop", "cart-v2"), "spring.redis.shop.cart-v2"),
        (("passwordless", "shop", "cart"), "passwordless.shop.cart"),
    ],
)
def test_keys_that_detection_knows_are_still_shown(path, shown):
    assert ".".join(Mask().path(path)) == shown


def test_a_host_and_its_port_below_a_credential_still_belong_together():
    mask = Mask()

    paths = [mask.path(("users", *keys)) for keys in (("ann", "host"), ("ben", "host"), ("ann_port",), ("ben_port",))]

    assert [path[1].partition("_")[0] for path in paths] == ["…x1", "…x2", "…x1", "…x2"]
