"""Lists that do not end, expire or are too large, over the real client."""

from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from webhook.cluster import pages as pages_module
from webhook.cluster.errors import ClusterError, ExpiredError
from webhook.cluster.pages import MOST_STALLED, PAGE_BYTES_AT_MOST, pages
from webhook.cluster.pods import live_pods

PATH = "/api/v1/pods"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Do not wait long before trying again."""
    monkeypatch.setattr(pages_module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(pages_module, "_LONGEST_PAUSE", 0.01)


def listing(items, token=""):
    return {"metadata": {"resourceVersion": "7", "continue": token}, "items": items}


def pod(name, **more):
    return {"metadata": {"name": name, "namespace": "shop"}, **more}


def names(found):
    return [msgspec.json.decode(item)["metadata"]["name"] for page in found for item in page]


def scenario(**options):
    async def read(client):
        return [page.items async for page in pages(client, PATH, **{"limit": 2} | options)]

    return read


class Server:
    """Answers by a function of the query, and notes the queries."""

    def __init__(self, answer):
        self.asked: list[dict[str, str]] = []
        self._answer = answer

    def __call__(self, _method, path, *_):
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        self.asked.append(query)
        return self._answer(query)


@pytest.mark.parametrize(
    "endless",
    [
        lambda asked, _: listing([], "same"),
        lambda asked, _: listing(None, f"token-{asked}"),
        lambda asked, _: listing([pod("a"), pod("b")], f"token-{asked}"),
    ],
    ids=["empty pages with one token", "null pages with new tokens", "the same page with new tokens"],
)
@pytest.mark.parametrize("consistent", [True, False])
def test_a_list_that_brings_nothing_new_without_an_end_is_given_up(ask, endless, consistent):
    server: Server = Server(lambda query: (200, endless(len(server.asked), query)))

    with pytest.raises(ClusterError, match="has no end"):
        ask(server, scenario(consistent=consistent))

    assert len(server.asked) <= MOST_STALLED + 2


def test_null_items_are_an_empty_list(ask):
    assert ask(lambda *_: (200, listing(None)), scenario()) == [[]]


@pytest.mark.parametrize("document", [{}, {"metadata": {}, "items": []}, [], {"metadata": {"resourceVersion": 5}}])
def test_what_is_no_list_is_refused(ask, document):
    with pytest.raises(ClusterError, match=r"unexpected response|no resourceVersion"):
        ask(lambda *_: (200, document), scenario())


def test_an_expired_token_goes_on_with_the_token_that_comes_with_the_error(ask):
    def answer(query):
        if "continue" not in query:
            return 200, listing([pod("a"), pod("b")], "old")
        if query["continue"] == "old":
            return 410, {"kind": "Status", "code": 410, "message": "too old", "metadata": {"continue": "inconsistent"}}
        return 200, listing([pod("c")])

    server = Server(answer)

    assert names(ask(server, scenario(consistent=False))) == ["a", "b", "c"]
    assert [query.get("continue") for query in server.asked] == [None, "old", "inconsistent"]


def test_an_expired_token_without_another_goes_on_behind_the_last_name(ask):
    def answer(query):
        begun_again = len(server.asked) > 2
        if "continue" in query and not begun_again:
            return 410, {"kind": "Status", "code": 410, "message": "too old"}
        if "continue" in query:
            return 200, listing([pod("c"), pod("d")])
        return 200, listing([pod("a"), pod("b")], "next")

    server = Server(answer)

    assert names(ask(server, scenario(consistent=False))) == ["a", "b", "c", "d"]


def test_tokens_that_expire_each_time_end_the_list(ask):
    def answer(query):
        if "continue" in query:
            return 410, {"kind": "Status", "code": 410, "message": "too old"}
        return 200, listing([pod("a"), pod("b")], "next")

    server = Server(answer)

    with pytest.raises(ExpiredError):
        ask(server, scenario(consistent=False))
    assert len(server.asked) <= 2 * MOST_STALLED + 2


def test_where_a_list_has_to_be_consistent_an_expired_token_ends_it(ask):
    def answer(query):
        status = {"kind": "Status", "code": 410, "message": "too old", "metadata": {"continue": "inconsistent"}}
        return (410, status) if "continue" in query else (200, listing([pod("a")], "old"))

    with pytest.raises(ExpiredError):
        ask(Server(answer), scenario())


def test_a_page_that_is_too_large_is_asked_for_in_parts(ask):
    large = pod("a", data="x" * (PAGE_BYTES_AT_MOST // 3))

    def answer(query):
        begin, count = int(query.get("continue", 0)), int(query["limit"])
        items = [large | {"metadata": {"name": f"p{number}"}} for number in range(8)][begin : begin + count]
        return 200, listing(items, str(begin + count) if begin + count < 8 else "")

    server = Server(answer)

    assert names(ask(server, scenario(limit=25))) == [f"p{number}" for number in range(8)]
    assert [query["limit"] for query in server.asked[:3]] == ["25", "6", "1"]


def test_pods_are_listed_beyond_the_life_of_a_token(ask):
    def answer(query):
        begin = int(query.get("continue", "0").removeprefix("again-"))
        if begin and not query["continue"].startswith("again-"):
            again = {"continue": f"again-{begin}"}
            return 410, {"kind": "Status", "code": 410, "message": "too old", "metadata": again}
        return 200, listing([pod(f"p{begin}")], str(begin + 1) if begin < 5 else "")

    async def read(client):
        return [page async for page in live_pods(client, pause=0.0)]

    assert names(ask(Server(answer), read)) == [f"p{number}" for number in range(6)]
