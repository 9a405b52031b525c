"""The types of the CEL variables `pod`, `namespace` and `owner` for the checker.

A pod's fields are those of Kubernetes' API, written to `pod_fields.json` by `make docs` from the models of the
kubernetes package: for each type its fields, each with a type of `string`, `int`, `bool`, `any`, another type of the
file, `[T]` for a list or `{T}` for a map from strings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

PACKAGE = "k8s"

Fields = Mapping[str, str]
UnknownField = tuple[str, str]
"""The names of a type and of a field that it does not have."""

_FILE = Path(__file__).with_name("pod_fields.json")
_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}
OWN_TYPES: Mapping[str, Fields] = {
    "Namespace": {"name": "string", "labels": "{string}"},
    "Owner": {"kind": "string", "name": "string"},
}


@cache
def known_types() -> dict[str, Fields]:
    """Return the fields of every type, by its name."""
    return {**json.loads(_FILE.read_text(encoding="utf-8")), **OWN_TYPES}


def descriptors(unknown: Iterable[UnknownField]) -> DescriptorPool:
    """Return the types in the form that the checker accepts: protobuf messages of the package `k8s`.

    Args:
        unknown: Fields to add, of any type.
    """
    types = {name: dict(fields) for name, fields in known_types().items()}
    for name, field in unknown:
        types[name][field] = "any"
    pool = DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    file = FileDescriptorProto(
        name="pod.proto", package=PACKAGE, syntax="proto3", dependency=[struct_pb2.DESCRIPTOR.name]
    )
    file.message_type.extend(_message(name, fields) for name, fields in types.items())
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _message(name: str, fields: Fields) -> Any:  # noqa: ANN401 - protobuf's messages are untyped
    message = DescriptorProto(name=name)
    for number, (field, type_) in enumerate(fields.items(), 1):
        if type_.startswith("{"):
            entry = f"{field[:1].upper()}{field[1:]}Entry"
            nested = DescriptorProto(name=entry, field=[_field("key", 1, "string"), _field("value", 2, type_[1:-1])])
            nested.options.map_entry = True
            message.nested_type.append(nested)
            message.field.append(_field(field, number, f"[{name}.{entry}]"))
        else:
            message.field.append(_field(field, number, type_))
    return message


def _field(name: str, number: int, type_: str) -> Any:  # noqa: ANN401 - as above
    repeated = type_.startswith("[")
    type_ = type_.strip("[]")
    field = FieldDescriptorProto(
        name=name,
        number=number,
        label=FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL,
        type=_TYPES.get(type_, FieldDescriptorProto.TYPE_MESSAGE),
    )
    if field.type == FieldDescriptorProto.TYPE_MESSAGE:
        field.type_name = ".google.protobuf.Value" if type_ == "any" else f".{PACKAGE}.{type_}"
    return field
