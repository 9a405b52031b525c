"""`certs bootstrap`, `inspect` and `rotate` where there is no cluster; with one, tests/e2e/test_certificates.py."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from certs.issue import issue_authority, issue_serving
from certs.keeper import Look
from certs.state import Action, State, Step
from webhook.cli.render.certificates import report, text

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("command", [("bootstrap",), ("inspect",), ("rotate", "serving")])
def test_without_a_cluster_it_says_what_to_give(run, command):
    ended = run("certs", *command)

    assert ended.returncode == 3
    assert ended.stderr.startswith("error: not running in a cluster")
    assert ended.stderr.strip().endswith("pass --kubeconfig FILE")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bootstrap", "--cert-secret", "certs"), "expected NAMESPACE/NAME, got 'certs'"),
        (("bootstrap", "--cert-secret", "Mesh/certs"), "expected NAMESPACE/NAME"),
        (("bootstrap", "--service", "a/b/c"), "expected NAMESPACE/NAME"),
        (("inspect", "--webhook-configuration", "no name"), "invalid name of a webhook configuration"),
        (("rotate",), "Missing argument"),
        (("rotate", "everything"), "everything"),
        (("rotate", "serving", "--serve-wait", "soon"), "invalid duration"),
        (("rotate", "serving", "--cert-lifetime", "9000d"), "at least as long as the serving certificate"),
        (
            ("rotate", "serving", "--authority-lifetime", "1h", "--cert-lifetime", "1m", "--trust-wait", "1h"),
            "both waits",
        ),
        (("inspect", "--context", "c"), "--context can only be used with --kubeconfig"),
    ],
)
def test_wrong_usage_is_two_and_is_told(run, arguments, said):
    ended = run("certs", *arguments)

    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_a_name_that_is_none_is_wrong_usage(run, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    kubeconfig.write_text(
        json.dumps({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
    bad_name = run("certs", "bootstrap", "--kubeconfig", kubeconfig, "--dns", "no name")
    nobody = run("certs", "inspect", "--kubeconfig", kubeconfig)

    assert (bad_name.returncode, "is not a DNS name" in bad_name.stderr) == (2, True)
    assert (nobody.returncode, "cannot be reached" in nobody.stderr) == (3, True)


@pytest.fixture
def document():
    authority, announced = issue_authority(now=NOW), issue_authority(now=NOW)
    state = State(
        signing=authority,
        serving=issue_serving(authority, ["a.mesh.svc"], now=NOW),
        incoming=announced,
        trusted_since=NOW,
    )
    step = Step(Action.NONE, "waiting until API servers have reloaded the CA bundle", NOW + timedelta(minutes=5))
    look = Look(state, step, took=False, wrote=False, configurations=(), problems=("something",))
    document = report(look, "mesh/certs", healthy=False)
    keys = [pair.key.decode().splitlines()[1] for pair in (authority, announced, state.serving)]
    assert not any(key in json.dumps(document) + text(document) for key in keys)
    return document


def test_the_report_says_who_is_trusted_and_what_comes_next(document):
    assert [one["role"] for one in document["authorities"]] == ["signing", "announced"]
    assert document["next"] == {
        "step": "none",
        "reason": "waiting until API servers have reloaded the CA bundle",
        "due": "2026-03-01T00:05:00Z",
    }
    assert (document["trustedSince"], document["servedSince"]) == ("2026-03-01T00:00:00Z", None)


def test_the_text_is_one_fact_a_line(document):
    lines = text(document).splitlines()

    assert lines[0] == "secret         mesh/certs"
    assert lines[-1] == "problem        something"
    assert lines[2] == "names          a.mesh.svc"


def test_a_report_of_nothing_says_so():
    look = Look(None, Step(Action.START, "there are no certificates yet"), took=False, wrote=False, configurations=())

    assert text(report(look, "mesh/certs", healthy=False)).splitlines() == [
        "secret         mesh/certs",
        "serving        none",
        "next           start: there are no certificates yet",
    ]
