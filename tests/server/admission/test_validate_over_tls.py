from types import SimpleNamespace

import pytest
from injected import SIDECAR

from webhook.core.surroundings import Reference, SurroundingsUnknownError
from webhook.server.settings import OnError

INJECTED = [SIDECAR]


def pod(app, containers=()):
    return {"metadata": {"name": app, "labels": {"app": app}}, "spec": {"containers": list(containers)}}


def counted(server, **labels):
    sample = server.metrics.registry.get_sample_value
    return sample("sidecar_policy_admission_requests_total", {"webhook": "validate", "dry_run": "false"} | labels) or 0


@pytest.fixture(scope="module")
def strict(start_server):
    return start_server(strict=True)


def test_a_pod_that_is_as_decided_conforms_in_silence(server, kit):
    before = counted(server, outcome="conforms")
    answer = server.post(kit.make_review(pod("other", INJECTED)), path="/validate")

    assert answer.review == {"uid": "uid-1", "allowed": True}
    kit.wait_until(lambda: counted(server, outcome="conforms") == before + 1)


def test_a_pod_that_is_not_is_let_through_with_a_warning(server, kit):
    answer = server.post(kit.make_review(pod("basket", INJECTED)), path="/validate")

    assert answer.review["allowed"] is True
    assert "before sidecar-policy made a decision" in answer.review["warnings"][0]
    assert answer.review["auditAnnotations"] == {"contradiction": "injected-undecided"}
    kit.wait_until(lambda: counted(server, outcome="contradicts"))
    assert server.log("contradiction")[-1]["contradiction"] == "injected-undecided"


def test_strict_refuses_it(strict, kit):
    answer = strict.post(kit.make_review(pod("basket", INJECTED)), path="/validate")

    assert answer.review["allowed"] is False
    assert (answer.review["status"]["code"], answer.review["status"]["reason"]) == (403, "Forbidden")
    assert "before sidecar-policy made a decision" in answer.review["status"]["message"]
    kit.wait_until(lambda: counted(strict, outcome="denied"))


def test_a_validated_pod_is_not_counted_as_decided_a_second_time(server, kit):
    def decisions():
        families = server.metrics.registry.collect()
        return sum(one.value for family in families for one in family.samples if "decisions_total" in one.name)

    before, conforming = decisions(), counted(server, outcome="conforms")
    server.post(kit.make_review(pod("basket")), path="/validate")
    kit.wait_until(lambda: counted(server, outcome="conforms") == conforming + 1)

    assert decisions() == before


def test_what_is_no_creation_of_a_pod_is_ignored(strict, kit):
    answer = strict.post(kit.make_review(pod("basket", INJECTED), operation="UPDATE"), path="/validate")

    assert answer.review == {"uid": "uid-1", "allowed": True}


@pytest.mark.parametrize(("on_error", "allowed"), [(OnError.ALLOW, True), (OnError.DENY, False)])
def test_an_error_of_our_own_is_answered_as_told(start_server, kit, on_error, allowed):
    answer = start_server(on_error=on_error).post(kit.make_review(pod("broken")), path="/validate")

    assert answer.review["allowed"] is allowed
    assert "CANARY" not in answer.body.decode()


@pytest.mark.parametrize("on_error", OnError)
def test_strict_refuses_what_cannot_be_checked_for_a_fault_of_ours(start_server, kit, on_error):
    server = start_server(on_error=on_error, strict=True)
    answer = server.post(kit.make_review(pod("broken")), path="/validate")

    assert (answer.review["allowed"], answer.review["status"]["code"]) == (False, 500)
    assert "internal error in sidecar-policy" in answer.review["status"]["message"]
    kit.wait_until(lambda: counted(server, outcome="internal-error"))
    assert server.post(kit.make_review(pod("broken"))).review["allowed"] is (on_error is OnError.ALLOW)


@pytest.mark.parametrize("on_error", OnError)
def test_strict_refuses_what_cannot_be_checked_before_the_cluster_was_read(start_server, kit, on_error):
    server = start_server(surroundings=Unknown(), on_error=on_error, strict=True)

    assert server.post(kit.make_review(pod("basket")), path="/validate").review["allowed"] is False
    assert server.post(kit.make_review(pod("basket"))).review["allowed"] is (on_error is OnError.ALLOW)


@pytest.mark.parametrize("spec", [{"containers": 7}, {"containers": [], "x": 1 << 70}])
def test_strict_refuses_what_cannot_be_read(strict, server, kit, spec):
    review = kit.make_review({"metadata": {}, "spec": spec})

    assert strict.post(review, path="/validate").review["allowed"] is False
    assert strict.post(review).review["allowed"] is True
    assert server.post(review, path="/validate").review["allowed"] is True


class Unknown:
    """Surroundings of which nothing has been read yet."""

    def namespace_labels(self, namespace):
        raise SurroundingsUnknownError


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize(("on_error", "allowed"), [(OnError.ALLOW, True), (OnError.DENY, False)])
def test_before_the_cluster_was_read_the_answer_is_as_for_an_error(start_server, kit, path, on_error, allowed):
    server = start_server(surroundings=Unknown(), on_error=on_error)
    answer = server.post(kit.make_review(pod("basket")), path=path)

    assert answer.review["allowed"] is allowed
    assert "cluster cache not synced yet" in answer.body.decode()
    assert "patch" not in answer.review
    outcomes = ("sidecar_policy_admission_requests_total", {"webhook": path[1:], "outcome": "not-synced"})
    kit.wait_until(
        lambda: server.metrics.registry.get_sample_value(outcomes[0], outcomes[1] | {"dry_run": "false"}) == 1
    )


class Late(SimpleNamespace):
    """Surroundings in which each object turns up only when it is looked up."""

    def namespace_labels(self, namespace):
        return self.namespaces.get(namespace)

    def services(self, namespace):
        return ()


def test_a_namespace_that_no_watch_has_delivered_yet_is_looked_up_before_the_decision(start_server, kit):
    late, asked = Late(namespaces={}), []

    async def look_up(missed):
        asked.append(list(missed))
        late.namespaces["shop"] = {"istio-injection": "enabled"}
        return True

    answer = start_server(surroundings=late, look_up=look_up).post(kit.make_review())

    assert answer.review["patchType"] == "JSONPatch"
    assert asked[0] == [Reference("Namespace", "", "shop")]


def test_what_is_looked_up_in_vain_is_looked_up_once(start_server, kit):
    asked = []

    async def look_up(missed):
        asked.append(list(missed))
        return False

    answer = start_server(surroundings=Late(namespaces={}), look_up=look_up).post(kit.make_review())

    assert "patch" not in answer.review
    assert len(asked) == 1
