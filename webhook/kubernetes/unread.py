"""Objects of a cluster whose fields are not of the types that their API gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from webhook.problem import field_and_message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unread:
    """An object that could not be read, and is skipped as a whole or in a part.

    Attributes:
        document: The object.
        field: The path of the field, as "spec.mtls.mode"; empty for the object as a whole.
        message: What is wrong with it.
        outcome: What follows, as "skipped".
    """

    document: Mapping[str, Any]
    field: str
    message: str
    outcome: str = "skipped"

    def __str__(self) -> str:
        """Return the object's kind, namespace and name, as "PeerAuthentication shop/default"."""
        metadata = self.document.get("metadata")
        named = metadata if isinstance(metadata, dict) else {}
        return f"{self.document.get('kind')} {named.get('namespace', 'default')}/{named.get('name', '')}"


def understood(document: Mapping[str, Any], as_type: type[T]) -> T | Unread:
    """Convert an object to a type; return why it cannot be read where it cannot."""
    try:
        return msgspec.convert(document, as_type, str_keys=True)
    except msgspec.ValidationError as error:
        return Unread(document, *field_and_message(error))
