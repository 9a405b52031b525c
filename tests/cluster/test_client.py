import asyncio
import json
import os

import pytest
import yaml

from webhook.cluster.client import connect
from webhook.cluster.errors import LONGEST_MESSAGE, ClusterError, ExpiredError, NoClusterError, TooLargeError

PATH = "/api/v1/configmaps"


def asked(kubeconfig, call):
    async def asking():
        try:
            return await call(client)
        finally:
            await client.close()

    client = connect(kubeconfig)
    return asyncio.run(asking())


def test_an_answer_is_the_raw_json(api, kubeconfig):
    api.put(PATH, {"metadata": {"name": "cfg", "namespace": "shop"}, "data": {"a": "b"}})

    answer = asked(kubeconfig, lambda client: client.get("/api/v1/namespaces/shop/configmaps/cfg"))

    assert json.loads(answer)["data"] == {"a": "b"}


@pytest.mark.parametrize(("status", "error"), [(404, ClusterError), (410, ExpiredError), (403, ClusterError)])
def test_a_refusal_says_what_the_api_server_says(api, kubeconfig, status, error):
    api.refusals[PATH] = (status, "because")

    with pytest.raises(error, match="because") as refused:
        asked(kubeconfig, lambda client: client.get(PATH))

    assert refused.value.status == status


def test_an_api_server_that_is_not_there_is_named_and_no_token_is(kubeconfig):
    document = yaml.safe_load(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    kubeconfig.write_text(yaml.safe_dump(document))

    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:1 cannot be reached") as lost:
        asked(kubeconfig, lambda client: client.get(PATH))

    assert lost.value.status is None
    assert "CANARY" not in str(lost.value)


def test_an_api_server_that_does_not_answer_in_time_is_given_up(api, kubeconfig):
    async def watch(client):
        return await client.get(f"{PATH}?watch=true", seconds=0.1)

    with pytest.raises(ClusterError, match="does not respond"):
        asked(kubeconfig, watch)


def test_a_line_of_a_watch_may_come_in_pieces_and_be_long(api, kubeconfig):
    async def follow(client):
        async with asyncio.timeout(10), client.watch(PATH, {}) as lines:
            while not api.events.get(PATH):
                await asyncio.sleep(0.005)
            api.send(PATH, {"long": "x" * 3_000_000})
            api.send(PATH, {"short": ""})
            api.send(PATH, None)
            return [len(line) async for line in lines]

    assert asked(kubeconfig, follow) == [3_000_012, 13]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory"),
        ("x: [", "is not valid YAML"),
        ("{}", "current-context"),
        ("[]", "invalid kubeconfig"),
        ("kind: Config\ncurrent-context: a\ncontexts: []\nclusters: []\nusers: []\n", "invalid kubeconfig"),
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

    with pytest.raises(NoClusterError, match=r"not running in a cluster .*: pass --kubeconfig FILE"):
        connect()


def test_a_redirect_is_not_followed(ask, loopback):
    elsewhere = []
    with loopback(lambda _, path, *__: (elsewhere.append(path), {})) as other:
        where = {"Location": f"http://127.0.0.1:{other}/elsewhere"}

        with pytest.raises(ClusterError, match="redirect") as refused:
            ask(lambda *_: (302, {}, where), lambda client: client.get(PATH))

    assert (refused.value.status, elsewhere) == (302, [])


@pytest.mark.parametrize(("said", "seconds"), [("30", 30), ("99999999", 120), ("-1", 0), ("soon", 0), ("9" * 5000, 0)])
def test_how_long_the_api_server_wants_to_be_left_alone_is_part_of_the_error(ask, said, seconds):
    with pytest.raises(ClusterError) as refused:
        ask(lambda *_: (429, {}, {"Retry-After": said}), lambda client: client.get(PATH))

    assert refused.value.retry_after == seconds


def test_an_answer_has_a_limit(ask):
    with pytest.raises(TooLargeError, match="exceeds 1000 bytes"):
        ask(lambda *_: (200, b"x" * 1001), lambda client: client.get(PATH, most=1000))


def test_what_the_api_server_says_is_cut(ask):
    with pytest.raises(ClusterError) as refused:
        ask(lambda *_: (500, {"message": "x" * 10_000}), lambda client: client.get(PATH))

    assert len(str(refused.value)) == LONGEST_MESSAGE
