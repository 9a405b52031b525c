"""The models of `spec.detection.catalog`: backends of the user's own, and more about those that are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from webhook.core.verdict import Wire
from webhook.detection.backend import Backend
from webhook.detection.words import Role, role
from webhook.policy.criteria_schema import Model, invalid

_KIND = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.:-]{0,30}")
_WORD = re.compile(r"[a-z0-9]{2,40}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?")
_PROGRAM = re.compile(r"[A-Za-z0-9._-]+")


def _one_as_list(value: Any) -> Any:  # noqa: ANN401 - anything that YAML can hold
    if isinstance(value, str | int) and not isinstance(value, bool):
        raise invalid("must be a list", f"write [{value}]")
    return value


def _check_kind(kind: str) -> str:
    if not _KIND.fullmatch(kind):
        raise invalid(f"invalid kind name '{kind}'", "write 2 to 40 of a-z, 0-9 and '-', a letter first")
    return kind


def _check_scheme(scheme: str) -> str:
    if not _SCHEME.fullmatch(scheme.removesuffix("://")) or scheme.endswith("://"):
        raise invalid(f"invalid URL scheme '{scheme}'", "write the part before ://, in lower case")
    return scheme


def _check_word(word: str) -> str:
    if not _WORD.fullmatch(word):
        raise invalid(f"'{word}' is not one word", "write it in lower case without separators: 'azure sql' is azuresql")
    if role((word,)) is not Role.OTHER:
        raise invalid(
            f"'{word}' is too generic: it occurs in the keys of every backend", "name the product or the protocol"
        )
    return word


def _check_phrase(phrase: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+( [a-z0-9]+){0,2}", phrase):
        raise invalid(f"invalid key phrase '{phrase}'", "write one to three words in lower case: bootstrap servers")
    return phrase


def _check_image(image: str) -> str:
    if not _IMAGE.fullmatch(image):
        hint = (
            "write the last part of the repository, or the last two, without registry and tag: redis, osixia/openldap"
        )
        raise invalid(f"invalid base name of an image '{image}'", hint)
    return image


def _check_program(program: str) -> str:
    if not _PROGRAM.fullmatch(program):
        raise invalid(f"invalid program name '{program}'", "write it without its directory and arguments")
    return program


Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], Field(min_length=1), BeforeValidator(_one_as_list)]
Schemes = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_scheme)], ...], Field(min_length=1), BeforeValidator(_one_as_list)
]
Words = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_word)], ...], Field(min_length=1), BeforeValidator(_one_as_list)
]
Phrases = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_phrase)], ...], Field(min_length=1), BeforeValidator(_one_as_list)
]
Images = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_image)], ...], Field(min_length=1), BeforeValidator(_one_as_list)
]
Programs = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_program)], ...], Field(min_length=1), BeforeValidator(_one_as_list)
]

WireName = Literal["http1", "http2", "tls", "client-first", "request-like", "server-first"]
_Listed = WireName | Literal["unknown"]
Claims = Annotated[
    tuple[Port | Annotated[StrictStr, AfterValidator(_check_scheme)], ...],
    Field(min_length=1),
    BeforeValidator(_one_as_list),
]

KindName = Annotated[StrictStr, AfterValidator(_check_kind)]


class BackendModel(Model):
    """What detection is to know of one kind of backend."""

    ports: Annotated[Ports | None, Field(description="TCP ports that mean this kind wherever they appear.")] = None
    weak_ports: Annotated[
        Ports | None,
        Field(
            description="Ports that other kinds use, too: they count only together with a name or an image of "
            "this kind."
        ),
    ] = None
    schemes: Annotated[Schemes | None, Field(description="URL schemes: the part before ://.")] = None
    names: Annotated[
        Words | None, Field(description="Words in keys, host names and driver names, compared as whole words.")
    ] = None
    weak_names: Annotated[
        Words | None, Field(description="Words that mean this kind only in the key of something that is a host.")
    ] = None
    keys: Annotated[
        Phrases | None, Field(description="Phrases in keys that only clients of this kind use: bootstrap servers.")
    ] = None
    images: Annotated[
        Images | None,
        Field(description="Base names of server images, without registry and tag: redis, osixia/openldap."),
    ] = None
    servers: Annotated[Programs | None, Field(description="Programs that run the server.")] = None
    proxies: Annotated[
        Images | None, Field(description="Images of proxies, which are clients and servers of this kind at once.")
    ] = None
    clients: Annotated[Programs | None, Field(description="Programs that connect to the server.")] = None
    dials: Annotated[
        tuple[KindName, ...] | None,
        Field(description="The only kinds that servers of this kind connect to. Without it: any."),
    ] = None
    http: Annotated[
        StrictBool | None, Field(description="true: clients speak plain HTTP, so an http:// URL may lead to it.")
    ] = None
    peer_ports: Annotated[
        Ports | None, Field(description="Ports at which the members of a cluster of this kind call each other.")
    ] = None
    server_only: Annotated[
        StrictBool | None, Field(description="true: report servers of this kind, but not clients.")
    ] = None
    wire: Annotated[
        WireName | None,
        Field(
            description="What a connection begins with: http1; http2 (gRPC); tls; client-first: bytes of the client "
            "that are no HTTP request; request-like: bytes of the client that may begin one, as AMQP's; "
            "server-first: the client waits for the server's greeting. Without it not known, but where http is true."
        ),
    ] = None
    other_wires: Annotated[
        dict[_Listed, Claims] | None,
        Field(
            description="The schemes and ports for which it is another one, under the name of that, or under unknown "
            "where it can be one or the other: {tls: [amqps, 5671]}."
        ),
    ] = None
    tls_begins: Annotated[
        Literal["first", "later", "either"] | None,
        Field(
            description="Where the client's settings ask for TLS: first, it begins with it; later, TLS is negotiated "
            "behind the protocol's own first bytes; either, where only scheme and port tell which."
        ),
    ] = None
    replace: Annotated[
        StrictBool, Field(description="true: replace the built-in entry of this kind. false: extend it.")
    ] = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"replace"}:
            raise invalid("sets no property of the kind", "give it ports, schemes, names or images")
        return self

    def applied_to(self, known: Backend | None) -> Backend:
        """Return the backend with this entry's fields added to what the catalog has already."""
        before = Backend() if known is None or self.replace else known
        given = {name: getattr(self, name) for name in self.model_fields_set - {"replace"}}
        lists = {
            name: (*value, *(getattr(before, name) or ())) for name, value in given.items() if isinstance(value, tuple)
        }
        if self.wire is not None:
            given["wire"] = Wire(self.wire)
        if self.other_wires is not None:
            given["other_wires"] = _extended(before.other_wires, self.other_wires)
        return msgspec.structs.replace(before, **(given | lists))


def _extended(
    before: dict[str, tuple[int | str, ...]], own: Mapping[_Listed, Claims]
) -> dict[str, tuple[int | str, ...]]:
    """Return the schemes and ports under each wire; where both list one, the own entry counts."""
    listed = {claim for claims in own.values() for claim in claims}
    extended = {wire: tuple(claim for claim in claims if claim not in listed) for wire, claims in before.items()}
    for wire, claims in own.items():
        extended[wire] = (*claims, *extended.get(wire, ()))
    return extended


OwnCatalog = dict[KindName, BackendModel]

_CLAIMS = ("ports", "schemes", "names", "keys", "images", "servers", "proxies")


def claimed_twice(catalog: Mapping[str, BackendModel]) -> Iterator[tuple[str, str, object, str]]:
    """Yield what two entries of one catalog both claim, as (kind, field, value, the kind that claims it first)."""
    for field in _CLAIMS:
        first: dict[object, str] = {}
        for kind, entry in catalog.items():
            for value in getattr(entry, field) or ():
                if first.setdefault(value, kind) != kind:
                    yield kind, field, value, first[value]
