"""A credential in the word, line or element behind the one that announces it says nothing."""

from __future__ import annotations

import json

import pytest
from test_credentials_stay_out import _clients

from webhook.detection.commands import read_command
from webhook.detection.files import read_file

PASSWORDS = ["redis://qwxvz:7319", "qwxvz:7319", "host=qwxvz", "url: redis://qwxvz"]
FILES = {
    "TOML": '[redis]\npassword = """\n{}\n{}"""\nhost = "cache"\n',
    "TOML in single quotes": "[redis]\npassword = '''{}\n{}\n'''\nhost = 'cache'\n",
    "XML": "<x>\n<password>\n{}\n{}\n</password>\n<redis.host>cache</redis.host>\n</x>\n",
    "XML with attributes": '<x>\n<redis.password a="x">\n{}\n</redis.password>\n<redis.host>cache</redis.host>\n</x>',
    "YAML template": "{{{{ x }}}}\nredis:\n  password:\n    {}\n  host: cache\n",
    "YAML template, folded": "{{{{ x }}}}\nredis:\n  passwd: >\n    {}\n    {}\n  host: cache\n",
}


@pytest.mark.parametrize("written", FILES)
@pytest.mark.parametrize("password", PASSWORDS)
def test_the_lines_of_a_password_say_nothing(written, password):
    lines = read_file(FILES[written].format(password, password))

    assert {mention.host for line in lines for mention in line.value.mentions} == {"cache"}


@pytest.mark.parametrize("text", ['a = """\nredis://cache\n"""\n', "<url>\nredis://cache\n</url>\n"])
def test_the_lines_of_another_setting_are_still_read(text):
    assert [mention.host for line in read_file(text) for mention in line.value.mentions] == ["cache"]


@pytest.mark.parametrize("password", ["qwxvz:7319", "redis://qwxvz:7319"])
@pytest.mark.parametrize(
    "command",
    [
        "tini -- redis-cli -h cache:6379 -a {}",
        "docker-entrypoint.sh mongosh --host cache:6379 -u app -p {}",
        "redis-cli -h cache:6379 AUTH app {}",
        "app --url redis://cache; aws configure set aws_secret_access_key {}",
        "app --url redis://cache; consul kv put shop/redis/password {}",
        "app --url redis://cache; vault kv put secret/shop redis-password {}",
    ],
)
def test_a_credential_behind_the_name_of_one_says_nothing(command, password):
    for arguments in (command.format(password).split(), ["sh", "-c", command.format(password)]):
        hosts = {mention.host for line in read_command(arguments) for mention in line.value.mentions}
        assert hosts == {"cache"}


@pytest.mark.parametrize("name", ["name", "Name", "NAME", "key", "Key"])
@pytest.mark.parametrize("password", ["qwxvz:7319", "redis://qwxvz:7319"])
def test_a_setting_whose_name_is_a_value_of_its_own_is_read_by_that_name(name, password):
    value = {"n": "value", "N": "Value"}.get(name[0], "value") if name != "NAME" else "VALUE"
    text = json.dumps([{name: "REDIS_PASSWORD", value: password}, {name: "REDIS_HOST", value: "cache"}])
    found, asked = _clients({"file": ("a.json", text)})

    assert [(dependency.kind, dependency.host) for dependency in found] == [("redis", "cache")]
    assert "qwxvz" not in asked


@pytest.mark.parametrize(
    "text", ['[{rabbit, [{default_pass, <<"redis://qwxvz">>}]}].\n', 'x = f(PASSWORD, "redis://qwxvz")\n']
)
def test_a_string_behind_the_name_of_a_credential_says_nothing(text):
    assert not [line for line in read_file(text) if line.value.mentions]


@pytest.mark.parametrize("word", ["auth-service.jar", "token-exchange", "keycloak", "/opt/secrets.d/run"])
def test_a_place_behind_a_word_that_only_contains_a_credentials_name_is_still_read(word):
    lines = read_command(["app", "run", word, "redis://cache:6379"])

    assert [mention.host for line in lines for mention in line.value.mentions] == ["cache"]
