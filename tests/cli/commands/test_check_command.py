import json
from pathlib import Path

import pytest
import yaml

ESHOP = ("-f", "examples/eshop")


@pytest.fixture
def check(run, tmp_path):
    (tmp_path / "examples").symlink_to(Path(__file__).parents[3] / "examples")
    return lambda *arguments: run("check", *arguments)


def test_a_connection_that_breaks_is_followed_to_its_end(check):
    ended = check("basket-api", "basket-data", *ESHOP)

    assert ended.returncode == 1
    first, spoken, *hops, verdict = ended.stdout.splitlines()
    assert first == "Deployment/basket-api in eshop calls Service eshop/basket-data:6379"
    assert spoken.startswith("spoken: client-first (env ConnectionString")
    assert [hop[:5] for hop in hops] == ["  1. ", "  2. "]
    assert verdict == "verdict: protocol-error at the server's end (http-declared)"


def test_one_that_flows_exits_with_0_and_one_that_is_not_known_with_3(check):
    assert check("basket-api", "db.example.com:5432", *ESHOP).returncode == 0
    assert check("basket-api", "webstatus:80", "--protocol", "tls", *ESHOP).returncode == 1
    assert check("basket-api", "webstatus:80", *ESHOP).returncode == 3


def test_json_and_yaml_say_the_same(check):
    arguments = ("webmvc", "keystore-data:6379", *ESHOP)
    said = json.loads(check(*arguments, "-o", "json").stdout)

    assert said == yaml.safe_load(check(*arguments, "-o", "yaml").stdout)
    assert said["server"] == {"service": "eshop/keystore-data", "host": None, "port": 6379}
    assert said["verdict"]["code"] == said["servers"][0]["verdict"]["code"] == "http-declared"


def test_the_pods_of_a_workload_are_called_at_their_own_addresses(check):
    ended = check("rabbitmq", "deploy/basket-data:6379", *ESHOP)
    assert ended.stdout.startswith("Deployment/rabbitmq in eshop calls pods of Deployment/basket-data at port 6379\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "basket-data", *ESHOP), "no workload 'nobody'"),
        (("basket-api", "basket-data"), "pass at least one file"),
        (("basket-api", "basket-data:x", *ESHOP), "'x' is not a port"),
        (("basket-api", *ESHOP), "Missing argument"),
    ],
)
def test_a_question_that_makes_no_sense_is_a_usage_error(check, arguments, said):
    ended = check(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
