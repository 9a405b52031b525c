import policies
import pytest

from webhook.policy.load import load


@pytest.mark.parametrize("count", [10, 1000])
def test_a_policy_has_as_many_rules_as_asked_for_and_the_clients_of_redis_meet_the_last(tmp_path, count):
    policy = load([policies.write(tmp_path / "policy.yaml", count)])

    assert len(policy.rules) == count
    assert policy.rules[-1].name == "datastore-clients"


def test_rules_of_a_grown_policy_differ_in_what_they_ask_for():
    rules = policies.grown(100)["spec"]["rules"]

    asked = [str({**rule, "name": ""}) for rule in rules]

    assert len(set(asked)) == len(rules)
