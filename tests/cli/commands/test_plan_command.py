import json

import pytest
import yaml
from analysed import NONE, SHOP, SKIP

UNREAD = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule, namespace: shop}
spec: {host: [web]}
"""


@pytest.fixture
def planned(run, tmp_path):
    """The plan from no rules to one for a shop, as JSON."""
    (tmp_path / "none.yaml").write_text(NONE)
    (tmp_path / "skip.yaml").write_text(SKIP)

    def planned(new="skip.yaml", code=2):
        ended = run("plan", new, "--policy", "none.yaml", "-o", "json", "-f", "-", stdin=SHOP)
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    return planned


def test_the_current_and_the_proposed_policy_are_also_shown_under_their_former_names(planned):
    plan = planned()

    for pair in (plan["policy"], plan["restarts"], *plan["changes"]):
        assert (pair["now"], pair["then"]) == (pair["current"], pair["proposed"])


def test_nothing_that_changes_is_exit_code_0(planned):
    assert planned(new="none.yaml", code=0)["changes"] == []


def test_the_packaged_policy_is_the_current_one_unless_another_is_named(run, tmp_path):
    (tmp_path / "none.yaml").write_text(NONE)

    ended = run("plan", "none.yaml", "-f", "-", stdin=SHOP)

    assert ended.returncode == 2
    assert ended.stdout.splitlines()[1].split()[:6] == [
        "shop", "Deployment/web", "skip", "datastore-clients", "inherit", "(default)",
    ]  # fmt: skip
    assert ended.stdout.splitlines()[-1].endswith("1 would change, 0 would lose the sidecar, 1 would gain it")


def test_configuration_that_is_not_understood_is_told(run, tmp_path):
    (tmp_path / "skip.yaml").write_text(SKIP)

    ended = run("plan", "skip.yaml", "-f", "-", stdin=SHOP + UNREAD)

    assert "DestinationRule shop/rule skipped: " in ended.stderr


def test_yaml_says_what_json_says(run, tmp_path):
    (tmp_path / "none.yaml").write_text(NONE)
    said = [run("plan", "none.yaml", "-o", output, "-f", "-", stdin=SHOP).stdout for output in ("json", "yaml")]

    assert json.loads(said[0]) == yaml.safe_load(said[1])


@pytest.mark.parametrize("arguments", [[], ["new.yaml"], ["new.yaml", "--bogus"], ["new.yaml", "-f"], ["--live", "-n"]])
def test_wrong_usage_is_no_difference(run, arguments):
    assert run("plan", *arguments).returncode == 1


def test_a_change_says_from_what_to_what_by_which_rule_and_evidence(planned):
    (change,) = planned()["changes"]

    assert (change["kind"], change["namespace"], change["name"]) == ("Deployment", "shop", "web")
    assert (change["current"]["action"], change["current"]["rule"]) == ("inherit", None)
    assert (change["proposed"]["action"], change["proposed"]["rule"]) == ("skip", "redis-clients")
    assert change["sidecar"] == "lost"
    assert change["evidence"][0] == "dependency redis"
    assert "env REDIS_URL" in change["evidence"][1]


def test_a_broken_policy_is_unreadable(run, tmp_path):
    (tmp_path / "bad.yaml").write_text(SKIP.replace("action", "acton"))

    ended = run("plan", "bad.yaml", "-f", "-", stdin=SHOP)

    assert ended.returncode == 3
    assert "did you mean 'action'?" in ended.stderr
