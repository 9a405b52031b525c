"""The fuzz finds faults: /mutate is broken in one way at a time, and a few cases show it."""

import asyncio
import functools
import time

import in_process
import pytest
import worker
from answer_checks import WrongError
from cases import Case
from fuzz import replayed
from in_process import InProcess
from pace import slowness
from shrinking import shrink

from webhook.kubernetes.response import answer
from webhook.server.admission.pods import mutate

CASES = 40
LABELS = {"op": "add", "path": "/metadata/labels", "value": {"sidecar.istio.io/inject": "true"}}


@pytest.fixture(scope="module")
def fuzzer():
    return InProcess()


@pytest.fixture
def found(fuzzer, monkeypatch):
    """Put something before /mutate, and return the kind of the first failure of some cases."""

    def run(instead):
        @functools.wraps(mutate)
        async def broken(pod, review, *rest):
            whole = await mutate(pod, review, *rest)
            return instead(review) or whole

        monkeypatch.setattr(in_process, "mutate", broken)
        for number in range(CASES):
            case = fuzzer.case(1, number)
            try:
                # What is large or folded is left to the fuzz itself: these tests are about how it looks at answers.
                if len(case.body) < 4_000 and b"*a" not in case.body:
                    asyncio.run(fuzzer.attempt(case))
            except WrongError as wrong:
                return wrong.kind
        return None

    return run


def patching(*operations):
    return lambda review: answer(review.request.uid, patch=operations)


def work(_):
    enough = time.process_time() + in_process.CPU * 3 * slowness()
    while time.process_time() < enough:
        pass


def fail(_):
    raise KeyError


@pytest.mark.parametrize(
    ("instead", "kind"),
    [
        (patching({"op": "add", "path": "/spec/hostNetwork", "value": True}), "a patch out of scope"),
        (patching({"op": "remove", "path": "/metadata/labels"}), "a patch out of scope"),
        (patching(LABELS), "a second patch"),
        (patching(LABELS | {"path": "/metadata/labels/sidecar.istio.io~1inject", "value": "true"}), "a second patch"),
        (lambda _: answer("another"), "an answer with another uid"),
        (lambda review: answer(review.request.uid, warnings=["CANARY"]), "a password in an answer"),
        (fail, "internal-error: KeyError in webhook/server/admission/pods.py:admit"),
        (work, "slow: /mutate"),
    ],
)
def test_a_broken_webhook_is_found(found, instead, kind):
    assert found(instead) == kind


def test_the_same_seed_makes_the_same_cases(fuzzer):
    assert [fuzzer.case(7, number) for number in range(50)] == [fuzzer.case(7, number) for number in range(50)]
    assert fuzzer.case(7, 1) != fuzzer.case(8, 1)


def test_a_case_that_was_saved_can_be_replayed(fuzzer, tmp_path, monkeypatch):
    case = fuzzer.case(1, 0)
    loaded = Case.load(case.save(tmp_path))
    monkeypatch.setattr(in_process, "mutate", functools.wraps(mutate)(lambda *_: fail(None)))

    assert loaded == case
    assert "internal-error: KeyError" in replayed(fuzzer, loaded)


def test_a_case_is_shrunk_to_what_fails():
    body = b'{"request":{"uid":"a","object":{"metadata":{"labels":{}},"spec":{"containers":[{"name":"bad"},{}]}}}}'
    world = [{"kind": "Service"}, {"kind": "ConfigMap"}]
    case = Case(1, 2, "skip", strict=False, world=world, body=body)

    smaller = shrink(case, lambda one: b'"bad"' in one.body and {"kind": "ConfigMap"} in one.world)

    assert smaller.world == [{"kind": "ConfigMap"}]
    assert smaller.body == b'{"request":{"object":{"spec":{"containers":[{"name":"bad"}]}}}}'


def started(run):
    one = worker.Worker(lambda _first, progress, fail: run(progress, fail), 0)
    failures = []
    while one.running:
        failures += one.failures(0.05)
    return failures + one.failures(0)


def test_a_worker_that_never_answers_is_ended(monkeypatch):
    monkeypatch.setattr(worker, "STUCK", 0.3)

    def hang(progress, _):
        progress.at(5, 0)
        while True:
            pass

    assert [failure[:2] for failure in started(hang)][:1] == [(5, "no answer")]


def test_a_worker_that_dies_has_failed():
    def end(progress, fail):
        progress.at(6, 0)
        fail(3, "a kind", "details")
        raise SystemExit(9)

    assert started(end)[:2] == [(3, "a kind", "details"), (6, "the process died: exit code 9", "")]
