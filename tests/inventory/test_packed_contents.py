"""What the keys of a ConfigMap say, folded, is what they said before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.detection.parse.content import read_content
from webhook.inventory.packed import _RECENT, UNFOLDED, Packed

TEXTS = {
    "REDIS_HOST": "data",
    "DATABASE_URL": "postgresql://app:CANARY@db-0,db-1:5432/shop",
    "flag": "true",
    "empty": "",
    "app.yaml": "db:\n  host: ${DB:-db}\n  port: 5432\nqueue:\n- kind: rabbitmq\n  enabled: true\n",
    "run.sh": "#!/bin/sh\nnc -z rabbitmq 5672\n",
}


def contents(texts):
    return {key: read_content(key, text) for key, text in texts.items()}


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=5))
def test_nothing_is_lost_or_added(texts):
    assert dict(Packed(contents(texts))) == contents(texts)


def test_all_forms_of_content_come_back():
    assert dict(Packed(contents(TEXTS))) == contents(TEXTS)


def test_it_answers_as_any_mapping():
    packed = Packed(contents(TEXTS))

    assert packed["REDIS_HOST"].value.word == "data"
    assert packed.get("nothing") is None
    assert "flag" in packed
    assert len(packed) == len(TEXTS)
    with pytest.raises(KeyError):
        packed["nothing"]


def test_two_that_say_the_same_are_equal_and_are_not_unfolded_for_that():
    before = _RECENT.size
    one, same, other = (Packed(contents(texts)) for texts in (TEXTS, dict(reversed(TEXTS.items())), {}))

    assert (one == same, hash(one) == hash(same), one == other) == (True, True, False)
    assert _RECENT.size == before


def test_what_stays_unfolded_is_bounded_by_its_size():
    """A tenant may have as many ConfigMaps of a megabyte as there is room for, and name them all in one pod."""
    text = "".join(f"k{number}_host: s{number}:6379\n" for number in range(9000))
    large = read_content("a.yaml", text)
    for number in range(30):
        assert Packed({f"{number}.yaml": large})[f"{number}.yaml"].lines
    for number in range(5000):
        assert len(Packed(contents({"host": f"data-{number}"}))) == 1

    assert _RECENT.size <= UNFOLDED
    assert len(_RECENT) <= UNFOLDED // 1024


def test_one_key_of_many_is_unfolded_alone():
    """Each is one call that holds the interpreter."""
    text = "".join(f"k{number}: a:{number % 10}\n" for number in range(900))
    many = Packed(contents({f"{number}.yaml": text for number in range(100)}))
    many["0.yaml"]
    with measured() as work:
        many["1.yaml"]

    assert work.seconds < 0.02


def test_it_equals_a_mapping_of_another_kind_that_says_the_same():
    assert Packed(contents(TEXTS)) == contents(TEXTS)


def test_the_settings_of_a_file_take_less_room_than_its_text():
    text = "".join(f"service.part-{number}.timeout = {number}s\n" for number in range(300))
    packed = Packed(contents({"application.properties": text}))

    assert len(packed._bytes) < len(text) / 2
