import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kubernetes.admission import UnreadableReviewError, parse
from webhook.kubernetes.response import Denial, answer, fit_warnings

POD = {"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web", "env": [{"name": "A"}]}]}}


def review(**request) -> dict:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    base = {"uid": "u-1", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": POD}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": base | request}


def encoded(**request) -> bytes:
    return json.dumps(review(**request)).encode()


def response(body: bytes) -> dict:
    return json.loads(body)["response"]


def test_a_request_is_read_with_the_fields_that_decisions_need():
    request = parse(encoded(dryRun=True, subResource="status", name="web-0")).request

    assert (request.uid, request.namespace, request.operation, request.name) == ("u-1", "shop", "CREATE", "web-0")
    assert (request.kind.group, request.kind.version, request.kind.kind) == ("", "v1", "Pod")
    assert (request.dry_run, request.sub_resource) == (True, "status")


def test_the_object_becomes_a_pod():
    assert parse(encoded()).pod.metadata.generate_name == "web-"


def test_the_object_becomes_a_plain_dict():
    assert parse(encoded()).document() == POD


def test_fields_that_nobody_reads_are_skipped():
    assert parse(encoded(userInfo={"username": "admin"}, options={"x": [1, {}]})).request.uid == "u-1"


@pytest.mark.parametrize("request_fields", [{"object": None}, {}])
def test_a_request_without_an_object_says_so(request_fields):
    body = review(**request_fields)
    if not request_fields:
        del body["request"]["object"]

    read = parse(json.dumps(body).encode())

    assert (read.pod, read.problem) == (None, "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "incomplete, not valid UTF-8 JSON"),
        (b"hello", "incomplete, not valid UTF-8 JSON"),
        (encoded()[:-20], "incomplete, not valid UTF-8 JSON"),
        (encoded() + b"}", "incomplete, not valid UTF-8 JSON"),
        (b'{"apiVersion": "\xff"}', "incomplete, not valid UTF-8 JSON"),
        (b'{"kind": "\\ud800"}', "incomplete, not valid UTF-8 JSON"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"[]", "expected object, got array"),
        (b"null", "expected object, got null"),
        (b'{"kind": 3}', "kind: expected str, got int"),
        (b"{}", "kind is not AdmissionReview"),
        (json.dumps(review() | {"kind": "Pod"}).encode(), "kind is not AdmissionReview"),
        (json.dumps(review() | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(), "admissionReviewVersions: [v1]"),
        (json.dumps(review() | {"request": None}).encode(), "has no request"),
        (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "has no request"),
        (encoded(uid=""), "uid is empty"),
        (encoded(uid=7), "request.uid: expected str, got int"),
        (encoded(namespace=None), "request.namespace: expected str, got null"),
    ],
)
def test_a_body_that_is_no_review_is_refused_with_what_is_wrong(body, message):
    with pytest.raises(UnreadableReviewError) as caught:
        parse(body)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ([], "the object: expected object | null, got array"),
        ({"metadata": {"labels": {"CANARY": 1}}, "spec": {}}, "metadata.labels[...]: expected str, got int"),
        (
            {"metadata": {}, "spec": {"containers": [{"env": [{"name": "A", "value": ["CANARY"]}]}]}},
            "spec.containers[0].env[0].value: expected str | null, got array",
        ),
        (
            {"metadata": {}, "spec": {"containers": [{"ports": [{"containerPort": 1.5}]}]}},
            "spec.containers[0].ports[0].containerPort: expected int, got float",
        ),
        (
            {"metadata": {}, "spec": {"containers": [{"args": "CANARY"}]}},
            "spec.containers[0].args: expected array | null, got str",
        ),
    ],
)
def test_a_pod_with_a_wrong_type_is_not_read_and_its_field_is_named_without_its_value(pod, message):
    read = parse(encoded(object=pod))

    assert (read.pod, read.problem, read.request.uid) == (None, message, "u-1")


def test_a_pod_that_is_not_utf8_is_refused():
    body = encoded(object="@").replace(b'"@"', b'{"metadata":{"name":"\xff"}}')

    assert "UTF-8" in parse(body).problem


def test_a_number_beyond_all_bounds_is_refused():
    port = b'{"metadata":{},"spec":{"containers":[{"ports":[{"containerPort":%s}]}]}}' % (b"9" * 5000)
    body = encoded(object="@").replace(b'"@"', port)

    assert "containerPort: integer value out of range" in parse(body).problem


def test_half_a_surrogate_pair_is_refused():
    body = encoded(object="@").replace(b'"@"', b'{"metadata":{"name":"\\ud800"}}')

    with pytest.raises(UnreadableReviewError, match="UTF-8"):
        parse(body)


def test_of_duplicate_keys_the_last_counts():
    assert parse(encoded().replace(b'"uid": "u-1"', b'"uid": "first", "uid": "last"')).request.uid == "last"


def test_an_answer_without_a_patch_has_neither_patch_nor_its_type():
    body = json.loads(answer("u-1"))

    assert body == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u-1", "allowed": True},
    }


def test_a_patch_travels_in_base64():
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"a": "ü"}}]

    said = response(answer("u-1", patch=operations))

    assert said["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(said["patch"])) == operations


def test_audit_annotations_and_warnings_are_passed_on():
    said = response(answer("u-1", warnings=["mind"], audit_annotations={"rule": "x"}))

    assert (said["warnings"], said["auditAnnotations"]) == (["mind"], {"rule": "x"})


def test_a_denial_carries_a_status():
    said = response(answer("u-1", denial=Denial("no")))

    assert said["allowed"] is False
    assert said["status"] == {"message": "no", "code": 500, "reason": "InternalError", "status": "Failure"}


def test_a_warning_is_one_line_without_control_characters():
    assert fit_warnings(["a\r\nb\x00\tc\x1b[31m\u2028d\x7f"]) == ["a b c [31m d"]


def test_a_long_warning_is_cut():
    (warning,) = fit_warnings(["x" * 300])

    assert len(warning) == 256
    assert warning.endswith("x…")


def test_all_warnings_together_are_bounded():
    assert sum(map(len, fit_warnings(["x" * 250] * 100))) <= 4096


def test_an_empty_warning_is_none():
    assert fit_warnings(["\n"]) == []


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body):
    with suppress(UnreadableReviewError):
        read = parse(body)

        assert read.pod is None or not read.problem


JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(JSON_LEAVES, st.lists, max_leaves=5))
def test_any_object_is_a_pod_or_a_problem(value):
    for pod in (value, {"metadata": {"labels": value}, "spec": {"containers": value}}):
        read = parse(encoded(object=pod))

        assert (read.pod is None) == (pod is None or bool(read.problem))


def test_a_request_about_an_object_of_another_kind_is_read():
    read = parse(encoded(kind={"group": "apps", "version": "v1", "kind": "Deployment"}, object={"spec": 1}))

    assert read.request.kind.kind == "Deployment"


@given(st.lists(st.text()))
def test_any_warnings_make_an_answer_the_api_server_takes(warnings):
    said = response(answer("u", warnings=warnings)).get("warnings", [])

    assert all(len(line) <= 256 and line.isprintable() for line in said)


@pytest.mark.parametrize("field", ["uid", "namespace", "name", "operation", "subResource"])
def test_names_of_the_request_are_of_bounded_length(field):
    request = {"uid": "u", "kind": {"version": "v1", "kind": "Pod"}, field: "n" * 300}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    with pytest.raises(UnreadableReviewError, match="longer than 253"):
        parse(json.dumps(review).encode())
