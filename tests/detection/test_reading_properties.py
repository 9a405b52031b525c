"""Properties of reading: nothing is invented, nothing leaks, and time grows no faster than the input."""

from __future__ import annotations

import base64
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.detection.commands import read_command
from webhook.detection.content import read_content
from webhook.detection.values import read_value

CANARY = "cAnArY9"
_hex = st.binary(min_size=16, max_size=64).map(bytes.hex)
_base64 = st.binary(min_size=16, max_size=200).map(lambda data: base64.b64encode(data).decode())
_prose = st.text(string.ascii_letters + " .,!?'()-", max_size=200)
_http = st.from_regex(r"https?://[a-z]{1,12}(\.[a-z]{2,8}){0,3}(:[0-9]{2,5})?(/[a-z0-9/]{0,20})?", fullmatch=True)
_images = st.from_regex(r"([a-z]{2,9}\.[a-z]{2,4}/)?[a-z]{2,9}/[a-z-]{2,12}:v?[0-9]\.[0-9]{1,3}", fullmatch=True)
_keys = st.sampled_from(["VALUE", "TOKEN_SEED", "DESCRIPTION", "CHECKSUM", "API_URL", "IMAGE", "CALLBACK"])


@given(_keys, _hex | _base64 | _prose | _http | _images)
def test_no_client_is_invented_from_noise(find_in_env, key, text):
    assert find_in_env(key, text) == set()


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
    read_value(text)
    read_content("key", text)
    read_command([text, "sh", "-c", text])


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
}


@pytest.mark.parametrize("name", _ADVERSARIES)
def test_reading_takes_time_linear_in_the_input(name):
    unit = _ADVERSARIES[name]

    def seconds(size):
        text = unit * (size // len(unit))
        start = time.process_time()
        read_content("URL", text)
        read_content("file", f"first = 1\n{text}\n")
        read_command(["sh", "-c", text])
        return time.process_time() - start

    small, large = seconds(60_000), seconds(960_000)

    assert large < max(4.0, 64 * small)
