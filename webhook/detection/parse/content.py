"""Parse the text of a ConfigMap key, Secret key or environment variable: as one value, and as a file if it is one."""

from __future__ import annotations

import re

from webhook.core.values import Content, Value
from webhook.detection.parse.commands import read_command
from webhook.detection.parse.dialects import NOT_OF_A_HOST
from webhook.detection.parse.files import read_file
from webhook.detection.parse.lines import Quota
from webhook.detection.parse.shellwords import MOST_WORDS
from webhook.detection.parse.values import begins_value, is_cut, plain_url, read_value
from webhook.detection.words import is_credential

is_plain_text = re.compile(
    rf"(?![-{{\[<\s])[^:=(,\n]{{0,1000}}+(?:,[^:=(\n]{{0,1000}}+"
    rf"|(?:=(?i:{NOT_OF_A_HOST})[^:=(,\n]{{0,1000}}+){{0,16}}+)"
).fullmatch
"""Match text that cannot be a file, command line, URL or connection string.

Pairs match as well while none of them is a host, nor an option after a comma. A long text is not matched: to scan all
of it at once would hold the interpreter lock for too long.
"""


def read_content(key: str, text: str) -> Content:
    """Parse the text of a key, and return only its shape.

    Args:
        key: The key's name. Where it names a credential, nothing is stored.
        text: The text, of any length; above a megabyte (more than a ConfigMap can contain) it is not read.

    Returns:
        The shape.
    """
    if key.endswith(_NO_CONFIGURATION):
        return Content(Value())
    if text and is_credential(key):
        return Content(Value())
    if (url := plain_url(text)) is not None:
        return Content(url)
    stripped = text.strip()
    is_command = text.startswith("-") and "=" in text and not text.startswith(("- ", "---"))
    if is_command or ("\n" in stripped and not begins_value(stripped)) or stripped.startswith(_OPENINGS):
        quota = Quota()
        lines = read_command(text.split(maxsplit=MOST_WORDS), quota) if is_command else read_file(text, quota)
        return Content(Value(), lines, quota.cut)
    value = read_value(text)
    if key.endswith(_CONFIGURATION) and value == _NOTHING:
        quota = Quota()
        return Content(value, read_file(text, quota), quota.cut)
    return Content(value, cut=is_cut(text, value))


_NOTHING = Value()
# A file of these kinds may have a single line.
_CONFIGURATION = (".properties", ".env", ".ini", ".toml", ".conf", ".cfg", ".yaml", ".yml")
_NO_CONFIGURATION = (".md", ".rst", ".sql", ".html", ".css", ".svg", ".crt", ".cer", ".pem")
_OPENINGS = ("{", "[", "<", "# ", "// ")
