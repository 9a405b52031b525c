"""The models of the policy file, and the JSON Schema that editors use. The field descriptions are its reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationInfo,
)

from webhook.core.decision import Action, Confidence, Mode
from webhook.policy.catalog_schema import OwnCatalog
from webhook.policy.criteria_schema import Criteria, Model, NameGlobs, invalid

API_VERSION = "sidecar-policy.dev/v1alpha1"
SCHEMA_ID = "https://sidecar-policy.dev/schema/v1alpha1/injectionpolicy.json"

Port = Annotated[StrictInt, Field(ge=1, le=65535)]


def _ports_form(value: object) -> str:
    return "detected" if isinstance(value, str) else "list"


Ports = Annotated[
    Annotated[Literal["detected"], Tag("detected")] | Annotated[tuple[Port, ...], Field(min_length=1), Tag("list")],
    Discriminator(_ports_form),
]


def _only_with_bypass(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - the field's own type
    action = info.data.get("action")
    if value is not None and action not in {None, Action.BYPASS}:
        raise invalid(f"ports has no effect with action {action}", "use action: bypass, or remove ports")
    return value


def _only_with_sidecar(value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - the field's own type
    action = info.data.get("action")
    if value and action is not None and action.sidecar is False:
        raise invalid(f"hold has no effect with action {action}: there is no sidecar to wait for", "remove hold")
    return value


def _not_empty(criteria: Criteria | None) -> Criteria | None:
    if criteria is not None and not criteria.model_fields_set - {"confidence"}:
        raise invalid("an empty except excludes every pod", "remove it, or specify what to exclude")
    return criteria


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or "/" in text or len(text) > 63:
        raise invalid("must be 1 to 63 printable characters without '/'")
    return text


Name = Annotated[StrictStr, AfterValidator(_name)]


class Rule(Model):
    """One rule. The first rule that matches a pod decides."""

    name: Annotated[Name, Field(description="Unique in the policy; shown wherever the rule decides.")]
    match: Annotated[Criteria, Field(description="Which pods the rule is for. Empty: every pod.")] = Criteria()
    except_: Annotated[
        Criteria | None,
        AfterValidator(_not_empty),
        Field(alias="except", description="Which of those pods it is not for."),
    ] = None
    action: Annotated[
        Action,
        Field(
            description="inherit: keep Istio's default injection. skip: no sidecar. inject: a sidecar. "
            "bypass: a sidecar, with some outbound ports excluded from interception."
        ),
    ]
    ports: Annotated[
        Ports | None,
        BeforeValidator(_only_with_bypass),
        Field(
            description="Which outbound ports bypass excludes from interception: 'detected' (the ports of the matched "
            "dependencies; the default) or a list of port numbers.",
        ),
    ] = None
    hold: Annotated[
        StrictBool,
        AfterValidator(_only_with_sidecar),
        Field(description="Start the application only after the sidecar is ready."),
    ] = False
    mode: Annotated[
        Mode,
        Field(
            description="audit: the rule decides and reports, and patches nothing. spec.mode: audit wins.",
        ),
    ] = Mode.ENFORCE


class Exempt(Model):
    """Pods that the policy ignores."""

    namespaces: Annotated[NameGlobs | None, Field(description="Globs over namespaces.")] = None


class Detection(Model):
    """How detection's findings are used."""

    min_confidence: Annotated[
        Confidence,
        Field(description="Dependencies with a lower confidence are shown, but match no rule."),
    ] = Confidence.PROBABLE
    secrets: Annotated[
        StrictBool,
        Field(description="Also read Secrets. Needs permission to read them in the cluster."),
    ] = False
    other_namespaces: Annotated[
        Literal["hide", "show"],
        Field(
            description="What annotations, warnings, Events and audit annotations of a pod show of kinds and "
            "ports that only objects of other namespaces contain. hide: nothing, and bypass does not exclude such a "
            "port; the decision still uses them. show: everything.",
        ),
    ] = "hide"
    catalog: Annotated[
        OwnCatalog | None,
        Field(
            description="Backends by kind: a new kind, or an extension of a known one. What an entry claims here is "
            "removed from all other kinds.",
        ),
    ] = None


class Spec(Model):
    """The settings and rules of the policy."""

    mode: Annotated[Mode, Field(description="audit: decide and report everything, patch nothing.")] = Mode.ENFORCE
    explicit: Annotated[
        Literal["respect", "override"],
        Field(
            description="respect: a pod that sets sidecar.istio.io/inject itself keeps it. override: rules win.",
        ),
    ] = "respect"
    exempt: Annotated[Exempt, Field(description="Namespaces that no rule is applied to.")] = Exempt()
    detection: Annotated[Detection, Field(description="How the results of detection are used.")] = Detection()
    rules: Annotated[tuple[Rule, ...], Field(description="In order: the first that matches decides.")] = ()
    default: Annotated[
        Literal[Action.INHERIT, Action.SKIP, Action.INJECT],
        Field(description="What happens to a pod that no rule matches."),
    ] = Action.INHERIT
    on_unknown: Annotated[
        Literal[Action.INHERIT, Action.SKIP, Action.INJECT],
        Field(
            description="What happens to a pod if a rule depends on what could not be read: its configuration "
            "exceeds the limit of one decision or of a CEL expression, or its namespace is unknown.",
        ),
    ] = Action.INHERIT


class Metadata(Model):
    """What the policy is called."""

    name: Annotated[Name, Field(description="Shown with every decision.")]


class InjectionPolicy(Model):
    """Decides which pods get Istio's sidecar, and how."""

    api_version: Annotated[Literal["sidecar-policy.dev/v1alpha1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["InjectionPolicy"], Field(description="The kind of this document.")]
    metadata: Annotated[Metadata, Field(description="The policy's name.")]
    spec: Annotated[Spec, Field(description="The policy.")]


def json_schema(kinds: frozenset[str]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the policy file, with the catalog's kinds listed."""
    schema = _without_null(InjectionPolicy.model_json_schema(by_alias=True))
    known = {"description": "The built-in kinds.", "items": {"enum": sorted(kinds)}}
    schema["$defs"]["KnownKinds"] = {"properties": {"dependencies": known, "serves": known}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **schema,
        # A file that brings kinds of its own may name them, and JSON Schema cannot express which those are.
        "if": _within("spec", {"required": ["detection"], **_within("detection", {"required": ["catalog"]})}),
        "else": _within(
            "spec", _within("rules", {"items": {"properties": dict.fromkeys(("match", "except"), _KNOWN_KINDS)}})
        ),
    }


_KNOWN_KINDS = {"$ref": "#/$defs/KnownKinds"}


def _within(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {name: schema}}


def _without_null(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON Schema
    """Remove null from optional fields: they may be absent, but a field without a value is an error."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(value) for key, value in schema.items() if (key, value) != ("default", None)}
    if {"type": "null"} in kept.get("anyOf", ()):
        choices = [choice for choice in kept.pop("anyOf") if choice != {"type": "null"}]
        kept |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return kept
