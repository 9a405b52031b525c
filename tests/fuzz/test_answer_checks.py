"""The fuzz sees what is wrong with an answer, and nothing wrong where nothing is."""

import base64
import json

import pytest
from answer_checks import WrongError, no_canary, operations_of, patched, response_of

UID = "705ab4f5"
LABEL = {"op": "add", "path": "/metadata/labels/sidecar.istio.io~1inject", "value": "false"}


def answer(uid=UID, *, allowed=True, patch=None, **fields):
    response = {"uid": uid, "allowed": allowed, **fields}
    if patch is not None:
        raw = patch if isinstance(patch, bytes) else base64.b64encode(json.dumps(patch).encode())
        response |= {"patch": raw.decode(), "patchType": "JSONPatch"}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).encode()


@pytest.mark.parametrize(
    "patch",
    [
        None,
        [LABEL],
        [{"op": "add", "path": "/metadata/labels", "value": {"sidecar.istio.io/inject": "true"}}],
        [{"op": "replace", "path": "/metadata/annotations/proxy.istio.io~1config", "value": "a: b"}],
    ],
)
def test_an_answer_as_the_webhook_gives_it_is_right(patch):
    assert operations_of(response_of(answer(patch=patch), UID)) == (patch or [])


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (b"", "no AdmissionReview"),
        (b"{}", "no AdmissionReview"),
        (answer()[:-1], "no AdmissionReview"),
        (answer(allowed="yes"), "no AdmissionReview"),
        (answer(uid=""), "without uid"),
        (answer(uid="another"), "another uid"),
        (answer(allowed=False, status={"message": None}), "denial without status"),
        (answer(patchType="JSONPatch"), "without its type"),
        (answer(warnings=["a\nb"]), "no header carries"),
        (answer(warnings=["a" * 300]), "no header carries"),
        (answer(warnings=["a" * 250] * 20), "too long together"),
        (answer(auditAnnotations={"reason": 1}), "no string"),
        (answer(warnings=["CANARY"]), "a password in an answer"),
        (answer(patch=b"%%%"), "no JSON Patch"),
        (answer(patch={"op": "add"}), "no JSON Patch"),
        (answer(patch=[]), "without operations"),
        (answer(patch=[LABEL], allowed=False, status={"message": "no"}), "patch with a denial"),
        (answer(patch=[LABEL | {"op": "remove"}]), "out of scope"),
        (answer(patch=[LABEL | {"value": "no"}]), "out of scope"),
        (answer(patch=[LABEL | {"path": "/spec/hostNetwork"}]), "out of scope"),
        (answer(patch=[{"op": "add", "path": "/metadata/labels", "value": {"app": "true"}}]), "out of scope"),
        (answer(patch=[{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]), "out of scope"),
        (answer(patch=[{"op": "add", "path": "", "value": {"metadata": {}}}]), "out of scope"),
    ],
)
def test_a_wrong_answer_is_seen(wrong, kind):
    with pytest.raises(WrongError, match=kind):
        operations_of(response_of(wrong, UID))


def test_a_patch_that_does_not_apply_is_seen():
    review = json.dumps({"request": {"object": {"metadata": {}}}}).encode()

    with pytest.raises(WrongError, match="does not apply"):
        patched(review, [LABEL])


def test_annotations_that_the_api_server_refuses_are_seen():
    review = json.dumps({"request": {"object": {"metadata": {}}}}).encode()
    value = {"sidecar-policy.dev/reason": "a" * 300_000}

    with pytest.raises(WrongError, match="the API server refuses"):
        patched(review, [{"op": "add", "path": "/metadata/annotations", "value": value}])


def test_a_patch_is_applied_to_the_pod():
    review = json.dumps({"request": {"object": {"metadata": {"labels": {}}}}}).encode()

    assert json.loads(patched(review, [LABEL]))["request"]["object"]["metadata"]["labels"] == {
        "sidecar.istio.io/inject": "false"
    }


def test_a_password_in_a_log_line_is_seen():
    with pytest.raises(WrongError, match="a password in the log"):
        no_canary("host CANARY", "the log")
