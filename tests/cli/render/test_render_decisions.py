import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from webhook.analysis.connections import Connected
from webhook.analysis.workloads import Decided
from webhook.cli.render import decisions
from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings, Mode, Reason
from webhook.core.verdict import End, Outcome, Security, Verdict, Wire
from webhook.mesh.party import Party
from webhook.verdicts.compose import Judged

TRAIL = "env Store ← ConfigMap settings/store → Service keystore:6379 → redis"
REDIS = Dependency("redis", Confidence.CERTAIN, "keystore", 6379, TRAIL, wire=Wire.CLIENT_FIRST)
BREAKS = Verdict(Outcome.PROTOCOL_ERROR, "http-declared", None, End.SERVER, ("the sidecar parses it as HTTP",))


def decided(name="web", namespace="shop", verdict=BREAKS, **fields):
    workload: Any = SimpleNamespace(kind="Deployment", namespace=namespace, name=name, source="web.yaml:3")
    decision = Decision(**{"action": Action.INHERIT, "reason": Reason.DEFAULT} | fields)
    connections = [Judged(found, None, verdict) for found in decision.findings.dependencies]
    return Connected(Decided(workload, decision), Party(f"Deployment/{name}", namespace), connections)


SKIPPED = decided(
    action=Action.SKIP,
    reason=Reason.RULE,
    rule="datastore-clients",
    findings=Findings((REDIS,), ("kafka",), ("Secret login may not be read",)),
    matched=("dependency redis",),
    policy="mesh-default/3f2a91c0",
)
BYPASSED = decided(action=Action.BYPASS, reason=Reason.RULE, rule="r", ports=(5672, 6379), hold=True, mode=Mode.AUDIT)


@pytest.fixture
def on_terminal(monkeypatch):
    def show(*rows, width=80):
        written = StringIO()
        console = Console(file=written, force_terminal=True, color_system=None, width=width)
        monkeypatch.setattr(decisions, "Console", lambda: console)
        decisions.show(rows)
        return written.getvalue()

    return show


def test_json_has_all_that_a_program_may_want():
    assert json.loads(decisions.as_json([SKIPPED])) == [
        {
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "action": "skip",
            "rule": "datastore-clients",
            "mode": "enforce",
            "reason": "rule",
            "explanation": "the first rule that matches decides",
            "matched": ["dependency redis"],
            "ports": [],
            "hold": False,
            "dependencies": [
                {
                    "kind": "redis",
                    "confidence": "certain",
                    "host": "keystore",
                    "port": 6379,
                    "wire": "client-first",
                    "init": False,
                    "redirects": "",
                    "evidence": TRAIL,
                    "verdict": {
                        "outcome": "protocol-error",
                        "code": "http-declared",
                        "security": None,
                        "at": "server",
                        "evidence": ["the sidecar parses it as HTTP"],
                        "missing": [],
                    },
                }
            ],
            "serves": ["kafka"],
            "unknown": ["Secret login may not be read"],
            "warnings": [],
            "policy": "mesh-default/3f2a91c0",
            "source": "web.yaml:3",
        }
    ]


def test_yaml_says_the_same_as_json():
    rows = [SKIPPED, BYPASSED]

    assert yaml.safe_load(decisions.as_yaml(rows)) == json.loads(decisions.as_json(rows))


def test_no_decision_is_an_empty_list():
    assert json.loads(decisions.as_json([])) == []


def test_in_a_pipe_there_is_one_line_for_each_workload(capsys):
    decisions.show([SKIPPED, BYPASSED, decided()])

    _, skipped, bypassed, inherited = capsys.readouterr().out.splitlines()
    assert skipped.split(maxsplit=7) == [
        "shop", "Deployment/web", "skip", "datastore-clients", "redis(certain)", "kafka", "redis:http-declared",
        f"{TRAIL}; unknown: Secret login may not be read",
    ]  # fmt: skip
    assert bypassed.split() == ["shop", "Deployment/web", "bypass:5672,6379+hold(audit)", "r", "-", "-", "-", "-"]
    assert inherited.split() == ["shop", "Deployment/web", "inherit", "(default)", "-", "-", "-", "-"]


def test_in_a_pipe_columns_start_at_the_same_place(capsys):
    decisions.show([decided("a"), decided("a-much-longer-name")])

    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.index("DECISION") == first.index("inherit") == second.index("inherit")


def test_in_a_pipe_there_is_no_colour(capsys):
    decisions.show([SKIPPED])

    assert "\x1b" not in capsys.readouterr().out


def test_a_terminal_of_80_columns_shows_whole_names_and_the_whole_trail(on_terminal):
    shown = on_terminal(SKIPPED)

    assert "datastore-clients" in shown
    assert "redis, certain" in shown
    assert "serves kafka" in shown
    assert max(map(len, shown.splitlines())) <= 80
    start = shown.index("Dependencies")
    last_column = " ".join(line[start:].strip() for line in shown.splitlines())
    assert TRAIL in last_column


def test_a_terminal_shows_what_qualifies_the_action(on_terminal):
    shown = on_terminal(BYPASSED)

    assert "ports 5672, 6379" in shown
    assert "hold" in shown
    assert "audit: no change" in shown


def test_a_terminal_names_the_namespace_only_where_there_are_several(on_terminal):
    assert "shop" not in on_terminal(decided())
    assert "Deployment in shop" in on_terminal(decided(), decided(namespace="back"))


def test_what_a_manifest_says_cannot_drive_the_terminal(on_terminal):
    shown = on_terminal(decided("x\x1b]0;title\x07[red]y"))

    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "[red]y" in shown


def test_what_a_manifest_says_cannot_break_a_line(capsys):
    decisions.show([decided("a\nshop  Deployment/forged  skip")])

    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(Outcome.FLOWS, "flows-mtls", Security.MTLS), "flows (mtls)"),
        (BREAKS, "protocol-error at the server's end (http-declared)"),
        (Verdict(Outcome.UNKNOWN, "not-known", missing=("the port", "the host")), "unknown: the port, the host"),
    ],
)
def test_a_verdict_is_a_phrase_below_its_dependency(on_terminal, verdict, said):
    assert decisions.phrase(verdict) == said
    assert said in on_terminal(decided(verdict=verdict, findings=Findings((REDIS,))), width=140)
