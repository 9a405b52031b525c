"""Ways of reading that are quicker say the same as those that they spare."""

from __future__ import annotations

import json
import string

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.detection.parse import files
from webhook.detection.parse.files import read_file
from webhook.detection.parse.references import normalised
from webhook.detection.parse.values import _all_forms, read_value
from webhook.detection.resolve import sources
from webhook.inventory.manifests import Manifests
from webhook.kubernetes import yaml as bounded
from webhook.kubernetes import yaml_values
from webhook.kubernetes.pod import Container, EnvVar, ObjectMeta, Pod, PodSpec

_texts = st.text(string.ascii_letters + string.digits + " .:/@$-_", max_size=30)
_keys = st.text(string.ascii_letters + "._-", min_size=1, max_size=12)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts
_nested = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4))
_documents = st.dictionaries(_keys, _nested, min_size=1, max_size=5) | st.lists(_nested, min_size=1, max_size=4)


@given(_documents, st.sampled_from([None, 1, 4]))
def test_json_says_the_same_as_when_it_is_read_as_yaml(document, indent):
    text = json.dumps(document, indent=indent)
    lines = read_file(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_JSON_OPENERS", ())
        assert read_file(text) == lines


@pytest.mark.parametrize(
    "text",
    [
        '{\n  // which cache\n  "host": "data",\n}',
        '{\n  "host": "data",\n}',
        "{host: data}",
        '[cache]\nhost = "data"\n',
        "{{ template }}\nhost: data\n",
    ],
)
def test_what_only_looks_like_json_is_read_all_the_same(text):
    assert [line.value.word for line in read_file(text) if line.path[-1:] == ("host",)] == ["data"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"host": "\ud800"}'], ids=["nested without end", "no Unicode"])
def test_what_is_no_json_does_no_harm(text):
    assert read_file(text) == ()


_yaml_texts = (
    st.text("-?:[]{}, \nab&!*|>'\"#", max_size=60) | _documents.map(yaml.safe_dump) | _documents.map(json.dumps)
)


@given(_yaml_texts)
@example("- - - - a: b")
@example("[a: [b: [c: [d: e]]]]")
@example("? ? ? a")
@example("a:\n- b:\n  - c:\n    - d:\n      - e")
@example("? - ? - a\n  : - b")
def test_no_text_has_more_levels_than_its_characters_allow(text):
    depth, deepest = 0, 0
    try:
        for event in yaml.parse(text, Loader=yaml_values.FastLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            deepest = max(deepest, depth)
    except yaml.YAMLError:
        pass

    assert deepest <= bounded._most_levels(text)


@pytest.mark.parametrize("text", ["[" * 3_000, "- " * 3_000 + "a", "{a: " * 3_000], ids=["flow", "block", "mappings"])
def test_what_is_nested_too_deeply_is_still_refused(text):
    with pytest.raises(bounded.LimitError, match="nested deeper than 100 levels"):
        bounded.load(text, bounded.CONFIGURATION)


def test_an_ordinary_text_is_not_parsed_to_count_its_levels(monkeypatch):
    def parse(*_, **__):
        raise AssertionError("parsed")

    monkeypatch.setattr(yaml, "parse", parse)
    text = "service:\n" + "".join(f"  part-{number}:\n    host: data-{number}\n" for number in range(200))

    bounded.check_text(text, bounded.CONFIGURATION)


class Plain(yaml.SafeLoader):
    """What `AsText` resolves, made into values by PyYAML's own ways."""

    yaml_implicit_resolvers = yaml_values.AsText.yaml_implicit_resolvers


def _made(text):
    return [yaml_values.plain(node) for node in bounded.nodes(text, bounded.CONFIGURATION, yaml_values.AsText)]


@given(_documents, st.booleans(), st.integers(0, 3))
def test_yaml_is_made_into_the_values_that_its_own_loader_makes(document, flow, shared):
    text = yaml.safe_dump([document, *[document] * shared], default_flow_style=flow)

    assert _made(text) == list(yaml.load_all(text, Loader=Plain))


@pytest.mark.parametrize("text", ["a: !!int 3\nb: !!str 4\nc: !!float 5\n", "- 2001-12-14\n- 0o7\n- ~\n- yes\n"])
def test_what_says_its_type_in_yaml_gets_it(text):
    assert _made(text) == list(yaml.load_all(text, Loader=Plain))


@pytest.mark.parametrize("text", ["a: !Ref b\n", "a: !!set {x, y}\n", "? [a, b]\n: c\n", "? {a: b}\n: c\n"])
def test_what_no_plain_value_can_be_made_of_is_refused(text):
    with pytest.raises(yaml.YAMLError):
        _made(text)


def test_aliases_that_unfold_without_end_do_no_harm():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    )

    assert len(read_file(bomb)) <= 10_000
    assert len(read_file("a: &a\n  self: *a\n  host: data\n")) <= 10_000


@given(st.from_regex(r"[A-Za-z0-9_-]{1,253}", fullmatch=True))
def test_a_single_word_mentions_what_the_forms_of_values_find_in_it(word):
    read = read_value(word)

    assert read.switch is not None or (list(read.mentions), read.word) == (list(_all_forms(word)), word)


_schemes = st.sampled_from(["redis", "HTTPS", "jdbc:mysql", "mongodb+srv", "a_b", "1a", "", "é", "x" * 41, "a=b"])
_hosts = st.sampled_from(["cache", "cache.data.svc", "10.0.0.7", "a_b", "db.", "[::1]", "${HOST}", "höst", "", "a..b"])
_ports = st.sampled_from(["", "", ":6379", ":123456", ":x", ":1:2"])
_rests = st.just("") | st.from_regex(r"[/?#;,@' ]([/?#;,@' :|$\\ax=1]|://|\$\{A:-b\}){0,5}", fullmatch=True)


@given(_schemes, _hosts, _ports, _rests)
@example("redis", "user", "", "/a@cache")
@example("redis", "a", "", "/a,redis://b")
@example("redis", "a", "", "/b c")
def test_a_plain_url_says_what_the_forms_of_values_find_in_it(scheme, host, port, rest):
    text = normalised(f"{scheme}://{host}{port}{rest}".strip().strip("'").strip())

    assert list(read_value(text).mentions) == list(dict.fromkeys(_all_forms(text)))


_key_words = st.sampled_from(
    "REDIS DB CACHE MAIL APP FEATURE HOST PORT URL ENABLED DISABLE USE TYPE DRIVER CONNECTION BROKER PASSWORD TOKEN "
    "NAME ADDR LEVEL LISTEN PREFIX Source 1".split()
)
_env_keys = st.lists(_key_words, min_size=1, max_size=3).map("_".join) | st.sampled_from(["app.md", "redis", "a.crt"])
_pieces = st.sampled_from(
    "= = = : , ; ( ) [ ] { } < > | / @ # $ - . ' \" 1 x true off host Server data addr hostaddr redis cache 1433 "
    "cache:6379 redis://cache $(DB_HOST) ${DB_PORT:-6379} // --redis-host tcp( database=x;".split()
) | st.sampled_from(["\n", "\t", " ", "\x1f", "\u2028", "data source", "# ", ", ssl"])
_env_values = st.lists(_pieces, max_size=6).map("".join)


@given(st.dictionaries(_env_keys, _env_values, min_size=1, max_size=6))
@example({"FEATURE": "Server=mssql;database=x"})
@example({"FEATURE": "x=1;Data Source =mssql;database=x"})
@example({"FEATURE": "-x=1 --redis-host cache"})
@example({"FEATURE": "<redis_host>cache</redis_host>"})
@example({"FEATURE": "{redis_enabled}", "FEATURE_REDIS_HOST": "cache"})
@example({"FEATURE": "[{redis_enabled}]", "FEATURE_0_REDIS_HOST": "cache"})
@example({"FEATURE": " {redis_enabled}", "FEATURE_REDIS_HOST": "cache"})
@example({"FEATURE": "a\n<redis_host>cache</redis_host>"})
@example({"APP": "cache", "REDIS_HOST": "$(APP)"})
@example({"LEVEL": "cache,password=x"})
def test_a_value_that_need_not_be_read_would_have_said_nothing(environment):
    container = Container(name="c", env=[EnvVar(key, value) for key, value in environment.items()])
    asked = ("default", Manifests((), ()), Catalog.default())
    pod = Pod(ObjectMeta(name="p"), PodSpec(containers=[container]))
    found = detect(pod, *asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "is_plain_text", lambda _: None)
        assert detect(pod, *asked) == found


def test_numbers_in_json_stay_as_they_are_written():
    assert [line.value.word for line in read_file('{"version": 1.50, "port": 6379}')] == ["1.50", "6379"]


@given(st.lists(st.from_regex(r"[A-Za-z0-9_./@()$-]{1,20}", fullmatch=True), min_size=2, max_size=6).map(" ".join))
def test_words_without_a_port_or_a_comma_are_a_sentence(text):
    assert [mention for mention in read_value(text).mentions if mention.form.value in {"host", "host:port"}] == []
