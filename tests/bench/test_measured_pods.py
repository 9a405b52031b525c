import re

import pytest
import reviews

from webhook.kubernetes.admission import parse


def review(env, *, fresh):
    return reviews.line(reviews.review(reviews.pod(env, fresh=fresh)))


@pytest.mark.parametrize(("env", "kilobytes"), [(reviews.SMALL, 6), (reviews.LARGE, 220)])
def test_reviews_are_as_large_as_the_pages_say(env, kilobytes):
    assert len(review(env, fresh=True)) / 1000 == pytest.approx(kilobytes, rel=0.1)


@pytest.mark.parametrize("env", [10, reviews.SMALL])
def test_a_pod_has_as_many_environment_values_as_asked_for(env):
    pod = parse(review(env, fresh=True).encode()).pod

    assert len(pod.spec.containers[0].env) == env


def test_each_value_of_a_new_pod_is_another_one_in_each_request():
    values = [one["value"] for one in reviews.pod(100, fresh=True)["spec"]["containers"][0]["env"][9:]]

    assert [value for value in values if reviews.MARK not in value] == []


def test_replicas_differ_in_the_request_and_in_the_token_volume_alone():
    marked = re.findall(rf"([\w-]+){reviews.MARK}", review(reviews.SMALL, fresh=False))

    assert marked == ["1f0c6a9e-31a4-4f7b-8a55-0000", "kube-api-access-", "kube-api-access-"]


def test_a_pod_with_its_numbers_holds_no_mark():
    assert reviews.MARK not in reviews.line(reviews.numbered(reviews.pod(reviews.SMALL, fresh=True)))


@pytest.mark.parametrize(("client", "names"), [(True, {"basket-data", "rabbitmq"}), (False, set())])
def test_only_a_clients_surroundings_lead_to_its_backends(client, names):
    documents = reviews.surroundings("shop", client=client)

    (config_map,) = (one for one in documents if one["kind"] == "ConfigMap")
    assert {"basket-data", "rabbitmq"} & set(config_map["data"].values()) == names
    assert {one["metadata"]["namespace"] for one in documents} == {"shop"}
