"""Texts that repeat what readers look for, to find what takes more than linear time."""

from __future__ import annotations

import random
from collections.abc import Iterator

# What the readers give a meaning to, alone or joined; every one of them stands in some pattern or split.
TOKENS = [
    *('"', "'", "\\", '\\"', "`", "://", "a://b", "@", "=", "==", ";", ",", "(", ")", "{{", "}}", "{", "}", "${", "$("),
    *(
        "$a",
        "${a:-",
        "tcp(",
        "@tcp(a",
        "@(",
        "\n",
        "\r\n",
        "\t",
        " ",
        "   ",
        "#",
        " # ",
        "#{",
        "//",
        "<name>",
        "</name>",
    ),
    *(
        "<value>",
        "</",
        "<a ",
        "<",
        ">",
        "[",
        "]",
        "[[",
        "- ",
        "-",
        "--",
        "---\n",
        "1",
        "42",
        "a",
        "A",
        "aB",
        "a.b:6379",
    ),
    *("h:1,", "host=", "Server=", "Password=", "password: ", "PGPASSWORD=", "addr=", "(HOST=", "(PORT=", "port="),
    *(" a=a://", "a=b;", "|", "failover:(", "@(DESCRIPTION", "pin=", "passe "),
    *("user=", ",ssl=", ",password=", "mysql:", "jdbc:oracle:thin:", "jdbc:", "key=", 'name="', 'value="', "ENV"),
    *("env(", "environ.get(", "os.environ[", "server ", "server a:1 ", '"a": ', "a: ", "a = ", "[a]", "&a ", "*a "),
    *("<<: ", "? ", ": ", "|\n", ">\n", "!!str ", "%", "-h ", "-p", "--a=", "-a ", "nc ", "AUTH ", "redis-cli "),
    *("/dev/tcp/", ".", "/", "?", "&", "\u2028", "\x0b", "\0", "export ", "define(", "REM ", "/*", "*/", "<!--", "-->"),
    *("true", "0", "~", "null", "_", "host ", "db", "1a", "redis", "ö"),
]
# Once quadratic, each in a reader of its own.
KNOWN = [
    "a://b,",
    '"\\',
    "\n",
    "@tcp(a",
    "; ",
    "tcp(",
    "= {",
    "<a name='b' ",
    "k = {\n",
    "a: [a,",
    "1 ",
    "host ",
    ",a://",
]
# What has one reader or another take the text.
AROUND = [
    ("", ""),
    ("#!/bin/sh\n", ""),
    ("{", "}"),
    ('{"a": "', '"}'),
    ('{"a": [', "1]}"),
    ("[", "]"),
    ("-x=", ""),
    ("first: 1\nsecond: ", "\n"),
    ("first = 1\n", "\n"),
    ("<a>\n", "</a>"),
    ("// x\n", ""),
    ("password=", "@h"),
    ("redis://u:", "@h"),
    ("Server=h;", ";x=y"),
]


def units(seed: str, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield so many units with what is around them, the same for a seed: known ones, then one to four tokens each."""
    choose = random.Random(seed)
    for unit in choose.sample(KNOWN, count // 2):
        yield unit, *choose.choice(AROUND)
    for _ in range(count - count // 2):
        yield "".join(choose.choices(TOKENS, k=choose.choice((1, 2, 2, 3, 4)))), *choose.choice(AROUND)


def repeated(unit: str, before: str, after: str, length: int) -> str:
    """Return a text of about that length, of whole units, so that a longer one is no other text."""
    return before + unit * (length // len(unit)) + after
