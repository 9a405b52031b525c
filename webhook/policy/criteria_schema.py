"""The models of `match` and `except`: what a rule may ask of a pod.

Every type that has a grammar of its own (glob, selector, owner, CEL) checks it here, so that a policy that validates
also compiles.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from webhook.core.decision import Confidence
from webhook.kubernetes.labels import Operator, Selector
from webhook.policy.cel import CelError, compile_expression
from webhook.policy.glob import GlobError, pattern
from webhook.problem import did_you_mean

KINDS = "kinds"
"""The key of the validation context for the catalog's kinds."""

_WORKLOADS = frozenset(
    {"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"}
)
_KNOWN_AS = {
    "amqp": "rabbitmq",
    "elastic": "elasticsearch",
    "mariadb": "mysql",
    "mongo": "mongodb",
    "postgres": "postgresql",
    "pgsql": "postgresql",
    "rabbit": "rabbitmq",
    "sqlserver": "mssql",
    "valkey": "redis",
}
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


class Model(BaseModel):
    """What all models of the file share: unknown fields are errors, instances are immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=False)


def invalid(message: str, hint: str | None = None) -> PydanticCustomError:
    """Return a validation error with a hint for `webhook.policy.validation`."""
    return PydanticCustomError("policy", "{message}", {"message": message, "hint": hint})


def _check_glob(text: str) -> str:
    try:
        pattern(text)
    except GlobError as error:
        raise invalid(f"bad glob '{text}': {error}") from None
    return text


def _check_dns_glob(text: str) -> str:
    if text != text.lower():
        raise invalid(f"'{text}' can never match: such names are lower-case", f"write '{text.lower()}'")
    if re.search(r"[_/\s:]", text):
        raise invalid(f"'{text}' can never match: such names hold only a-z, 0-9, '-' and '.'")
    return text


def _check_owner(text: str) -> str:
    kind, slash, name = text.partition("/")
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", kind) or (kind.endswith("s") and kind[:-1] in _WORKLOADS):
        hint = did_you_mean(kind, _WORKLOADS) or "write the kind as Kubernetes does: Deployment, Job, Deployment/web-*"
        raise invalid(f"'{kind}' is not a kind", hint)
    if slash:
        _check_glob(name)
    return text


def _check_kind(kind: str, info: ValidationInfo) -> str:
    kinds: frozenset[str] | None = (info.context or {}).get(KINDS)
    if kinds is None or kind in kinds:
        return kind
    alias = _KNOWN_AS.get(kind.lower())
    hint = f"did you mean '{alias}'?" if alias in kinds else did_you_mean(kind, kinds)
    raise invalid(f"unknown kind '{kind}'", hint or f"valid values: {', '.join(sorted(kinds))}")


def _check_cel(text: str) -> str:
    try:
        compile_expression(text)
    except CelError as error:
        raise invalid(str(error), error.hint) from None
    return text


def _one_as_list(value: Any) -> Any:  # noqa: ANN401 - anything that YAML can hold
    if isinstance(value, str):
        raise invalid("must be a list", f"write [{value}]")
    return value


Glob = TypeAliasType("Glob", Annotated[StrictStr, AfterValidator(_check_glob)])
NameGlob = TypeAliasType("NameGlob", Annotated[StrictStr, AfterValidator(_check_glob), AfterValidator(_check_dns_glob)])
Owner = TypeAliasType("Owner", Annotated[StrictStr, AfterValidator(_check_owner)])
Kind = TypeAliasType("Kind", Annotated[StrictStr, AfterValidator(_check_kind)])
Cel = TypeAliasType("Cel", Annotated[StrictStr, AfterValidator(_check_cel)])
NameGlobs = Annotated[tuple[NameGlob, ...], Field(min_length=1), BeforeValidator(_one_as_list)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1), BeforeValidator(_one_as_list)]
Owners = Annotated[tuple[Owner, ...], Field(min_length=1), BeforeValidator(_one_as_list)]
Kinds = Annotated[tuple[Kind, ...], Field(min_length=1), BeforeValidator(_one_as_list)]


class RequirementModel(Model):
    """One entry of matchExpressions."""

    key: Annotated[StrictStr, Field(description="The label's or annotation's name.")]
    operator: Annotated[Operator, Field(description="In, NotIn, Exists or DoesNotExist, as Kubernetes defines them.")]
    values: Annotated[
        tuple[StrictStr, ...],
        Field(description="The values for In and NotIn; must be absent for Exists and DoesNotExist."),
    ] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        if self.operator in {"In", "NotIn"} and not self.values:
            raise invalid(f"operator {self.operator} needs values")
        if self.operator in {"Exists", "DoesNotExist"} and self.values:
            raise invalid(f"operator {self.operator} takes no values", "remove values, or use In or NotIn")
        return self


class SelectorModel(Model):
    """A selector in Kubernetes' own syntax. All its conditions must match."""

    match_labels: Annotated[
        dict[StrictStr, StrictStr], Field(description="Names that must have exactly these values.")
    ] = {}
    match_expressions: Annotated[tuple[RequirementModel, ...], Field(description="Conditions with an operator.")] = ()

    @model_validator(mode="before")
    @classmethod
    def _is_not_a_plain_map(cls, value: Any) -> Any:  # noqa: ANN401 - anything that YAML can hold
        if isinstance(value, dict) and value and all(isinstance(item, str) for item in value.values()):
            raise invalid("a selector has matchLabels or matchExpressions", "put the pairs under matchLabels")
        return value

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.match_labels and not self.match_expressions:
            raise invalid("an empty selector matches everything", "remove the field, or give it matchLabels")
        return self

    def compiled(self) -> Selector:
        """Return the selector in the form that is evaluated."""
        return Selector.of(self.match_labels, self.match_expressions)


def _check_labels(selector: SelectorModel) -> SelectorModel:
    for requirement in selector.compiled().requirements:
        _check_key(requirement.key)
        for value in requirement.values:
            if not _LABEL_VALUE.fullmatch(value):
                raise invalid(f"invalid label value '{value}'", "label values have up to 63 of A-Z a-z 0-9 - _ .")
    return selector


def _check_annotations(selector: SelectorModel) -> SelectorModel:
    for requirement in selector.compiled().requirements:
        _check_key(requirement.key)
    return selector


def _check_key(key: str) -> None:
    if not _LABEL_KEY.fullmatch(key):
        raise invalid(f"'{key}' is not a valid label or annotation name", "write name or prefix/name")


LabelSelector = Annotated[SelectorModel, AfterValidator(_check_labels)]
AnnotationSelector = Annotated[SelectorModel, AfterValidator(_check_annotations)]


class Criteria(Model):
    """Criteria for a pod. All specified fields must match; a list matches when any of its entries does."""

    namespaces: Annotated[NameGlobs | None, Field(description="Globs over the pod's namespace.")] = None
    namespace_labels: Annotated[LabelSelector | None, Field(description="A selector over the namespace's labels.")] = (
        None
    )
    labels: Annotated[LabelSelector | None, Field(description="A selector over the pod's labels.")] = None
    annotations: Annotated[AnnotationSelector | None, Field(description="A selector over the pod's annotations.")] = (
        None
    )
    owners: Annotated[
        Owners | None,
        Field(
            description="Who created the pod: a kind (Job) or kind/name with a glob for the name (Deployment/web-*). "
            "A Deployment's ReplicaSet counts as the Deployment, an Argo Rollout's as the Rollout, a CronJob's Job as "
            "both. A kind is one of any API group: Job is a Volcano Job, too, which counts as nothing else. Of several "
            "owners only the controller counts, if one is marked as such.",
        ),
    ] = None
    service_accounts: Annotated[
        NameGlobs | None,
        Field(description="Globs over the pod's service account; 'default' when it names none."),
    ] = None
    images: Annotated[
        Globs | None,
        Field(
            description="Globs over the images of the pod's containers, init containers included. "
            "A * runs across '/': */legacy/* finds that folder in any registry. An image is compared by all names that "
            "container runtimes have for it: nginx is docker.io/library/nginx:latest, too.",
        ),
    ] = None
    dependencies: Annotated[
        Kinds | None, Field(description="Kinds of backends that the pod is found to be a client of.")
    ] = None
    serves: Annotated[Kinds | None, Field(description="Kinds of backends that the pod itself is a server of.")] = None
    confidence: Annotated[
        Confidence | None,
        Field(
            description="The minimum confidence of a dependency to count here, instead of "
            "spec.detection.minConfidence.",
        ),
    ] = None
    when: Annotated[
        Cel | None,
        Field(
            description="A CEL expression that returns true or false, over pod (the whole pod), namespace (name, "
            "labels), owner (kind, name; empty when there is none), dependencies and serves (lists of kinds). "
            "It is checked against the fields of a pod, and its estimated cost is limited. "
            "An expression that fails on a pod does not match, and adds a warning; where a pod exceeds a limit, "
            "spec.onUnknown applies.",
        ),
    ] = None
