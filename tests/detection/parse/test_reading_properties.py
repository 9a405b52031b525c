"""Properties of reading: nothing is invented, nothing leaks, and time grows no faster than the input."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import measured

from webhook.core.values import Content, Line, Value
from webhook.detection.parse.commands import read_command
from webhook.detection.parse.content import read_content
from webhook.detection.parse.values import read_value

CANARY = "cAnArY9"
_hex = st.binary(min_size=16, max_size=64).map(bytes.hex)
_base64 = st.binary(min_size=16, max_size=200).map(lambda data: base64.b64encode(data).decode())
_prose = st.text(string.ascii_letters + " .,!?'()-", max_size=200)
_http = st.from_regex(r"https?://[a-z]{1,12}(\.[a-z]{2,8}){0,3}(:[0-9]{2,5})?(/[a-z0-9/]{0,20})?", fullmatch=True)
_images = st.from_regex(r"([a-z]{2,9}\.[a-z]{2,4}/)?[a-z]{2,9}/[a-z-]{2,12}:v?[0-9]\.[0-9]{1,3}", fullmatch=True)
_keys = st.sampled_from(["VALUE", "TOKEN_SEED", "DESCRIPTION", "CHECKSUM", "API_URL", "IMAGE", "CALLBACK"])


_uuid = st.uuids().map(str)
_versions = st.from_regex(r"v?[0-9]{1,2}\.[0-9]{1,3}(\.[0-9]{1,3})?(-[a-z]{1,5}\.[0-9])?", fullmatch=True)
_paths = st.from_regex(r"(/[a-z0-9._-]{1,9}){1,5}", fullmatch=True)
_jwt = st.lists(_base64, min_size=3, max_size=3).map(".".join)
_noise = _hex | _base64 | _prose | _http | _images | _uuid | _versions | _paths | _jwt
# Keys that name a backend, but no place of it.
_beside = st.sampled_from(
    "REDIS_PASSWORD POSTGRES_DB KAFKA_TOPIC MONGO_COLLECTION RABBITMQ_VHOST MYSQL_SSL_CA NATS_SUBJECT REDIS_KEY_PREFIX "
    "KAFKA_HEAP_OPTS POSTGRES_VERSION REDIS_IMAGE LDAP_BASE_DN SMTP_FROM MEMCACHED_MAX_ITEM_SIZE".split()
)
_wire_kinds = st.sampled_from(
    "REDIS POSTGRES MYSQL MONGODB RABBITMQ KAFKA NATS MEMCACHED MSSQL LDAP SMTP ZOOKEEPER CASSANDRA MQTT".split()
)


@given(_keys, _noise)
def test_no_client_is_invented_from_noise(find_in_env, key, text):
    assert find_in_env(key, text) == set()


@given(_beside, _noise)
def test_no_client_is_invented_from_noise_in_a_key_that_names_a_backend_but_no_place(find_in_env, key, text):
    assert find_in_env(key, text) == set()


@given(_wire_kinds, _http)
def test_an_http_url_is_no_client_of_a_backend_that_does_not_speak_http(find_in_env, kind, url):
    assert find_in_env(f"{kind}_URL", url) == set()


@given(st.lists(st.tuples(_keys | _beside, _noise), min_size=1, max_size=8))
def test_no_client_is_invented_from_files_and_arguments_of_noise(find_in_pod, settings):
    lines = [f"{key}: '{text}'" if "'" not in text else f'# {key} "{text}"' for key, text in settings]

    assert find_in_pod("\n".join(["first: 1", *lines]), [f"--{key.lower()}={text}" for key, text in settings]) == set()


@given(st.lists(_noise, min_size=1, max_size=12))
def test_no_client_is_invented_from_text_that_is_no_configuration(find_in_pod, words):
    assert find_in_pod("\n".join(["# notes", *words]), words) == set()


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://user:{CANARY}@db:5432/app",
        f"amqp://user:{CANARY}/x@mq:5672/vhost",
        f"redis://:{CANARY}@cache",
        f"mongodb://u:{CANARY}@a:27017,b:27017/x?authSource={CANARY}",
        f"Server=db;Database=a;User Id=sa;Password={CANARY}",
        f"Host=db;Username=a;Password={CANARY};Database=b",
        f"host=db user=a password={CANARY} dbname=b",
        f"u:{CANARY}@tcp(db:3306)/app",
        f"cache:6379,password={CANARY},ssl=true",
        f"Driver={{SQL Server}};Server=db;Uid=sa;Pwd={CANARY}",
        f"jdbc:sqlserver://db:1433;user=sa;password={CANARY}",
        f"jdbc:oracle:thin:scott/{CANARY}@db:1521:XE",
        f"https://user:{CANARY}@host/path?token={CANARY}",
    ],
)
def test_credentials_of_connection_strings_do_not_survive_reading(text):
    assert CANARY not in repr(read_value(text))
    assert CANARY not in repr(read_content("URL", text))
    assert CANARY not in repr(read_content("file", f"first: 1\nurl: {text}\n"))
    assert CANARY not in repr(read_command(["app", f"--url={text}"]))


@pytest.mark.parametrize(
    "key", ["PASSWORD", "DB_PASSWORD", "apiKey", "CLIENT_SECRET", "token", "AWS_SECRET_ACCESS_KEY"]
)
def test_credentials_by_name_do_not_survive_reading(key):
    assert CANARY not in repr(read_content(key, CANARY))
    assert CANARY not in repr(read_content("file", f"a: b\n{key}: {CANARY}\n"))
    assert CANARY not in repr(read_content("file", f"[x]\n{key} = {CANARY}\n"))
    assert CANARY not in repr(read_command([f"--{key}={CANARY}"]))


@given(st.text(max_size=300))
def test_any_text_can_be_read_in_every_role(text):
    assert isinstance(read_value(text), Value)
    assert isinstance(read_content("key", text), Content)
    assert {type(line) for line in read_command([text, "sh", "-c", text])} <= {Line}


_ADVERSARIES = {
    "one word": "a",
    "labels": "a.",
    "schemes": "redis://",
    "separators": "://",
    "credentials": "a@",
    "pairs": "x=1;",
    "TNS": "(HOST=",
    "places": "a:1,",
    "references": "${A:-",
    "open references": "$(",
    "libpq": "host=a ",
    "options": ",ssl",
    "dashes": "-",
    "brackets": "[",
    "braces": "{",
    "lines": "a: b\n",
    "quotes": "\"'",
    "nesting": "a:\n ",
    "flags": "--a=b ",
    "spaces": " ",
    "environment": "env(",
    "tags": "<a>",
    "tabs": "a\t=",
    "backslashes": "\\",
    "attributes": 'name="a" ',
    "elements": "<a name=",
    "servers": "server a:1 ",
    "tuples": "('a', ",
    "subscripts": "a['b']",
    "equal signs": "=",
    "commas": ",",
    "assignments": "a=b=",
    "hashes": " #",
    "expressions": "os.environ['A'] or ",
}


def _seconds(read, text):
    with measured() as work:
        read(text)
    return work.seconds


@pytest.mark.parametrize("name", _ADVERSARIES)
@pytest.mark.parametrize(
    "read",
    [
        lambda text: read_content("URL", text),
        lambda text: read_content("file", f"first = 1\n{text}\n"),
        lambda text: read_content("file", f"first: 1\nsecond: {text}\n"),
        lambda text: read_content(
            "file", "".join(f"k: {text[at : at + 19_000]}\n" for at in range(0, len(text), 19_000))
        ),
        lambda text: read_content(
            "file", "".join(f"k {text[at : at + 19_000]}x\n" for at in range(0, len(text), 19_000))
        ),
        lambda text: read_content(
            "file", "".join(f"[{text[at : at + 19_000]}x\n" for at in range(0, len(text), 19_000))
        ),
        lambda text: read_command(["sh", "-c", text]),
        lambda text: read_command(["app", f"--flag={text}", text]),
    ],
    ids=["value", "file", "line", "long lines", "long words", "long sections", "script", "argument"],
)
def test_reading_a_megabyte_takes_time_linear_in_its_size(read, name):
    """Four times the input may take four times as long; what is quadratic takes sixteen times, on any machine."""
    unit = _ADVERSARIES[name]
    small, large = unit * (250_000 // len(unit)), unit * (1_000_000 // len(unit))

    def linear():
        return _seconds(read, large) < max(0.3, 10 * _seconds(read, small))

    # A busy machine may slow one measurement down, hardly four in a row.
    assert any(linear() for _ in range(4))
