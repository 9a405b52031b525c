import copy

import jsonpatch
import msgspec
import pytest
from injected import SIDECAR

from webhook.core.decision import Action, Decision, Mode, Reason
from webhook.decision.conformance import Contradiction, contradiction
from webhook.kubernetes.pod import Pod
from webhook.mesh import eligibility
from webhook.mesh.created import as_created
from webhook.mesh.patch import patch

CREATED = {
    "metadata": {"labels": {"app": "basket"}, "annotations": {"team": "shop"}},
    "spec": {"containers": [{"name": "basket"}], "initContainers": [{"name": "wait"}]},
}
SKIP = Decision(Action.SKIP, Reason.RULE, rule="clients")
INJECT = Decision(Action.INJECT, Reason.RULE, rule="always")
BYPASS = Decision(Action.BYPASS, Reason.RULE, rule="clients", ports=(6379,), hold=True)


def injected(document):
    """As Istio's injector leaves a pod."""
    document = copy.deepcopy(document)
    document["metadata"].setdefault("annotations", {})[eligibility.STATUS] = "{}"
    document["spec"]["containers"].append(SIDECAR)
    document["spec"]["initContainers"] = [{"name": "istio-init"}, *document["spec"]["initContainers"]]
    return document


def mutated(document, decision):
    """As we leave a pod."""
    return jsonpatch.apply_patch(copy.deepcopy(document), patch(msgspec.convert(document, Pod), decision))


def without(document, *names):
    """As another webhook leaves it, that takes these labels and annotations off."""
    document = copy.deepcopy(document)
    for field in ("labels", "annotations"):
        metadata = document["metadata"]
        metadata[field] = {key: value for key, value in metadata[field].items() if key not in names}
    return document


@pytest.mark.parametrize(
    ("document", "decision", "found"),
    [
        (mutated(CREATED, SKIP), SKIP, None),
        (injected(mutated(CREATED, INJECT)), INJECT, None),
        (injected(mutated(CREATED, BYPASS)), BYPASS, None),
        (mutated(CREATED, BYPASS), BYPASS, None),
        (injected(without(mutated(CREATED, SKIP), eligibility.INJECT)), SKIP, Contradiction.LABEL_LOST),
        (injected(CREATED), SKIP, Contradiction.INJECTED_UNDECIDED),
        (mutated(CREATED, INJECT), INJECT, Contradiction.NO_SIDECAR_DESPITE_INJECT),
        (injected(without(mutated(CREATED, BYPASS), eligibility.PROXY_CONFIG)), BYPASS, Contradiction.REMEDY_LOST),
        (
            injected(without(mutated(CREATED, BYPASS), eligibility.EXCLUDE_OUTBOUND_PORTS)),
            BYPASS,
            Contradiction.REMEDY_LOST,
        ),
        (injected(CREATED), BYPASS, Contradiction.INJECTED_UNDECIDED),
        (injected(CREATED), Decision(Action.INHERIT, Reason.DEFAULT), None),
        (injected(CREATED), Decision(Action.SKIP, Reason.RULE, rule="clients", mode=Mode.AUDIT), None),
        (injected(CREATED), Decision(Action.INHERIT, Reason.EXPLICIT_POD), None),
    ],
)
def test_a_pod_against_its_decision(document, decision, found):
    assert contradiction(msgspec.convert(document, Pod), decision) is found


@pytest.mark.parametrize("decision", [SKIP, INJECT, BYPASS], ids=lambda decision: decision.action.value)
def test_what_we_and_istio_added_is_taken_off_again(decision):
    seen = injected(mutated(CREATED, decision))
    before = copy.deepcopy(seen)
    created = as_created(seen)

    assert created["spec"] == CREATED["spec"]
    assert created["metadata"]["labels"] == CREATED["metadata"]["labels"]
    assert eligibility.STATUS not in created["metadata"]["annotations"]
    assert not [key for key in created["metadata"]["annotations"] if key.startswith("sidecar-policy.dev/")]
    assert seen == before


def test_the_authors_own_choice_stays():
    chosen = copy.deepcopy(CREATED)
    chosen["metadata"]["labels"][eligibility.INJECT] = "true"

    assert as_created(injected(chosen))["metadata"]["labels"] == chosen["metadata"]["labels"]


def test_a_label_beside_our_annotation_written_by_hand_does_not_count_as_the_authors_choice():
    forged = copy.deepcopy(CREATED)
    forged["metadata"]["labels"][eligibility.INJECT] = "false"
    forged["metadata"]["annotations"]["sidecar-policy.dev/decision"] = "skip"

    assert eligibility.INJECT not in as_created(forged)["metadata"]["labels"]


def test_a_pod_without_anything_is_as_it_was_created():
    bare = {"metadata": {}, "spec": {}}

    assert msgspec.convert(as_created(bare), Pod).labels == {}
