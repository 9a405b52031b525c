import pytest

from webhook.policy.source import PolicySource
from webhook.server.admission.outcome import Outcome

CEL = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: looks-at-pods}
spec:
  rules:
  - name: whole-pod
    match: {when: "pod.spec.containers.size() > 100"}
    action: skip
"""
POD = b'{"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"%s}]}%s}'
PORT = b', "ports": [{"containerPort": %s}]'
TEXT = b', "x": "%s"'
NUMBER = b', "x": %s'


@pytest.fixture(scope="module")
def servers(start_server, tmp_path_factory):
    """One whose policy looks at the whole pod, and one whose policy does not."""
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(CEL)
    return {"cel": start_server(policies=PolicySource([path])), "plain": start_server()}


def review(pod: bytes, around: bytes = b"") -> bytes:
    kind = b'"kind": {"group": "", "version": "v1", "kind": "Pod"}'
    request = b'{"uid": "u", %s, "operation": "CREATE", "namespace": "shop"%s, "object": %s}' % (kind, around, pod)
    return b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": %s}' % request


def outcome(server, kit, path: str, body: bytes) -> tuple[int, str]:
    """Send a review; return the status of the answer, and the outcome that is counted."""

    def counted() -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for family in server.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "sidecar_policy_admission_requests_total"
        }

    before = counted()
    answer = server.post(body, path=path)
    kit.wait_until(lambda: counted() != before)
    (labels,) = (labels for labels, count in counted().items() if count != before.get(labels, 0))
    changed = next(label for label in labels if label in set(Outcome))
    if changed == "unreadable-pod":
        assert answer.review["allowed"]
        assert "the pod was not changed: " in answer.review["warnings"][0]
    return answer.status, changed


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("policy", ["plain", "cel"])
@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(POD % (b"", TEXT % b"\xff"), id="no UTF-8 in a field that nobody reads"),
        pytest.param(POD % (b"", TEXT % b"\xe2\x82"), id="half a character"),
        pytest.param(POD % (b"", TEXT % b"\xed\xa0\x80"), id="an encoded surrogate"),
        pytest.param(POD % (b"", b', "\xff": 1'), id="no UTF-8 in a key"),
        pytest.param(POD % (b"", b', "x": {"a": "\xc3\xb6", "b": "%s\xff"}' % (b"y" * 100_000)), id="far behind"),
        pytest.param(POD.replace(b'"p"', b'"\xff"') % (b"", b""), id="no UTF-8 in a name"),
        pytest.param(POD % (PORT % b"99999999999999999999", b""), id="a port of 67 bits"),
        pytest.param(POD % (PORT % b"9223372036854775808", b""), id="a port of 64 bits and a sign"),
        pytest.param(POD % (PORT % (b"9" * 5000), b""), id="a port of 5000 digits"),
        pytest.param(POD % (PORT % b"1e400", b""), id="a port beyond floats"),
        pytest.param(POD % (PORT % b"80.5", b""), id="half a port"),
        pytest.param(POD.replace(b'"p"', b"7") % (b"", b""), id="a number as name"),
        pytest.param(POD.replace(b'"p"', b'{"p": 1}') % (b"", b""), id="an object as name"),
        pytest.param(b'{"metadata": null, "spec": {}}', id="no metadata"),
        pytest.param(b"7", id="a number as pod"),
    ],
)
def test_a_pod_that_nobody_can_read_is_left_as_it_is_with_a_warning(servers, kit, policy, path, pod):
    assert outcome(servers[policy], kit, path, review(pod)) == (200, "unreadable-pod")


@pytest.mark.parametrize(("policy", "path"), [("plain", "/validate"), ("cel", "/mutate"), ("cel", "/validate")])
@pytest.mark.parametrize("number", [b"99999999999999999999", b"-9223372036854775809", b"1e400", b"9" * 5000])
def test_a_number_of_more_than_64_bits_makes_a_pod_unreadable_to_who_looks_at_all_of_it(
    servers, kit, policy, path, number
):
    assert outcome(servers[policy], kit, path, review(POD % (b"", NUMBER % number))) == (200, "unreadable-pod")


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("policy", ["plain", "cel"])
@pytest.mark.parametrize(
    "rest",
    [
        NUMBER % b"18446744073709551615",
        NUMBER % b"1e-400",
        NUMBER % b"-0",
        NUMBER % (b'{"a": 1, "a": 2}'),
        NUMBER % (b'{"%s": 1}' % (b"k" * 300_000)),
        NUMBER % (b"[" * 900 + b"]" * 900),
        TEXT % b"\\u0000",
        TEXT % b"\\ud83e\\udd86",
        TEXT % "🦆".encode(),
        b', "metadata": {"name": "q"}',
    ],
)
def test_unusual_pods_are_decided(servers, kit, policy, path, rest):
    status, counted = outcome(servers[policy], kit, path, review(POD % (b"", rest)))

    assert (status, counted in {"unchanged", "patched", "conforms", "unreadable-pod"}) == (200, True)


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("policy", ["plain", "cel"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(review(POD % (b"", b""), b', "userInfo": {"username": "\xff"}'), id="no UTF-8 in userInfo"),
        pytest.param(review(POD % (b"", b""), b', "oldObject": "\xff"'), id="no UTF-8 in oldObject"),
        pytest.param(review(POD % (b"", b""), b', "name": "\xff"'), id="no UTF-8 in the name"),
        pytest.param(review(POD % (b"", b""), b', "name": "\\ud800"'), id="a lone surrogate"),
        pytest.param(review(POD % (b"", b""), b', "dryRun": 1e400'), id="a number as dryRun"),
        pytest.param(review(POD % (b"", b""), b', "uid": 5'), id="a second uid"),
        pytest.param(review(POD % (b"", b""), b', "kind": "Pod"'), id="a text as kind"),
        pytest.param(review(POD % (b"", b""), b', "options": NaN'), id="NaN"),
        pytest.param(review(POD % (b"", b""), b', "x": ' + b"[" * 20_000 + b"]" * 20_000), id="nested"),
        pytest.param(b"\xff\xfe" + review(POD % (b"", b"")), id="a byte order mark"),
        # What is no JSON has no object of which it could be said that only that is wrong.
        pytest.param(review(POD % (b"", NUMBER % b"NaN")), id="NaN in the pod"),
        pytest.param(review(POD % (b"", NUMBER % b"-Infinity")), id="Infinity in the pod"),
        pytest.param(review(POD % (b"", TEXT % b"\\ud800")), id="a lone surrogate in the pod"),
        pytest.param(review(POD % (b"", TEXT % b"\x00")), id="a raw NUL in the pod"),
        pytest.param(review(POD % (b"", NUMBER % (b"[" * 20_000 + b"]" * 20_000))), id="a pod nested too deeply"),
    ],
)
def test_a_review_that_nobody_can_read_is_a_bad_request(servers, kit, policy, path, body):
    assert outcome(servers[policy], kit, path, body) == (400, "bad-review")
