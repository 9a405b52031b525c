"""A password that stands beside a place, as a parameter of its URL or as the value of a map, is no host."""

from __future__ import annotations

import json

import pytest
from test_credentials_stay_out import _clients

from webhook.detection.files import read_file
from webhook.detection.values import read_value

PASSWORDS = ["hunter2", "P@ssw0rd", "abc@qwxv"]
URLS = [
    "redis://dbhost:6379,password={}",
    "redis://dbhost:6379,password={},ssl=true",
    "rediss://dbhost:6380,ssl=true,password={}",
    "redis://dbhost:6379&password={}",
    "redis://dbhost:6379:password={}",
    "redis://dbhost:6379,{}",
    "redis://dbhost:6379,redis://dbhost-1:6379,password={}",
    "kafka://dbhost:9092,password={}",
    "amqp://dbhost,user=a,password={}",
    "jdbc:neo4j:bolt://dbhost:7687,password={}",
    "jdbc:mysql://dbhost:3306,password={}/x",
    "jdbc:oracle:thin:app/x@dbhost:1521,password={}",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("password", ["P@ssw0rd", "abc@qwxv", "a@b@qwxv:7319"])
def test_an_at_sign_behind_the_parameters_of_an_authority_makes_no_host(url, password):
    assert {mention.host for mention in read_value(url.format(password)).mentions} <= {"dbhost", "dbhost-1"}


@pytest.mark.parametrize(
    "text", ["redis://:s3cr3t@cache-0:6379,:s3cr3t@cache-1:6379", "mongodb://a:b==@cache-0:27017,cache-1:27017"]
)
def test_hosts_behind_ordinary_user_information_are_still_found(text):
    assert [mention.host for mention in read_value(text).mentions] == ["cache-0", "cache-1"]


def _maps(password):
    for key in ("redis://redis-a:6379", "redis-a:6379", "redis://redis-a", "10.0.0.1", "app@redis-a"):
        text = json.dumps({key: password})
        yield from ({"env": {name: text}} for name in ("REDIS_URL", "REDIS_ADDR", "REDIS_ENDPOINT", "ES_HOSTS"))
        yield {"secret": {"x": text}, "secret_env": "REDIS_URL"}
        yield {"args": ["app", f"--redis.addr={text}"]}
        yield {"file": ("a.json", json.dumps({"redis": {"addrs": {key: [password]}}}))}
        yield {"file": ("a.json", json.dumps({"redis": {"addrs": {key: {"0": password}}}}, indent=1))}
        yield {"file": ("a.yaml", f"redis:\n  hosts:\n    '{key}': {password}\n")}
        yield {"file": ("a.yaml", f"{{{{ x }}}}\nredis:\n  hosts:\n    '{key}': '{password}'\n")}
        yield {"file": ("a.toml", f'[redis.addrs]\n"{key}" = "{password}"\n')}
    yield {"env": {"REDIS_URL": f"{{redis-a:6379: {password}}}"}}
    yield {"file": ("a.yaml", f"redis: {{hosts: {{redis-a:6379: {password}}}}}\n")}
    yield {"file": ("a.toml", f'[redis]\naddrs = {{ "redis-a:6379" = "{password}" }}\n')}
    yield {"file": ("a.yaml", f"redis:\n  hosts:\n  - name: redis://redis-a:6379\n    value: {password}\n")}


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_whose_key_is_a_place_is_no_host(password):
    leaked = []
    for described in _maps(password):
        found, asked = _clients(described)
        if password in repr(found) or password in asked or {item.host for item in found} - {None, "redis-a"}:
            leaked.append(described)

    assert leaked == []


@pytest.mark.parametrize("place", ["redis://cache:6379", "cache:6379"])
def test_a_place_whose_key_is_a_place_is_still_found(place):
    found, _ = _clients({"env": {"REDIS_ADDR": json.dumps({"10.0.0.1:6379": place})}})

    assert [(item.kind, item.host) for item in found] == [("redis", "cache")]


@pytest.mark.parametrize(
    "text",
    [
        "redis.password=\\\n  redis://qwxvz:7319\n",
        "redis.password=\\\nredis://qwxvz:7319,\\\nredis://qwxvz:7320\n",
        "redis.url=redis://dbhost:6379,password=a\\\nredis://qwxvz:7319\n",
        "redis.haslo=a\\\nredis://qwxvz:7319\n",
        "[redis]\npassword = a\n  redis://qwxvz:7319\n",
        "{{ x }}\nredis:\n  password: >-\n    redis://qwxvz:7319\n",
        "{{ x }}\nredis:\n  password: a\n    redis://qwxvz:7319\n",
    ],
)
def test_the_next_line_of_a_credential_is_a_part_of_it(text):
    lines = read_file(f"{text}redis.url=redis://cache:6379\n")

    assert {mention.host for line in lines for mention in line.value.mentions} - {"dbhost"} == {"cache"}


@pytest.mark.parametrize("text", ["redis.url=\\\n  redis://cache:6379\n", "redis:\\\n  redis://cache:6379\n"])
def test_the_next_line_of_another_setting_is_still_read(text):
    assert [mention.host for line in read_file(text) for mention in line.value.mentions] == ["cache"]


@pytest.mark.parametrize(
    "described",
    [
        {"args": ["app", "host=cache port=5432 user=a password=zq1 host=qwxvz dbname=x"]},
        {"args": ["sh", "-c", "app host=cache user=a password=zq1 host=qwxvz; sleep 1"]},
        {"env": {"DATABASE_URL": "$(NOWHERE:-host=cache port=5432 user=a password=zq1 host=qwxvz dbname=x)"}},
        {"file": ("a.py", "class A:\n    URL = connect('host=cache port=5432 password=zq1 host=qwxvz', 1)\n")},
        {"env": {"REDIS": "AccountName=app;AccountKey=zq1;host=qwxvz"}},
    ],
)
def test_a_host_that_may_be_a_part_of_the_password_before_it_is_dropped(described):
    found, asked = _clients(described)

    assert "qwxvz" not in repr(found)
    assert "qwxvz" not in asked


@pytest.mark.parametrize(
    "described",
    [
        {"args": ["app", "--set", "cache=addr=cache:6379,db=0,password=zq1,qwxvz,ssl=false"]},
        {"args": ["app", "--set", "mailer.dsn=smtp://app:zq1;Server=qwxvz,7319;x=y@cache:587"]},
        {"args": ["app", "--nats-url=nats://qwxvz\nhost=zq1@cache:4222"]},
        {"args": ["app", "host=cache port=5432 password=zq1;Server=qwxvz,7319;x=y dbname=x"]},
        {"env": {"KAFKA_PROPS": 'sasl.jaas.config=x required user="a" password="zq1;Server=qwxvz,7319;x=y";'}},
        {"env": {"REDIS_URL": "redis-sentinel://qwxvz\r\nredis.host=qwxvz@cache:26379"}},
        {"env": {"JDBC_URL": "jdbc:db2://cache:50000/x:user=a;password=zq1\nhost=qwxvz;"}},
        {"file": ("a.json", json.dumps({"redis.auth": "zq1\nredis.host=qwxvz\nredis://qwxvz"}))},
        {"args": ["app", "--set", "cache=password=zq1,qwxvz:7319,cache:6379,ssl=true"]},
        {"env": {"REDIS_MQ": "cache(1414),USER=app,PASSWORD=zq1,qwxvz"}},
        {"file": ("a.toml", '[app]\nredis = { url = "cache:6379,password=zq1,qwxvz,ssl=true", db = 1 }\n')},
        {"file": ("a.toml", '[app]\nhosts = { redis = "cache:6379,app,qwxvz", db = 1 }\n')},
        {"file": ("a.py", "URL = os.environ.get('REDIS_URL', 'redis://qwxvz\"zq\\'zq1@cache:6379')\n")},
        {"file": ("a.py", "URL = os.environ.get('REDIS_URL', 'redis://qwxvz\"zq'zq1@cache:6379')\n")},
        {"file": ("a.ini", "[redis]\nhosts =\n  qwxvz:zq1@cache:6379\n")},
        {"file": ("a.yaml", "{{ x }}\nredis:\n  hosts:\n  - qwxvz:zq1@cache:6379\n")},
        {"file": ("a.xml", '<redis.hosts>{rabbit, [{host, "cache"}, {password, "qwxvz"}]}</redis.hosts>\n')},
    ],
)
def test_the_rest_of_a_password_that_a_separator_cuts_is_neither_host_nor_key(described):
    found, asked = _clients(described)

    assert "qwxvz" not in repr(found)
    assert "qwxvz" not in asked


def test_the_place_in_a_table_of_toml_is_found():
    found, _ = _clients({"file": ("a.toml", '[app]\nredis = { url = "cache:6379,password=a,ssl=true", db = 1 }\n')})

    assert [(item.kind, item.host) for item in found] == [("redis", "cache")]
