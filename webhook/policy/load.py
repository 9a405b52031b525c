"""Load policy files into a compiled policy, or report everything that is wrong with them, at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from webhook.detection.catalog import Catalog
from webhook.policy.catalog_schema import claimed_twice
from webhook.policy.cel import MOST_EXPRESSIONS
from webhook.policy.compiled import CompiledPolicy, compile_policy
from webhook.policy.criteria_schema import KINDS
from webhook.policy.document import PolicyDocument, parse
from webhook.policy.files import PolicyError, Source, generation, read
from webhook.policy.lint import PlacedRule, doubts, duplicate_names
from webhook.policy.schema import InjectionPolicy, Spec
from webhook.policy.validation import validated
from webhook.problem import Problem

__all__ = ["CompiledPolicy", "PolicyError", "build", "default_policy", "load"]

_DEFAULT = Path(__file__).with_name("default.yaml")


def load(paths: Sequence[Path], *, kinds: frozenset[str] | None = None, pipes: bool = False) -> CompiledPolicy:
    """Load a policy.

    Args:
        paths: Files and directories, see `webhook.policy.files.read`.
        pipes: Whether a path may be a pipe, as one that was typed may; see there.
        kinds: The kinds of backends that rules may name; None for those of the packaged catalog.

    Raises:
        PolicyError: A file cannot be read, or there is an error in one.

    Example:
        load([Path("examples/policies/bypass-ports.yaml")]).version
    """
    return build(read(paths, pipes=pipes), kinds=kinds)


@cache
def default_policy() -> CompiledPolicy:
    """Return the policy shipped in the package, for when none is given."""
    return build([Source("default.yaml", _DEFAULT.read_bytes())])


def build(sources: Sequence[Source], *, kinds: frozenset[str] | None = None) -> CompiledPolicy:
    """Compile one policy from the content of files. Pure: it reads nothing.

    The rules of all files are in the order of the files; every other field of spec may be set in one of them only.
    The first file names the policy.

    Args:
        sources: At least one file.
        kinds: As for `load`.

    Raises:
        PolicyError: There is an error in a file.
    """
    documents = [parse(source.file, source.content) for source in sources]
    if (expressions := sum(map(_expressions, documents))) > MOST_EXPRESSIONS:
        many = f"{expressions} CEL expressions in all files, more than {MOST_EXPRESSIONS}"
        raise PolicyError([documents[0].problem(("spec", "rules"), many, "use other fields for most of them")])
    known = Catalog.default().kinds if kinds is None else kinds
    context = {KINDS: known.union(*(_own_catalog(document) for document in documents))}
    problems: list[Problem] = []
    models: list[InjectionPolicy] = []
    for document in documents:
        model, found = validated(InjectionPolicy, document, context)
        problems += found
        if model is not None:
            models.append(model)
    problems += duplicate_names(documents)
    if len(models) == len(documents):
        problems += _given_twice(documents, models)
    for document, model in zip(documents, models, strict=False):
        problems += _claimed_twice(document, model)
    if any(problem.severity == "error" for problem in problems):
        raise PolicyError(problems)
    merged = _merged(models)
    placed = [
        PlacedRule(rule, document, number)
        for document, model in zip(documents, models, strict=True)
        for number, rule in enumerate(model.spec.rules)
    ]
    problems += doubts(placed, merged.spec.detection.min_confidence)
    return compile_policy(merged, generation=generation(sources), warnings=tuple(problems))


def _expressions(document: PolicyDocument) -> int:
    """Return how many CEL expressions a file has; also of a file that does not validate."""
    spec = document.value.get("spec") if isinstance(document.value, dict) else None
    rules = spec.get("rules") if isinstance(spec, dict) else None
    criteria = (
        rule.get(name)
        for rule in (rules if isinstance(rules, list) else ())
        if isinstance(rule, dict)
        for name in ("match", "except")
    )
    return sum("when" in fields for fields in criteria if isinstance(fields, dict))


def _own_catalog(document: PolicyDocument) -> frozenset[str]:
    """Return the kinds that a file's own catalog adds; also of a file that does not validate."""
    found = document.value
    for name in ("spec", "detection", "catalog"):
        found = found.get(name) if isinstance(found, dict) else None
    return frozenset(found) if isinstance(found, dict) else frozenset()


def _claimed_twice(document: PolicyDocument, model: InjectionPolicy) -> list[Problem]:
    return [
        document.problem(
            ("spec", "detection", "catalog", kind, field),
            f"{value} is already claimed by '{first}'",
            "keep it in one of the two",
        )
        for kind, field, value, first in claimed_twice(model.spec.detection.catalog or {})
    ]


def _given_twice(documents: Sequence[PolicyDocument], models: Sequence[InjectionPolicy]) -> list[Problem]:
    problems = []
    given: dict[str, str] = {}
    for document, model in zip(documents, models, strict=True):
        for name in model.spec.model_fields_set - {"rules"}:
            first = given.setdefault(name, document.file)
            if first != document.file:
                hint = "keep it in one of the two files"
                problems.append(document.problem(("spec", name), f"already set in {first}", hint))
    return problems


def _merged(models: Sequence[InjectionPolicy]) -> InjectionPolicy:
    given = {name: getattr(model.spec, name) for model in models for name in model.spec.model_fields_set - {"rules"}}
    rules = tuple(rule for model in models for rule in model.spec.rules)
    spec = Spec().model_copy(update={**given, "rules": rules})
    return models[0].model_copy(update={"spec": spec})
