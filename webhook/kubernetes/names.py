"""Syntax of object names, as validated by the API server (RFC 1123)."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 253
"""The maximum length of a name, in characters."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
LABEL: Final = re.compile(_LABEL)
"""The name of a Namespace or a Service."""
SUBDOMAIN: Final = re.compile(rf"(?=.{{1,{LONGEST}}}\Z){_LABEL}(?:\.{_LABEL})*")
"""The name of an object of most other kinds."""
