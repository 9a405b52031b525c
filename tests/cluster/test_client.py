import asyncio
import json
import os

import pytest
import yaml

from webhook.cluster.client import connect
from webhook.cluster.errors import ClusterError, ExpiredError, NoClusterError

PATH = "/api/v1/configmaps"


def ask(kubeconfig, call):
    async def asking():
        try:
            return await call(client)
        finally:
            await client.close()

    client = connect(kubeconfig)
    return asyncio.run(asking())


def test_an_answer_is_the_raw_json(api, kubeconfig):
    api.put(PATH, {"metadata": {"name": "cfg", "namespace": "shop"}, "data": {"a": "b"}})

    answer = ask(kubeconfig, lambda client: client.get("/api/v1/namespaces/shop/configmaps/cfg"))

    assert json.loads(answer)["data"] == {"a": "b"}


@pytest.mark.parametrize(("status", "error"), [(404, ClusterError), (410, ExpiredError), (403, ClusterError)])
def test_a_refusal_says_what_the_api_server_says(api, kubeconfig, status, error):
    api.refusals[PATH] = (status, "because")

    with pytest.raises(error, match="because") as refused:
        ask(kubeconfig, lambda client: client.get(PATH))

    assert refused.value.status == status


def test_an_api_server_that_is_not_there_is_named_and_no_token_is(kubeconfig):
    document = yaml.safe_load(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    kubeconfig.write_text(yaml.safe_dump(document))

    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:1 cannot be reached") as lost:
        ask(kubeconfig, lambda client: client.get(PATH))

    assert lost.value.status is None
    assert "CANARY" not in str(lost.value)


def test_an_api_server_that_does_not_answer_in_time_is_given_up(api, kubeconfig):
    async def watch(client):
        return await client.get(f"{PATH}?watch=true", seconds=0.1)

    with pytest.raises(ClusterError, match="does not answer"):
        ask(kubeconfig, watch)


def test_a_line_of_a_watch_may_come_in_pieces_and_be_long(api, kubeconfig):
    async def follow(client):
        async with asyncio.timeout(10), client.watch(PATH, {}) as lines:
            while not api.events.get(PATH):
                await asyncio.sleep(0.005)
            api.send(PATH, {"long": "x" * 3_000_000})
            api.send(PATH, {"short": ""})
            api.send(PATH, None)
            return [len(line) async for line in lines]

    assert ask(kubeconfig, follow) == [3_000_012, 13]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory"),
        ("x: [", "is not valid YAML"),
        ("{}", "current-context"),
        ("[]", "is no kubeconfig that can be used"),
        ("kind: Config\ncurrent-context: a\ncontexts: []\nclusters: []\nusers: []\n", "is no kubeconfig"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_with_the_reason(tmp_path, capfd, text, said):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)

    with pytest.raises(NoClusterError, match=said) as refused:
        connect(path)

    assert str(path) in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_context_that_is_not_there_is_named(kubeconfig):
    with pytest.raises(NoClusterError, match="nowhere"):
        connect(kubeconfig, "nowhere")


def test_outside_a_cluster_the_ways_to_reach_one_are_named(monkeypatch):
    for name in [name for name in os.environ if name.startswith("KUBERNETES_")]:
        monkeypatch.delenv(name)

    with pytest.raises(NoClusterError, match=r"no pod of a cluster .*: give --kubeconfig FILE"):
        connect()
