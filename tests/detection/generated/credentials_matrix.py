"""Dialects x passwords x places: configurations that hold a password, written by somebody who does not encode it."""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import yaml

PW = "{pw}"
SIGNS = "@:/?#%;,=&+\"'$*()[]{}\\|<>!~^` "

# The parts of passwords: one that is only a word, those that look like hosts, and one that looks like a port.
WORDS = ("zQ2cD4xK", "pwzq.qwxv-zq.net", "10.83.97.61:7319", "7319", "qwxvzq:7319")

PASSWORDS = [
    "Zq1aB3yJ",
    "pwzq.qwxv-zq.net",
    "10.83.97.61:7319",
    "qwxvzq:7319",
    "vqzx://pwzq.qwxv-zq.net",
    "Zq1aB@pwzq.qwxv-zq.net:7319/x",
    "Zq1aB@pwzq.qwxv-zq.net,zq1:6379",
    "tcp(qwxvzq:3306)",
    "x(HOST=qwxvzq)",
    '{"host":"qwxvzq","port":6379}',
    "Zq1aB/pwzq@qwxv.zqzq?x=1",
    "Zq1aB;host=pwzq.qwxv-zq.net x",
    "".join(f"Zq{number}{sign}" for number, sign in enumerate(SIGNS)),
    *(f"Zq1aB{sign}{word}" for sign in SIGNS for word in WORDS[:3]),
    *(f"{word}{sign}Zq1aB3yJ" for sign in SIGNS for word in WORDS[1:]),
    *(f"Zq1a{sign}{WORDS[1]}{other}x9zq" for sign in "@:/;, =&" for other in "@:/?#;,& "),
]

# Whole values, in which the password stands as it is.
VALUES = {
    "user information": "redis://:{pw}@dbhost:6379/0",
    "user and password": "postgres://app:{pw}@dbhost:5432/shop?sslmode=disable",
    "user information only": "amqp://{pw}@dbhost:5672/",
    "no port": "mongodb://app:{pw}@dbhost/shop",
    "several hosts": "mongodb://app:{pw}@dbhost:27017,dbhost-1:27017/shop",
    "a list of URLs": "amqp://app:{pw}@dbhost:5672,amqp://app:{pw}@dbhost-1:5672",
    "a list with semicolons": "amqp://app:{pw}@dbhost:5672//;amqp://app:{pw}@dbhost-1:5672//",
    "a list with bars": "amqp://app:{pw}@dbhost:5672|amqp://app:{pw}@dbhost-1:5672",
    "a list with spaces": "nats://app:{pw}@dbhost:4222, nats://app:{pw}@dbhost-1:4222",
    "a list whose first has none": "redis://dbhost:6379,redis://:{pw}@dbhost-1:6379",
    "two URLs": "redis://:{pw}@dbhost:6379 redis://dbhost-1:6379",
    "query": "postgres://dbhost:5432/shop?user=app&password={pw}",
    "query without authority": "postgres:///shop?host=dbhost&password={pw}",
    "query before others": "redis://dbhost:6379/0?password={pw}&db=1",
    "query token": "nats://dbhost:4222?token={pw}",
    "query sslpassword": "postgresql://app@dbhost/shop?sslpassword={pw}&sslmode=require",
    "query auth": "redis://dbhost:6379?auth={pw}",
    "signature": "amqps://dbhost:5671/?sig={pw}",
    "path": "redis://dbhost:6379/{pw}",
    "fragment": "redis://dbhost:6379#{pw}",
    "parameters behind a comma": "redis://dbhost:6379,ssl=true,password={pw}",
    "password behind a comma": "kafka://dbhost:9092,password={pw},ssl=true",
    "user and password behind commas": "amqp://dbhost,user=a,password={pw}",
    "parameters behind an ampersand": "redis://dbhost:6379&password={pw}",
    "jdbc mysql, password behind a comma": "jdbc:mysql://dbhost:3306,password={pw}/shop",
    "jdbc neo4j, password behind a comma": "jdbc:neo4j:bolt://dbhost:7687,password={pw}",
    "jdbc oracle, password behind a comma": "jdbc:oracle:thin:app/zq1@dbhost:1521,password={pw}",
    "jdbc postgresql": "jdbc:postgresql://dbhost:5432/shop?user=app&password={pw}",
    "jdbc mysql": "jdbc:mysql://dbhost:3306/shop?user=app&password={pw}&useSSL=false",
    "jdbc mysql with a user": "jdbc:mysql://app:{pw}@dbhost:3306/shop",
    "jdbc sqlserver": "jdbc:sqlserver://dbhost:1433;databaseName=shop;user=sa;password={pw}",
    "jdbc sqlserver, password first": "jdbc:sqlserver://dbhost:1433;password={pw};databaseName=shop",
    "jdbc oracle": "jdbc:oracle:thin:app/{pw}@dbhost:1521:XE",
    "jdbc oracle with a service": "jdbc:oracle:thin:app/{pw}@//dbhost:1521/shop",
    "jdbc oracle with a descriptor": "jdbc:oracle:thin:app/{pw}@(DESCRIPTION=(ADDRESS=(HOST=dbhost)(PORT=1521)))",
    "easy connect": "app/{pw}@dbhost:1521/shop",
    "TNS": "app/{pw}@(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=dbhost)(PORT=1521))(CONNECT_DATA=(SERVICE_NAME=x)))",
    "ADO": "Server=dbhost,1433;Database=shop;User Id=sa;Password={pw}",
    "ADO, password in the middle": "Server=dbhost;Password={pw};Database=shop;Encrypt=true",
    "ADO, password first": "pwd={pw};uid=sa;Data Source=dbhost;Initial Catalog=shop",
    "ADO in quotes": 'Server=dbhost;User Id=sa;Password="{pw}";Database=shop',
    "ODBC": "Driver={{ODBC Driver 18 for SQL Server}};Server=tcp:dbhost,1433;Uid=sa;Pwd={{{pw}}};Encrypt=yes",
    "Npgsql": "Host=dbhost;Port=5432;Username=app;Password={pw};Database=shop",
    "EasyNetQ": "host=dbhost;username=app;password={pw}",
    "PDO": "mysql:host=dbhost;dbname=shop;user=app;password={pw}",
    "contact points": "Contact Points=dbhost;Port=9042;Username=app;Password={pw}",
    "descriptor in a connection string": "User Id=a;Password={pw};Data Source=(DESCRIPTION=(ADDRESS=(HOST=dbhost)))",
    "properties of an authority": "jdbc:mysql://address=(host=dbhost)(port=3306)(user=app)(password={pw})/shop",
    "libpq": "host=dbhost port=5432 user=app password={pw} dbname=shop",
    "libpq, password last": "host=dbhost user=app dbname=shop password={pw}",
    "libpq, password first": "password={pw} host=dbhost dbname=shop",
    "libpq in quotes": "host=dbhost user=app password='{pw}' dbname=shop",
    "Go DSN": "app:{pw}@tcp(dbhost:3306)/shop?parseTime=true",
    "Go DSN without a protocol": "app:{pw}@(dbhost:3306)/shop",
    "StackExchange.Redis": "dbhost:6379,password={pw},ssl=true,abortConnect=false",
    "StackExchange.Redis, password first": "password={pw},dbhost:6379,ssl=true",
    "StackExchange.Redis, two hosts": "dbhost:6379,dbhost-1:6379,user=app,password={pw}",
    "pool": "network=tcp,addr=dbhost:6379,password={pw},db=0",
    "bare": "app:{pw}@dbhost:5432",
    "bare with a path": "app:{pw}@dbhost:5432/shop?sslmode=disable",
    "bare, several": "app:{pw}@dbhost:27017,dbhost-1:27017",
    "service bus": "Endpoint=sb://dbhost/;SharedAccessKeyName=app;SharedAccessKey={pw}",
    "account key": "AccountEndpoint=https://dbhost:443/;AccountKey={pw};Database=shop",
    "host, user, password": "dbhost,app,{pw}",
    "host, port, user, password": "dbhost:5432,app,{pw}",
    "host | user | password": "dbhost|app|{pw}",
    "host:port:user:password": "dbhost:5432:app:{pw}",
    "user:password:host": "app:{pw}:dbhost:5432",
    "pgpass": "dbhost:5432:shop:app:{pw}",
    "netrc": "machine dbhost login app password {pw}",
    "pair": "password={pw}",
    "pair with a colon": "password: {pw}",
    "authorization": "Authorization: Bearer {pw}",
    "sentence": "log in to dbhost:6379 with the password {pw}",
}

# Where a value can stand. Those that quote do it as the format asks for; others as many a template does, not at all.
VALUE_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "env": lambda text: {"env": {"APP_URL": text}},
    "env that names nothing": lambda text: {"env": {"VALUE": text}},
    "env that names a backend": lambda text: {"env": {"REDIS": text}},
    "env that announces a place": lambda text: {"env": {"DATABASE_CONNECTION": text}},
    "default of a reference": lambda text: {"env": {"DATABASE_URL": "$(NOWHERE:-" + text + ")"}},
    "ConfigMap key": lambda text: {"config_map": {"app.url": text}},
    "Secret key": lambda text: {"secret": {"url": text}},
    "argument": lambda text: {"args": ["app", f"--database-url={text}"]},
    "two arguments": lambda text: {"args": ["app", "--database-url", text, "-v"]},
    "plain argument": lambda text: {"args": ["app", text]},
    "script, quoted": lambda text: {"args": ["sh", "-c", f"sleep 1 && exec app --url {shlex.quote(text)} -v"]},
    "script": lambda text: {"args": ["sh", "-c", f"sleep 1; app --url {text} -v"]},
    "script, plain": lambda text: {"args": ["sh", "-c", f"app {text}\nsleep 1"]},
    "hook": lambda text: {"hook": ["sh", "-c", f"app {shlex.quote(text)}"]},
    "probe": lambda text: {"probe": ["app", text]},
    "YAML, quoted": lambda text: {"file": ("app.yaml", yaml.safe_dump({"data": {"url": text, "debug": True}}))},
    "YAML": lambda text: {"file": ("app.yaml", f"data:\n  url: {text}\n  debug: true\n")},
    "YAML list": lambda text: {"file": ("app.yaml", f"data:\n  hosts:\n  - {text}\n  - '{text}'\n  debug: true\n")},
    "YAML template": lambda text: {"file": ("app.yaml", f"{{{{ if x }}}}\ndata:\n  url: {text}\n{{{{ end }}}}\n")},
    "JSON, quoted": lambda text: {"file": ("app.json", json.dumps({"data": {"url": text}, "all": [text]}))},
    "JSON": lambda text: {"file": ("app.json", f'{{"data": {{\n  "url": "{text}",\n  "all": ["{text}"]\n}}}}\n')},
    "properties": lambda text: {"file": ("app.properties", f"debug=true\napp.url={text}\napp.name=x\n")},
    "ini": lambda text: {"file": ("app.ini", f"[database]\nurl = {text}\nhosts = ['{text}']\n")},
    "TOML, quoted": lambda text: {"file": ("app.toml", f"[database]\nurl = {json.dumps(text)}\n")},
    "XML attribute": lambda text: {
        "file": ("app.xml", f'<x>\n<add name="db" connectionString={quoteattr(text)}/>\n</x>\n')
    },
    "XML named attribute": lambda text: {
        "file": ("app.xml", f'<x>\n<property name="db.url" value={quoteattr(text)}/>\n</x>\n')
    },
    "XML element": lambda text: {"file": ("app.xml", f"<x>\n<url>{escape(text)}</url>\n<host>{text}</host>\n</x>\n")},
    "program": lambda text: {"file": ("app.py", f"import os\nclass A:\n    URL = connect('{text}', {text!r})\n")},
    "file that is one value": lambda text: {"file": ("dsn", text)},
    "file of lines": lambda text: {"file": ("hosts", f"one\n{text}\n{text}\n")},
    "script in a file": lambda text: {"file": ("run.sh", f"#!/bin/sh\napp {text}\napp --url '{text}'\n")},
}

# Keys of credentials in other languages and shapes.
KEYS = (
    "REDIS_KENNWORT REDIS_PASSWORT REDIS_PIN MOT_DE_PASSE CONTRASENA SENHA AUTH REDIS_PASSPHRASE REDIS_PSK REDIS_SALT "
    "REDIS_SAS APIKEY ACCESS_KEY LICENSE_KEY BEARER REDIS_COOKIE REDIS_OTP DSN_PW REQUIREPASS MASTERAUTH "
    "RABBITMQ_ERLANG_COOKIE REDIS_WACHTWOORD REDIS_HASLO SASL_JAAS_CONFIG REDIS_JWT REDIS_HMAC"
).split()

# Where a password stands by itself.
PASSWORD_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "env PASSWORD": lambda pw: {"env": {"DB_PASSWORD": pw, "DB_HOST": "dbhost"}},
    "env AUTH": lambda pw: {"env": {"REDIS_AUTH": pw, "REDIS_HOST": "dbhost"}},
    "env PASS": lambda pw: {"env": {"RABBITMQPASS": pw, "MYSQL_PWD": pw, "PGPASSWORD": pw}},
    "env KEY": lambda pw: {"env": {"ACCOUNT_KEY": pw, "REDIS_TOKEN_OLD": pw, "JWT_SIGNATURE": pw}},
    "env in other languages": lambda pw: {"env": dict.fromkeys(KEYS, pw)},
    "argument in other languages": lambda pw: {"args": ["app", *(f"--{key.lower()}={pw}" for key in KEYS)]},
    "file in other languages": lambda pw: {"file": ("a.properties", "".join(f"{key} = {pw}\n" for key in KEYS))},
    "args positional": lambda pw: {"args": ["mc", "alias", "set", "x", "http://dbhost:9000", "app", pw]},
    "args change_password": lambda pw: {"args": ["rabbitmqctl", "change_password", "app", pw]},
    "args -password": lambda pw: {"args": ["influx", "-password", pw, "-host", "dbhost"]},
    "here-document": lambda pw: {
        "args": ["sh", "-c", f"redis-cli -h dbhost <<EOF\nAUTH {shlex.quote(pw)}\nPING\nEOF\n"]
    },
    "env from a Secret": lambda pw: {"secret": {"password": pw}},
    "env whose name says it": lambda pw: {"secret": {"redis": pw}, "secret_env": "REDIS_PASSWORD"},
    "args -a": lambda pw: {"args": ["redis-cli", "-h", "dbhost", "-a", pw, "ping"]},
    "args -a alone": lambda pw: {"args": ["-a", pw, "-h", "dbhost"]},
    "args -p": lambda pw: {"args": ["mysql", f"-p{pw}", "-h", "dbhost"]},
    "args -p alone": lambda pw: {"args": [f"-p{pw}", "dbhost:3306"]},
    "args -p apart": lambda pw: {"args": ["mongosh", "-u", "app", "-p", pw, "--host", "dbhost:27017"]},
    "args -u": lambda pw: {"args": ["curl", "-u", f"app:{pw}", "http://dbhost:9200"]},
    "args -u in one": lambda pw: {"args": ["curl", f"-uapp:{pw}", "http://dbhost:9200"]},
    "args --password": lambda pw: {"args": ["app", "--password", pw, "--redis-host", "dbhost"]},
    "args --password=": lambda pw: {"args": ["app", f"--redis.password={pw}", "--redis-host=dbhost"]},
    "args -e": lambda pw: {"args": ["app", "-e", f"PASS={pw}", "-e", "REDIS_HOST=dbhost"]},
    "args -D": lambda pw: {"args": ["java", f"-Dspring.redis.password={pw}", "-Dspring.redis.host=dbhost"]},
    "args --set": lambda pw: {"args": ["app", "--set", f"auth.password={pw}"]},
    "args AUTH": lambda pw: {"args": ["redis-cli", "AUTH", pw]},
    "script assignment, quoted": lambda pw: {"args": ["sh", "-c", f"PGPASSWORD={shlex.quote(pw)} psql -h dbhost"]},
    "script assignment": lambda pw: {"args": ["sh", "-c", f"PGPASSWORD={pw} psql -h dbhost"]},
    "script export": lambda pw: {"args": ["sh", "-c", f"export REDIS_PASSWORD={pw}\nredis-cli -h dbhost"]},
    "script -a": lambda pw: {"args": ["sh", "-c", f"redis-cli -a {pw} -h dbhost ping | grep PONG"]},
    "script -a, quoted": lambda pw: {"args": ["sh", "-c", f"redis-cli -a {shlex.quote(pw)} -h dbhost"]},
    "script --password": lambda pw: {"args": ["sh", "-c", f"mysqladmin ping -h dbhost --password={pw} -u root"]},
    "script -p": lambda pw: {"args": ["sh", "-c", f"mysql -p{pw} -h dbhost -e 'select 1'"]},
    "script -u": lambda pw: {"args": ["sh", "-c", f"curl -u app:{pw} http://dbhost:9200/_cat; sleep 1"]},
    "script SQL": lambda pw: {"args": ["sh", "-c", f"psql -c \"ALTER USER a PASSWORD '{pw}'\" -h dbhost"]},
    "hook -a": lambda pw: {"hook": ["redis-cli", "-a", pw, "-h", "dbhost", "shutdown"]},
    "YAML": lambda pw: {"file": ("a.yaml", f"redis:\n  host: dbhost\n  password: {pw}\n")},
    "YAML, quoted": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"redis": {"host": "dbhost", "password": pw}}))},
    "YAML below": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"secrets": {"redis": pw}, "passwords": [pw, pw]}))},
    "YAML name and value": lambda pw: {"file": ("a.yaml", yaml.safe_dump([{"name": "REDIS_PASSWORD", "value": pw}]))},
    "YAML block": lambda pw: {"file": ("a.yaml", f"redis:\n  host: dbhost\n  password: |\n    {pw}\n    {pw}\n")},
    "YAML template": lambda pw: {"file": ("a.yaml", f"{{{{ x }}}}\nredis:\n  password:\n    {pw}\n  auth: {pw}\n")},
    "JSON": lambda pw: {"file": ("a.json", f'{{\n "redis": {{\n  "host": "dbhost",\n  "password": "{pw}"\n }}\n}}\n')},
    "JSON in one line": lambda pw: {"file": ("a.json", f'{{"redis": {{"host": "dbhost", "password": "{pw}"}}}}')},
    "JSON, quoted": lambda pw: {"file": ("a.json", json.dumps({"host": "dbhost", "auth": pw, "apiKey": [pw]}))},
    "properties": lambda pw: {"file": ("a.properties", f"redis.host=dbhost\nredis.password={pw}\n")},
    "properties with spaces": lambda pw: {"file": ("redis.conf", f"requirepass {pw}\nmasterauth {pw}\nport 6379\n")},
    "ini": lambda pw: {"file": ("odbc.ini", f"[db]\nDriver = x\nServer = dbhost\nUID = sa\nPWD = {pw}\n")},
    "my.cnf": lambda pw: {"file": ("my.cnf", f"[client]\nhost=dbhost\nuser=app\npassword={pw}\n")},
    "TOML": lambda pw: {"file": ("a.toml", f'[redis]\nhost = "dbhost"\npassword = "{pw}"\ntls = {{ key = "{pw}" }}\n')},
    "pgpass": lambda pw: {"file": (".pgpass", f"dbhost:5432:shop:app:{pw}\nother:5432:*:app:{pw}\n")},
    "netrc": lambda pw: {"file": (".netrc", f"machine dbhost login app password {pw}\nmachine b\n  password {pw}\n")},
    "dotenv": lambda pw: {
        "file": (".env", f"export REDIS_HOST=dbhost\nexport REDIS_PASSWORD={pw}\nREDIS_AUTH='{pw}'\n")
    },
    "XML element": lambda pw: {
        "file": ("a.xml", f"<redis>\n<host>dbhost</host>\n<password>{pw}</password>\n</redis>\n")
    },
    "XML attributes": lambda pw: {
        "file": ("a.xml", f'<x>\nhosts:\n  <bean p:host="dbhost" p:port="6379" p:password="{pw}"/>\n</x>\n')
    },
    "XML property": lambda pw: {
        "file": (
            "core-site.xml",
            (
                f"<x>\n<property><name>redis.password</name><value>{pw}</value></property>\n"
                f"<property>\n<name>redis.password</name>\n<final>true</final>\n<value>{pw}</value>\n</property>\n</x>\n"
            ),
        )
    },
    "XML reversed": lambda pw: {"file": ("a.xml", f'<x>\nhosts:\n  <add value="{pw}" key="redis.password"/>\n</x>\n')},
    "program": lambda pw: {
        "file": ("a.py", f"class Cache:\n  hosts:\n    redis.Redis(host='dbhost', port=6379, password='{pw}')\n")
    },
    "program, by position": lambda pw: {
        "file": ("a.py", f"class A:\n  hosts:\n    connect('dbhost', 'app', '{pw}')\n")
    },
    "ConfigMap key": lambda pw: {"config_map": {"db-password": pw, "redis_auth": pw}},
    "YAML key": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"tokens": {pw: {"redis": {"host": "dbhost"}}}}))},
    "YAML key further below": lambda pw: {
        "file": ("a.yaml", yaml.safe_dump({"users": {"x": {pw: {"redis": {"url": "redis://dbhost"}}}}}))
    },
    "JSON key": lambda pw: {"file": ("a.json", json.dumps({"apiKeys": {pw: {"backend": {"host": "redis"}}}}))},
    "JSON key in env": lambda pw: {"env": {"CONFIG": json.dumps({"accounts": {pw: [{"redis": {"host": "dbhost"}}]}})}},
    "ini section": lambda pw: {"file": ("a.ini", f'[token "{pw}"]\nurl = redis://dbhost:6379\n')},
    "TOML section": lambda pw: {"file": ("a.toml", f'[tokens."{pw}".redis]\nhost = "dbhost"\n')},
    "commands in a file": lambda pw: {
        "file": ("Procfile", f"web: redis-cli -a '{pw}' -h dbhost\n* * * * * root mysql -p {pw}\n\tmongosh -p {pw}\n")
    },
    "YAML arguments": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"command": ["redis-cli", "-a", pw, "-v"]}))},
    "YAML name and default": lambda pw: {
        "file": ("a.yaml", yaml.safe_dump([{"name": "REDIS_PASSWORD", "default": pw}, {"key": "DB_TOKEN", "val": pw}]))
    },
    "Dockerfile": lambda pw: {"file": ("Dockerfile", f"ENV REDIS_PASSWORD {pw}\n")},
    "nginx": lambda pw: {"file": ("nginx.conf", f"set $redis_password {pw};\n")},
    "Terraform": lambda pw: {"file": ("a.tf", f'variable "redis_password" {{\n  default = {json.dumps(pw)}\n}}\n')},
    "call named so": lambda pw: {"file": ("a.js", f'db.auth("app", {json.dumps(pw)});\nr.auth(["app", "{pw}"])\n')},
    "dotenv, several lines": lambda pw: {"file": (".env", f'REDIS_HOST=dbhost\nREDIS_PASSWORD="x\n{pw}"\n')},
    "XML element named so": lambda pw: {
        "file": ("a.xml", f'<x>\n<property name="redis.password">\n{pw}\n</property>\n</x>\n')
    },
    "script behind an assigned URL": lambda pw: {
        "args": ["sh", "-c", f"A=http://dbhost redis-cli -h dbhost -a {shlex.quote(pw)}"]
    },
    "script in a script": lambda pw: {
        "args": ["sh", "-c", f"bash -c {shlex.quote(f'redis-cli -h dbhost -a {shlex.quote(pw)}')}"]
    },
    "script ACL": lambda pw: {"args": ["sh", "-c", f"redis-cli -h dbhost ACL SETUSER app on {shlex.quote('>' + pw)}"]},
    "script SQL with a plugin": lambda pw: {
        "args": ["sh", "-c", f"mysql -h dbhost -e \"CREATE USER a IDENTIFIED WITH x_password BY '{pw}'\""]
    },
    "args header": lambda pw: {"args": ["app", "-H", f"X-Auth: {pw}", "--url", "http://dbhost:9200"]},
    "args add-user.sh": lambda pw: {"args": ["add-user.sh", "app", pw]},
    "file named so": lambda pw: {"file": ("redis-password", pw)},
}

# Places as keys, and the passwords for them. A value with a port or a scheme is taken for a place.
PASSWORDS_OF_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "env": lambda pw: {"env": dict.fromkeys(("REDIS_URL", "ES_HOSTS"), json.dumps({"redis://dbhost:6379": pw}))},
    "env, addresses": lambda pw: {"env": {"REDIS_ADDR": json.dumps({"10.0.0.1": pw, "10.0.0.2:6379": [pw]})}},
    "argument": lambda pw: {"args": ["app", f"--redis.addr={json.dumps({'dbhost:6379': pw})}"]},
    "JSON": lambda pw: {"file": ("a.json", json.dumps({"redis": {"addrs": {"redis://dbhost:6379": pw}}}, indent=1))},
    "YAML": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"redis": {"hosts": {"dbhost:6379": pw}}}))},
    "YAML in one line": lambda pw: {"file": ("a.yaml", f"redis: {{hosts: {{dbhost:6379: {json.dumps(pw)}}}}}\n")},
    "YAML list": lambda pw: {"file": ("a.yaml", yaml.safe_dump({"hosts": [{"name": "redis://dbhost", "value": pw}]}))},
    "YAML template": lambda pw: {"file": ("a.yaml", f'{{{{ x }}}}\nredis:\n  hosts:\n    "dbhost:6379": "{pw}"\n')},
    "TOML": lambda pw: {"file": ("a.toml", f'[redis.addrs]\n"dbhost:6379" = {json.dumps(pw)}\n')},
    "TOML in one line": lambda pw: {"file": ("a.toml", f'[redis]\naddrs = {{ "dbhost:6379" = {json.dumps(pw)} }}\n')},
}


def objects(described):
    """The Pod called client, and the ConfigMap and Secret that it refers to."""
    container: dict[str, Any] = {"name": "app", "image": "shop/app:1"}
    container["env"] = [{"name": name, "value": value} for name, value in described.get("env", {}).items()]
    container["args"] = described.get("args", [])
    spec: dict[str, Any] = {"containers": [container]}
    found: list[dict[str, Any]] = []
    if command := described.get("hook"):
        container["lifecycle"] = {"postStart": {"exec": {"command": command}}}
    if command := described.get("probe"):
        container["livenessProbe"] = {"exec": {"command": command}}
    for kind, field, reference in (
        ("ConfigMap", "config_map", "configMapKeyRef"),
        ("Secret", "secret", "secretKeyRef"),
    ):
        for key, text in described.get(field, {}).items():
            field_of_text = "data" if kind == "ConfigMap" else "stringData"
            found.append({"apiVersion": "v1", "kind": kind, "metadata": {"name": "held"}, field_of_text: {key: text}})
            name = described.get("secret_env", "VALUE_OF_IT")
            container["env"].append({"name": name, "valueFrom": {reference: {"name": "held", "key": key}}})
    if file := described.get("file"):
        name, text = file
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": {name: text}})
        container["volumeMounts"] = [{"name": "files", "mountPath": "/etc/app"}]
        spec["volumes"] = [{"name": "files", "configMap": {"name": "files"}}]
    metadata = {"name": "client", "namespace": "shop", "labels": {"app": "client"}}
    for held in found:
        held["metadata"]["namespace"] = "shop"
    return [*found, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}]


class Case(NamedTuple):
    """A pair of a dialect and a password, in a place."""

    place: str
    name: str
    put: Callable[[str], dict[str, Any]]
    template: str
    password: str

    def described(self, password):
        """The pod with this password in it."""
        return self.put(password.join(part.replace("{{", "{").replace("}}", "}") for part in self.template.split(PW)))


def _places():
    """Yield each place, how a text is put into it, and what is: the name of the pair, the template, the password."""
    of_dialects = [
        (f"{dialect} / {password}", template, password)
        for dialect, template in VALUES.items()
        for password in PASSWORDS
    ]
    for place, put in VALUE_PLACES.items():
        yield place, put, of_dialects
    for place, put in PASSWORD_PLACES.items():
        # One that is a URL, and that nothing names, is a URL.
        by_position = place == "program, by position"
        alone = [(password, PW, password) for password in PASSWORDS if not by_position or "://" not in password]
        yield f"password: {place}", put, alone
    beside = [(password, PW, password) for password in PASSWORDS if ":" not in password]
    for place, put in PASSWORDS_OF_PLACES.items():
        yield f"password of a place: {place}", put, beside


def selected(count, seed=8):
    """Yield each place with as many of its cases as any other's, the same each time."""
    places = list(_places())
    for place, put, pairs in places:
        wanted = min(len(pairs), -(-count // len(places)))
        chosen = random.Random(f"{seed} {place}").sample(pairs, wanted)
        yield place, [Case(place, name, put, template, password) for name, template, password in chosen]
