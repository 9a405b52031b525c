"""The file of policy unit tests: pods, and the expected decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictStr, model_validator

from webhook.core.decision import Action, Mode, Reason
from webhook.policy.criteria_schema import KINDS, Kind, Model, invalid
from webhook.policy.document import PolicyDocument, parse
from webhook.policy.files import PolicyError, read
from webhook.policy.schema import Port
from webhook.policy.validation import validated
from webhook.problem import Problem, did_you_mean

_REASONS = tuple(reason.code for reason in Reason)


def _reason(code: str) -> str:
    if code not in _REASONS:
        raise invalid(
            f"unknown reason '{code}'", did_you_mean(code, _REASONS) or f"valid values: {', '.join(_REASONS)}"
        )
    return code


def _workload(text: str) -> str:
    if not (len(parts := text.split("/")) in {2, 3} and all(parts)):
        raise invalid(
            f"invalid workload '{text}'", "write kind/name or kind/namespace/name, for example Deployment/web"
        )
    return text


class Expectation(Model):
    """The expected decision. Only the fields that are given are compared."""

    action: Annotated[Action | None, Field(description="The action on the sidecar.")] = None
    rule: Annotated[StrictStr | None, Field(description="The rule that decides; empty for none.")] = None
    mode: Annotated[Mode | None, Field(description="Whether the pod is patched (enforce) or not (audit).")] = None
    hold: Annotated[StrictBool | None, Field(description="Whether the application waits for the sidecar.")] = None
    ports: Annotated[
        tuple[Port, ...] | None, Field(description="The outbound ports that bypass excludes from interception.")
    ] = None
    dependencies: Annotated[
        tuple[Kind, ...] | None,
        Field(description="All kinds that the pod is a client of, with at least the confidence that rules require."),
    ] = None
    serves: Annotated[tuple[Kind, ...] | None, Field(description="All kinds that the pod is a server of.")] = None
    reason: Annotated[Annotated[StrictStr, AfterValidator(_reason)] | None, Field(description="The reason code.")] = (
        None
    )


class Case(Model):
    """One test: a pod, or a workload of the manifests, and what is expected."""

    name: Annotated[StrictStr, Field(description="What the test verifies, as a sentence.")]
    workload: Annotated[
        Annotated[StrictStr, AfterValidator(_workload)] | None, Field(description="kind/name or kind/namespace/name.")
    ] = None
    pod: Annotated[dict[str, Any] | None, Field(description="A Pod, or its metadata and spec.")] = None
    namespace: Annotated[
        StrictStr | None, Field(description="Where the pod is created; the pod's own, or default.")
    ] = None
    expect: Annotated[Expectation, Field(description="The expected decision.")]

    @model_validator(mode="after")
    def _has_one_pod(self) -> Self:
        if (self.workload is None) == (self.pod is None):
            raise invalid("needs either workload or pod", "workload refers to a manifest; pod is defined inline")
        return self


class PolicyTest(Model):
    """A file of tests for one policy."""

    api_version: Annotated[Literal["sidecar-policy.dev/v1alpha1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["PolicyTest"], Field(description="The kind of this document.")]
    policy: Annotated[StrictStr, Field(description="The policy file or directory, relative to this file.")]
    manifests: Annotated[
        tuple[StrictStr, ...], Field(description="Manifests around the pods, relative to this file.")
    ] = ()
    namespace_labels: Annotated[
        dict[StrictStr, StrictStr] | None,
        Field(description="Labels of namespaces without a Namespace object; by default those are in the mesh."),
    ] = None
    tests: Annotated[tuple[Case, ...], Field(min_length=1, description="The tests.")]


def load_cases(path: Path, *, kinds: frozenset[str] | None) -> tuple[PolicyTest, PolicyDocument]:
    """Read a file of tests.

    Args:
        path: The file.
        kinds: The kinds that expectations may name; None for any.

    Returns:
        The tests, and the document for the lines of their fields.

    Raises:
        PolicyError: It cannot be read, or something is wrong with it.
    """
    if path.is_dir():
        hint = "pass the PolicyTest files in it"
        raise PolicyError([Problem("error", str(path), None, "", "is a directory", hint)], unreadable=True)
    (source,) = read([path])
    document = parse(source.file, source.content)
    model, problems = validated(PolicyTest, document, {KINDS: kinds}, opaque=frozenset({"pod"}))
    if model is None:
        raise PolicyError(problems)
    return model, document
