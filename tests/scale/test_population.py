"""The made cluster: the same objects for the same seed, of the wanted size, that name one another."""

import json

import pytest
from admission import mutation, validation
from population import Population, Size

from webhook.detection.parse.content import read_content

SIZE = Size(namespaces=20, services=60, config_maps=200)


@pytest.fixture
def population():
    return Population(SIZE)


def test_the_same_seed_gives_the_same_objects_in_any_order(population):
    again = Population(SIZE)

    assert [again.config_map(number) for number in (7, 3)] == [population.config_map(7), population.config_map(3)]
    assert Population(SIZE, seed=2).config_map(7) != population.config_map(7)


def test_config_maps_are_about_as_large_as_wanted(population):
    sizes = [len(json.dumps(one["data"])) for one in population.config_maps()]

    assert sum(sizes) / len(sizes) == pytest.approx(SIZE.bytes, rel=0.15)


def test_every_object_has_a_name_of_its_own_in_a_namespace_that_there_is(population):
    namespaces = {one["metadata"]["name"] for one in population.namespaces()}
    others = [*population.services(), *population.authorities(), *population.config_maps()]
    names = {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in others}

    assert len(names) == len(others)
    assert {namespace for _, namespace, _ in names} == namespaces


def test_settings_name_services_of_their_own_namespace(population):
    number = next(number for number in range(200) if "-env-" in population.config_map(number)["metadata"]["name"])
    data = population.config_map(number)["data"]
    hosts = {mention.host for key, text in data.items() for mention in read_content(key, text).value.mentions}

    assert hosts & {*population.neighbours(number)}


def test_a_review_is_of_the_pods_usual_size_and_names_what_is_there(population):
    review = json.loads(mutation(population, 5))
    spec = review["request"]["object"]["spec"]

    assert 6_000 < len(json.dumps(review)) < 8_000
    assert spec["containers"][0]["envFrom"][0]["configMapRef"]["name"] == population.config_map(5)["metadata"]["name"]
    assert spec["volumes"][0]["configMap"]["name"] == population.config_map(25)["metadata"]["name"]


def test_the_review_after_the_mutation_is_of_the_mutated_pod(population):
    operations = [{"op": "add", "path": "/metadata/labels/sidecar.istio.io~1inject", "value": "false"}]
    after = json.loads(validation(mutation(population, 5), operations))

    assert after["request"]["object"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
