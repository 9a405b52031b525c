"""Generate strings as strangers write them: structural tokens in bulk, YAML that unfolds, credentials with a canary."""

from __future__ import annotations

from random import Random

CANARY = "CANARY"
"""Part of every generated password, and of nothing else: no output may contain it."""

# What msgspec cannot encode is put into the encoded review in place of these.
SURROGATE, INVALID_UTF8 = "@@surrogate@@", "@@invalid@@"
SUBSTITUTES = {SURROGATE: rb"\ud800", INVALID_UTF8: b"\xff\xc0\xaf"}

TOKENS = (
    *("a://", "a://b,", "://", "@", ":", "/", "//", "..", "@tcp(", "@tcp(a", "host=", "Server=tcp:", "jdbc:", "b:1/"),
    *('"', "'", "\\", '"\\', "`", "\\\n", "{{", "}}", "$(", "${", "$(A)", "${A:-", "$$", "%s", "%(", "{%", "<%="),
    *("=", ";", ",", "|", "&&", "#", "--", "-h ", "<", ">", "<name>", "<!--", "]]>", "<<EOF\n", "EOF\n", "!", "~", "*"),
    *("\n", "\r\n", "\t", " ", "\x00", "\x1b[", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "é", "\U0001d4b3"),
    *("[", "]", "{", "}", '{"a":', "[[", "- ", "a: ", "a:\n ", "? ", "&a ", "*a ", "<<: *a\n", "!!binary ", "%YAML "),
    *("#!/bin/sh\n", "if ", "for i in ", "redis-cli -h a\n", "nc -z a 1\n", "export A=b\n", "a=b\n", "[a]\n", "a.b="),
    *("redis", "redis:6379", "svc0", "a.svc.cluster.local", "::1", "[::]:1", "127.0.0.1:", "0x", "1e9", "xn--", "a.b."),
)
VALUES = (
    *("redis://redis:6379/0", "amqp://rabbitmq:5672", "redis", "rabbitmq.ns1", "svc0:6379", "svc1.ns1.svc:5432"),
    *("Host=svc2;Port=5432;Database=a", "Server=svc3,1433;Database=a", "jdbc:postgresql://svc4:5432/a", "svc5"),
    *("mongodb://svc0:27017,svc1:27017/?replicaSet=a", "kafka-0:9092,kafka-1:9092", "http://svc6/", "6379", "5432"),
    *("true", "false", "null", "", "0", "in-memory", "sqlite", "$(REDIS_SERVICE_HOST)", "tcp://10.0.0.1:6379", "a@b"),
)
_URLS = (
    *("postgres://app:{}@db:5432/app", "amqp://u:{}@rabbitmq:5672/%2f", "redis://:{}@redis:6379/0"),
    *("mongodb+srv://u:{}@svc0/db", "mysql://root:{}@svc1:3306/a", "smtp://u:{}@svc2:587", "nats://u:{}@svc3:4222"),
)
_PAIRS = (
    *("Server=svc0,1433;User Id=sa;Password={};", "Host=svc1;Username=u;Password={}", "host=svc2 user=u password={}"),
    *("jdbc:sqlserver://svc3:1433;user=sa;password={}", "jdbc:oracle:thin:app/{}@//svc4:1521/x"),
    *("app:{}@tcp(svc5:3306)/app", "redis-cli -h redis -a {}", "PGPASSWORD={} psql -h svc6 -U u", "mysql -hsvc7 -p{}"),
    *("postgres:///app?host=svc0&password={}", "curl -u admin:{} http://svc1/", "svc2:6379,password={},ssl=True"),
)
_PASSWORDS = (CANARY, f"x@{CANARY}", f"{CANARY}/7", f"{CANARY}:1", f"{CANARY}@b", f"{CANARY}%40b", f"a#{CANARY}")
_SIMPLE = (CANARY, f"{CANARY}@b", f"x@{CANARY}", f"{CANARY}==", f"x:{CANARY}")


_LINES = (
    *("k{}: svc{}:6379\n", "k{}_host=svc{}\n", "[s{}]\nhost=svc{}\n", '"k{}": "svc{}:5432",\n', "k{}:\n  host: b{}\n"),
    *("<property><name>a.host{}</name><value>svc{}:1</value></property>\n", "server svc{}:6379;\n", "\n{}{}"),
    *("redis-cli -h svc{} -p {}\n", "os.environ.get('A{}', 'svc{}:6379')\n", "{} {} ", "  {}\n    {}\n"),
)


def count(random: Random, most: int = 20_000) -> int:
    """Draw how many: mostly a few, rarely very many."""
    drawn = random.random()
    if drawn < 0.985:
        return int(2 ** (drawn * 5))
    return int(2 ** (5 + (drawn - 0.985) / 0.015 * 11)) % most + 1


def text(random: Random) -> str:
    """A hostile string; mostly short, rarely of a hundred kilobytes."""
    drawn = random.random()
    if drawn < 0.3:
        return random.choice(VALUES)
    if drawn < 0.6:
        return random.choice(TOKENS) * count(random)
    if drawn < 0.97:
        return "".join(random.choices(TOKENS, k=count(random, 4_000)))
    return random.choice(VALUES) + random.choice(tuple(SUBSTITUTES))


def scalar(random: Random) -> object:
    """A value of whatever type."""
    return random.choice((None, True, 0, -1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 1e308, -0.5, "", [], {}, [None]))


def unfolding(random: Random) -> str:
    """YAML of a few hundred bytes that is large, deep or endless once aliases are followed."""
    levels, width = random.randint(2, 24), random.randint(2, 10)
    match random.randrange(5):
        case 0:
            above = (f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * width)}]\n" for i in range(1, levels))
            return "a0: &a0 [1,2]\n" + "".join(above)
        case 1:
            above = (f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * width)}], k{i}: 1}}\n" for i in range(1, levels))
            return "a0: &a0 {k: 1}\n" + "".join(above)
        case 2:
            return "concurrency: 2\n" + random.choice(("a: [", "a: {b: ")) * count(random)
        case 3:
            return "a: &a [*a]\nb: *a\n"
        case _:
            return random.choice(TOKENS) * count(random)


def credential(random: Random) -> str:
    """A connection string or a command that holds a password."""
    if random.random() < 0.6:
        return random.choice(_URLS).format(random.choice(_PASSWORDS))
    return random.choice(_PAIRS).format(random.choice(_SIMPLE))


def file(random: Random) -> str:
    """The content of a file: a shape of many lines, sometimes with hostile text or credentials in it."""
    lines, line = count(random, 4_000), random.choice(_LINES)
    body = "".join(line.format(number, number % 8) for number in range(lines))
    match random.randrange(6):
        case 0:
            return random.choice(("#!/bin/sh\n", "<?xml version='1.0'?>\n", "---\n", "{", "[")) + body
        case 1:
            return body + text(random)
        case 2:
            return unfolding(random)
        case 3:
            return body + f"url: {credential(random)}\n"
        case _:
            return body
