"""Whatever a pod or a ConfigMap holds, reading it takes time linear in its length, and little of it is kept.

Time is CPU time: as a ratio of the least of several measurements, and against limits that are far from what it takes.
"""

from __future__ import annotations

import gc
import sys
import time

import msgspec
import pytest
from pace import measured, slowness
from shapes import repeated, units

from webhook.detection.catalog import Catalog
from webhook.detection.keys import key_of
from webhook.detection.parse.commands import programs, read_command, script
from webhook.detection.parse.content import is_plain_text, read_content
from webhook.detection.parse.files import read_file
from webhook.detection.parse.lines import Quota
from webhook.detection.parse.references import expand, normalised
from webhook.detection.parse.values import begins_value, plain_url, read_value, urls
from webhook.detection.resolve.places import Places
from webhook.detection.words import key_words, role, subject, words
from webhook.inventory.manifests import Manifests
from webhook.kubernetes.pod import ObjectMeta, Pod, PodSpec

CATALOG = Catalog.default()
PLACES = Places(Pod(ObjectMeta(name="p"), PodSpec(containers=[])), "default", Manifests((), ()))


def read_script(text):
    quota = Quota()
    return quota.kept(script(text, quota))


READERS = {
    "a key's text": lambda text: read_content("VALUE", text),
    "a credential": lambda text: read_content("DB_SECRET", text),
    "a value": read_value,
    "a value of several lines": begins_value,
    "URLs": lambda text: list(urls(text)),
    "a file": read_file,
    "a script": read_script,
    "a shell's argument": lambda text: read_command(["sh", "-c", text]),
    "many words": lambda text: read_command(text.split()),
    "many scripts": lambda text: read_command([text[at : at + 40] for at in range(0, len(text), 40)]),
    "flags": lambda text: read_command(["app", f"--url={text}", text, "--password", text]),
    "programs": lambda text: programs(["sh", "-c", text]),
    "whether a text is plain": lambda text: (plain_url(text), is_plain_text(text)),
    "references": lambda text: expand(normalised(text[:200_000], bare=True), lambda _: "x"),
    "a key": lambda text: (role(key_words(text)), subject(words(text)), key_of(CATALOG, text)),
    "an image": lambda text: (CATALOG.of_image(text), CATALOG.relays(text)),
    "a host": lambda text: PLACES.resolve(text, text),
}
SHAPES = 10
MEGABYTE = 1_000_000
# Longer values are cut off.
LONGEST = 15_600
# What takes less is not measured: it is noise.
FLOOR = 0.004


def cpu_seconds(read, text, times=1):
    """The CPU time of one reading, as the mean of so many."""
    start = time.process_time()
    for _ in range(times):
        read(text)
    return (time.process_time() - start) / times


def grows_linearly(read, unit, before, after):
    """Whether four times the text takes less than 6.5 times as long: four is linear, and sixteen quadratic.

    Both have an even number of units: quotes that are closed are another text than quotes that are not.
    """
    short, long = (repeated(2 * unit, before, after, length) for length in (LONGEST // 4, LONGEST))
    rounds = []
    while len(rounds) < 12:
        rounds.append((cpu_seconds(read, short, 4), cpu_seconds(read, long)))
        few, many = map(min, zip(*rounds, strict=True))
        if len(rounds) >= 3 and (many < FLOOR or many < 6.5 * few):
            return True
    return False


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_time_linear_in_the_length_of_a_text(name):
    read = READERS[name]
    for shape in units(name, SHAPES):
        quick = cpu_seconds(read, repeated(*shape, LONGEST)) < FLOOR
        assert quick or grows_linearly(read, *shape), shape


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_less_than_half_a_second_for_a_megabyte(name):
    read = READERS[name]
    for shape in units(name, SHAPES):
        text = repeated(*shape, MEGABYTE)
        with measured() as work:
            read(text)
        assert work.seconds < 0.5, shape


@pytest.mark.parametrize("name", ["a key's text", "a file", "a script", "many words"])
def test_little_is_kept_of_a_megabyte(name):
    for shape in units(name, SHAPES):
        assert len(msgspec.msgpack.encode(READERS[name](repeated(*shape, MEGABYTE)))) < 2 * MEGABYTE, shape


@pytest.mark.parametrize(
    "text",
    [
        "a: &a\n" + "".join(f"{'  ' * depth}{'k' * 200}:\n" for depth in range(1, 25)) + f"{' ' * 60}b: h:1\n" * 12_000,
        "".join(f"k{number}: {','.join(f'h{item}:{number}' for item in range(60))}\n" for number in range(2_500)),
        "a: &a [" + ",".join(["h:6379"] * 1_000) + "]\nb: &b [*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n",
        "a: &a |\n" + "  b: h:6379\n" * 2_000 + "b: [" + ",".join(["*a"] * 3_000) + "]\n",
    ],
    ids=["long keys above many lines", "many places in many lines", "aliases of lists", "aliases of texts"],
)
def test_what_unfolds_is_bounded_and_said_to_be_cut(text):
    with measured() as work:
        content = read_content("app.yaml", text)

    assert content.cut
    assert len(msgspec.msgpack.encode(content)) < 2 * MEGABYTE
    assert work.seconds < 2


@pytest.mark.parametrize("unit", ["=", "a=", ",", "h:1,", "a: b\n", '"', "[],", "{}", "$a", "- - a\n", "x", "a://b,"])
@pytest.mark.parametrize("length", [34_000, 149_000, MEGABYTE])
@pytest.mark.parametrize("name", ["a key's text", "a script", "flags", "whether a text is plain"])
def test_no_step_of_a_reader_holds_the_interpreter_for_long(name, unit, length):
    text = repeated(unit, "", "", length)

    assert any(longest_step(READERS[name], text) < 0.05 * slowness() for _ in range(4))


def longest_step(read, text):
    """The most CPU time between two calls or returns, where other threads may have their turn.

    What it takes to look for garbage in the tests' own objects does not count.
    """
    gc.disable()
    longest, last = 0.0, time.thread_time()

    def step(*_):
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now

    sys.setprofile(step)
    try:
        read(text)
    finally:
        sys.setprofile(None)
        gc.enable()
    return longest


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("app.properties", "a=b\n" * 5_001 + "redis.host=cache\n"),
        ("app.yaml", f"a: {'b' * 20_000}:6379\n"),
        ("app.ini", "a = " + "b:1," * 5_000 + "\nc = d\n"),
        ("app.json", '{"a": [' + ",".join(['"h:6379"'] * 20_000) + "]}"),
        ("run.sh", "#!/bin/sh\n" + "redis-cli -h cache\n" * 3_000),
        ("NAME", "cache:6379," * 2_000),
        ("NAME", ",".join(f"cache-{number}:6379" for number in range(65))),
        ("NAME", ",".join(f"cache-{number}:6379" for number in range(200))),
        ("NAME", "x://y:z " * 65 + "redis://cache"),
        ("deep.yaml", "".join(f"{' ' * depth}k:\n" for depth in range(40)) + " " * 41 + "host: cache\n"),
        ("large", "a = b\n" * 170_000),
    ],
)
def test_a_text_of_which_a_part_was_left_out_says_so(key, text):
    assert read_content(key, text).cut


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("app.properties", "redis.host=cache\n" * 4_500),
        ("license", "QUJD" * 10_000),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\n" + "QUJD\n" * 20_000),
        ("DB_PASSWORD", "x:y," * 10_000),
        ("NAME", "cache:6379"),
        ("app.yaml", "host: cache\n"),
    ],
)
def test_a_text_of_which_nothing_is_missing_is_not_said_to_be_cut(key, text):
    assert not read_content(key, text).cut


def test_no_host_and_no_password_begins_where_a_long_value_is_cut_off():
    padding = "/" + "x" * 16_000

    assert read_value(f"redis://user:7319{padding}@cache:6379").mentions == ()
    assert read_file(f"url = redis://user:7319{padding}@cache:6379\n") == ()
    assert read_script(f"app --url redis://user:7319{padding}@cache:6379\n") == ()
