import base64
import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import jsonpatch
import pytest

from webhook.server.settings import Limits, OnError

HEAD = b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


def sample(server, outcome, dry_run="false"):
    labels = {"webhook": "mutate", "outcome": outcome, "dry_run": dry_run}
    return server.metrics.registry.get_sample_value("sidecar_policy_admission_requests_total", labels) or 0


@pytest.fixture
def counted(server, kit):
    """Checks that exactly one request is counted, under the outcome given."""

    @contextlib.contextmanager
    def check(outcome, dry_run="false"):
        def total():
            return sum(
                found.value
                for family in server.metrics.registry.collect()
                for found in family.samples
                if found.name == "sidecar_policy_admission_requests_total"
            )

        before, before_all = sample(server, outcome, dry_run), total()
        yield
        kit.wait_until(lambda: total() > before_all)
        assert (sample(server, outcome, dry_run) - before, total() - before_all) == (1, 1)

    return check


def test_a_pod_is_answered_with_the_patch_of_its_decision(server, kit, counted):
    with counted("patched"):
        answer = server.post(kit.make_review(uid="abc"))

    assert answer.headers["content-type"] == "application/json"
    assert (answer.review["uid"], answer.review["allowed"], answer.review["patchType"]) == ("abc", True, "JSONPatch")
    operations = json.loads(base64.b64decode(answer.review["patch"]))
    patched = jsonpatch.apply_patch(kit.POD, operations)
    assert patched["metadata"]["labels"] == {"app": "basket", "sidecar.istio.io/inject": "false"}


def test_the_audit_log_is_told_the_decision(server, kit):
    annotations = server.post(kit.make_review()).review["auditAnnotations"]

    assert annotations == {
        "decision": "skip",
        "mode": "enforce",
        "reason": "rule",
        "rule": "basket",
        "policy": "test/00000001",
    }


def test_a_pod_that_stays_as_it_is_gets_no_patch(server, kit, counted):
    with counted("unchanged"):
        review = server.post(kit.make_review(kit.make_pod("other"))).review

    assert review["allowed"]
    assert "patch" not in review
    assert "patchType" not in review


def test_audit_mode_decides_and_patches_nothing(server, kit, counted):
    with counted("unchanged"):
        review = server.post(kit.make_review(kit.make_pod("audited"))).review

    assert "patch" not in review
    assert (review["auditAnnotations"]["decision"], review["auditAnnotations"]["mode"]) == ("skip", "audit")


def test_the_patched_pod_yields_no_further_patch(server, kit):
    first = server.post(kit.make_review()).review
    pod = jsonpatch.apply_patch(kit.POD, json.loads(base64.b64decode(first["patch"])))

    assert "patch" not in server.post(kit.make_review(pod)).review


def test_a_warning_arrives_on_one_line(server, kit):
    assert server.post(kit.make_review(kit.make_pod("warned"))).review["warnings"] == ["sidecar-policy: mind the gap"]


def test_a_dry_run_is_answered_as_any_other_and_marked(server, kit, counted):
    with counted("patched", dry_run="true"):
        dry = server.post(kit.make_review(dryRun=True, uid="dry")).review

    assert dry["patch"] == server.post(kit.make_review()).review["patch"]
    assert [line["dry_run"] for line in server.log("decision") if line["uid"] == "dry"] == [True]


@pytest.mark.parametrize(
    "request_fields",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"operation": "CONNECT"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "", "version": "v2", "kind": "Pod"}},
        {"kind": {"group": "example.org", "version": "v1", "kind": "Pod"}},
        {"subResource": "ephemeralcontainers"},
        {"kind": {}},
    ],
)
def test_what_is_no_creation_of_a_pod_is_allowed_as_it_is(server, kit, counted, request_fields):
    with counted("ignored"):
        review = server.post(kit.make_review(**request_fields)).review

    assert review == {"uid": "uid-1", "allowed": True}


def test_a_creation_without_an_object_is_allowed_with_a_warning(server, kit, counted):
    with counted("no-object"):
        review = server.post(kit.make_review(object=None)).review

    assert review["allowed"]
    assert "no object" in review["warnings"][0]


def test_a_pod_with_a_wrong_type_is_allowed_with_a_warning_that_names_the_field(server, kit, counted):
    pod = kit.make_pod("basket", containers=[{"env": [{"name": "A", "value": {"CANARY": 1}}]}])

    with counted("unreadable-pod"):
        review = server.post(kit.make_review(pod)).review

    assert review["allowed"]
    assert "patch" not in review
    assert "spec.containers[0].env[0].value" in review["warnings"][0]
    assert "CANARY" not in json.dumps(review)


def test_an_error_of_our_own_allows_the_pod_with_a_warning(server, kit, counted):
    with counted("internal-error"):
        review = server.post(kit.make_review(kit.make_pod("broken"), uid="broken")).review

    assert review["allowed"]
    assert "internal error in sidecar-policy" in review["warnings"][0]
    (line,) = (line for line in server.log("admission") if line["uid"] == "broken")
    assert (line["level"], line["error"]) == ("error", "RuntimeError")
    assert any("SkipBasket.ruling" in place for place in line["at"])
    assert "CANARY" not in server.lines.getvalue()


def test_an_error_of_our_own_denies_the_pod_when_told_so(start_server, kit):
    strict = start_server(on_error=OnError.DENY)

    review = strict.post(kit.make_review(kit.make_pod("broken"))).review

    assert not review["allowed"]
    assert review["status"]["code"] == 500
    assert "internal error in sidecar-policy" in review["status"]["message"]


def truncated(kit):
    return json.dumps(kit.make_review()).encode()[:-10]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (truncated, "incomplete, not valid UTF-8 JSON"),
        (b"", "incomplete, not valid UTF-8 JSON"),
        (b"uid=1", "incomplete, not valid UTF-8 JSON"),
        (b'{"a": "\xff\xfe"', "incomplete, not valid UTF-8 JSON"),
        (b'{"a": ' + b"[" * 1_000_000, "nested too deeply"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "no request"),
        (lambda kit: kit.make_review(uid=""), "uid is empty"),
        (lambda kit: kit.make_review() | {"apiVersion": "admission.k8s.io/v1beta1"}, "admissionReviewVersions: [v1]"),
    ],
)
def test_what_is_no_review_is_a_bad_request(server, kit, counted, body, said):
    with counted("bad-review"):
        answer = server.post(body(kit) if callable(body) else body)

    assert answer.status == 400
    assert said in answer.body.decode()


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "text/plain"}, {"content-type": "application/jsonp"}, {"content-encoding": "gzip"}],
)
def test_another_type_or_encoding_is_not_taken(server, kit, counted, headers):
    with counted("wrong-content-type"):
        assert server.post(kit.make_review(), headers=headers).status == 415


def test_a_missing_content_type_is_not_taken(server, kit, counted):
    with counted("wrong-content-type"), contextlib.closing(server.connect()) as connection:
        connection.request("POST", "/mutate", body=json.dumps(kit.make_review()))
        assert connection.getresponse().status == 415


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON ;x=y"])
def test_parameters_of_the_content_type_do_not_matter(server, kit, content_type):
    assert server.post(kit.make_review(), headers={"content-type": content_type}).status == 200


def test_a_body_of_nine_megabytes_is_too_large(server, kit, counted):
    with counted("too-large"):
        answer = server.post(kit.make_review(kit.make_pod("basket", x="y" * 9_000_000)))

    assert answer.status == 413
    assert "8388608 bytes" in answer.body.decode()


def test_a_large_body_is_refused_before_it_is_sent(server, counted):
    with counted("too-large"), contextlib.closing(server.raw()) as connection:
        head = (
            b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n"
        )
        connection.sendall(head)

        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("framing", "first"),
    [(b"Content-Length: 30000000\r\n\r\n", b" "), (b"Transfer-Encoding: chunked\r\n\r\n1c9c380\r\n", b" " * 9_000_000)],
    ids=["announced", "chunked"],
)
def test_a_body_that_is_too_large_is_answered_at_once_and_taken_to_its_end(server, counted, framing, first):
    """Who writes before reading receives the answer all the same: the connection is not reset under its request."""
    with counted("too-large"), contextlib.closing(server.raw()) as connection:
        connection.sendall(HEAD + framing + first)
        connection.settimeout(5)
        answer = connection.recv(4096)
        rest = 30_000_000 - len(first)
        for _ in range(rest // 100_000):
            connection.sendall(b" " * 100_000)
        connection.sendall(b" " * (rest % 100_000) + (b"\r\n0\r\n\r\n" if b"chunked" in framing else b""))

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b"request body exceeds 8388608 bytes\n")
        assert connection.recv(1) == b""


def test_what_follows_a_refused_body_is_not_read_without_end(server, counted):
    with counted("too-large"), contextlib.closing(server.raw()) as connection:
        connection.sendall(HEAD + b"Content-Length: 30000000\r\n\r\n" + b" " * 1000)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 5000:
                connection.sendall(b" " * (1 << 20))
                sent += 1

    assert sent < 100


def test_an_endless_body_is_cut_off(server, counted):
    chunk = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    with counted("too-large"), contextlib.closing(server.raw()) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 5000:
                connection.sendall(chunk)
                sent += 1

    assert sent < 5000


def test_a_large_pod_below_the_limit_is_decided(server, kit):
    pod = kit.make_pod("basket", containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 1_000_000}] * 5}])

    assert "patch" in server.post(kit.make_review(pod)).review


def test_five_thousand_variables_are_decided(server, kit):
    env = [{"name": f"V{number}", "value": "öß🦆"} for number in range(5000)]

    assert "patch" in server.post(kit.make_review(kit.make_pod("basket", containers=[{"env": env}]))).review


def test_other_pods_are_answered_while_a_large_one_is_decided(start_server, kit):
    begun, answered = threading.Event(), threading.Event()

    class Patient(kit.SkipBasket):  # type: ignore[name-defined]
        def ruling(self, facts):
            if facts.pod.labels["app"] == "large":
                begun.set()
                assert answered.wait(5)
            return super().ruling(facts)

    server = start_server(policies=SimpleNamespace(current=Patient(), recent=()))
    large = kit.make_pod("large", containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 100_000}]}])
    with ThreadPoolExecutor() as pool:
        of_large = pool.submit(server.post, kit.make_review(large))
        assert begun.wait(5)
        assert "patch" in server.post(kit.make_review()).review
        answered.set()

    assert of_large.result().review == {"uid": "uid-1", "allowed": True} | {
        "auditAnnotations": of_large.result().review["auditAnnotations"]
    }


def test_a_body_in_chunks_is_put_together(server, kit):
    data = json.dumps(kit.make_review()).encode()
    with contextlib.closing(server.connect()) as connection:
        pieces = iter([data[:10], data[10:11], data[11:]])
        connection.request("POST", "/mutate", body=pieces, headers={"content-type": "application/json"})

        assert b'"patch"' in connection.getresponse().read()


def test_a_body_that_does_not_come_in_time_is_given_up(start_server, kit):
    impatient = start_server(limits=replace(Limits(), read=0.3, grace=2, close=0.2))
    with contextlib.closing(impatient.raw()) as connection:
        connection.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")

        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    kit.wait_until(lambda: sample(impatient, "too-slow") == 1)


@pytest.mark.parametrize("sent", [b"", b"POST /mutate HT", b"POST /mutate HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_a_client_that_stalls_before_its_body_is_cut_off(start_server, sent):
    impatient = start_server(limits=replace(Limits(), read=0.3, grace=2, close=0.2))
    with contextlib.closing(impatient.raw()) as connection:
        connection.settimeout(3)
        connection.sendall(sent)

        with contextlib.suppress(ConnectionError):
            assert connection.recv(10) == b""


def test_stalling_between_two_requests_is_no_offence(start_server, kit):
    impatient = start_server(limits=replace(Limits(), read=0.2, grace=2, close=0.2))
    with contextlib.closing(impatient.connect()) as connection:
        kit.send(connection, kit.make_review())
        threading.Event().wait(0.5)
        used = connection.sock.getsockname()

        assert kit.send(connection, kit.make_review()).status == 200
        assert connection.sock.getsockname() == used


def test_a_client_that_leaves_in_the_middle_is_counted(server, counted):
    with counted("client-gone"):
        connection = server.raw()
        connection.sendall(HEAD + b"Content-Length: 99\r\n\r\n{")
        connection.close()


def test_garbage_instead_of_http_is_refused(server):
    with contextlib.closing(server.raw()) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")

        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_plain_http_on_the_tls_port_hurts_nobody(server, kit):
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.ports[0]), timeout=5)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass

    assert server.post(kit.make_review()).status == 200


def test_an_answer_is_sent_in_one_piece(server, kit):
    body = json.dumps(kit.make_review()).encode()
    with server.raw() as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head, _, rest = client.recv(65536).partition(b"\r\n\r\n")

    assert f"content-length: {len(rest)}".encode() in head
    assert json.loads(rest)["response"]["uid"] == "uid-1"


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(server, kit):
    body = json.dumps(kit.make_review()).encode()
    with server.raw() as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_used_again(server, kit):
    with contextlib.closing(server.connect()) as connection:
        kit.send(connection, kit.make_review())
        used = connection.sock.getsockname()
        for _ in range(20):
            assert kit.send(connection, kit.make_review()).status == 200

        assert connection.sock.getsockname() == used


def test_the_query_that_the_api_server_adds_does_not_matter(server, kit):
    assert server.post(kit.make_review(), path="/mutate?timeout=10s").status == 200


def test_requests_at_the_same_time_keep_their_answers_apart(server, kit):
    def ask(number):
        with contextlib.closing(server.connect()) as connection:
            for turn in range(10):
                uid = f"{number}-{turn}"
                app = "basket" if number % 2 else "other"
                review = kit.send(connection, kit.make_review(kit.make_pod(app), uid=uid)).review
                assert review["uid"] == uid
                assert ("patch" in review) == bool(number % 2)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405), ("OPTIONS", 405), ("HEAD", 405)])
def test_another_method_is_not_allowed(server, method, status):
    with contextlib.closing(server.connect()) as connection:
        connection.request(method, "/mutate")
        response = connection.getresponse()

        assert (response.status, response.headers["allow"]) == (status, "POST")


@pytest.mark.parametrize("path", ["/", "/mutate/", "/validate/", "/metrics", "/policy", "/docs", "/openapi.json"])
def test_nothing_else_is_behind_the_tls_port(server, kit, path):
    assert server.post(kit.make_review(), path=path).status == 404


def test_no_header_tells_the_software(server, kit):
    assert "server" not in server.post(kit.make_review()).headers
