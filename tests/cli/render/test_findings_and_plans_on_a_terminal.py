from functools import partial
from io import StringIO

import pytest
from rich.console import Console

from webhook.cli.render import findings, plan


@pytest.fixture
def on_terminal(run, monkeypatch, tmp_path, deployment):
    """What a command prints about a misdeclared Redis and its client on a terminal of 80 columns: table and rest."""
    service = """
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec: {selector: {app: store}, ports: [{name: http, port: 6379}]}
---"""
    (tmp_path / "shop.yaml").write_text(service + deployment("web"))
    (tmp_path / "none.yaml").write_text(
        "{apiVersion: sidecar-policy.dev/v1alpha1, kind: InjectionPolicy, metadata: {name: none}, spec: {rules: []}}"
    )

    table = StringIO()
    for module in (findings, plan):
        terminal = partial(Console, file=table, force_terminal=True, color_system=None, width=80)
        monkeypatch.setattr(module, "Console", terminal)

    def on_terminal(*command):
        rest = run(*command, "-f", "shop.yaml").stdout
        return table.getvalue(), rest

    return on_terminal


def test_diagnose_has_a_table_and_below_it_commands_that_can_be_copied_whole(on_terminal):
    table, rest = on_terminal("diagnose")

    assert "shop Service/store:6379" in table
    assert "http-declared" in table
    assert """kubectl -n shop patch service store -p '{"spec":{"ports":""" in rest
    assert max(map(len, table.splitlines())) <= 80


def test_plan_has_a_table_without_odd_characters(on_terminal):
    table, rest = on_terminal("plan", "none.yaml")

    assert "→ inherit" in table
    assert "Deployment in shop" in table
    assert "\N{REPLACEMENT CHARACTER}" not in table
    assert "1 would change" in rest
