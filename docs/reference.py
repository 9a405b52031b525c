"""Generate the documentation of the policy file from the models that parse it: `make docs`.

That is its reference (docs/policy.md), its JSON Schema (docs/policy-schema.json), and the part of the chart's schema
that is about the policy; and the fields of a pod that CEL expressions may name, from the models of the kubernetes
package.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kubernetes.client import models as kubernetes_models

from webhook.detection.catalog import Catalog
from webhook.policy.schema import json_schema

PAGE = Path(__file__).with_name("policy.md")
SCHEMA = Path(__file__).with_name("policy-schema.json")
VALUES = Path(__file__).parents[1] / "charts/sidecar-policy/values.schema.json"
POD_FIELDS = Path(__file__).parents[1] / "webhook/policy/pod_fields.json"
SCALARS = {"str": "string", "datetime": "string", "int": "int", "bool": "bool", "object": "any"}
# In reading order, with their paths in the policy file.
SECTIONS = {
    "Metadata": "metadata",
    "Spec": "spec",
    "Rule": "spec.rules[]",
    "Criteria": "match and except",
    "SelectorModel": "Selectors",
    "RequirementModel": "matchExpressions[]",
    "Exempt": "spec.exempt",
    "Detection": "spec.detection",
    "BackendModel": "spec.detection.catalog.KIND",
}
# Names of the types that are plain strings in JSON.
TEXTS = {"Glob": "glob", "NameGlob": "glob", "Owner": "kind or kind/glob", "Kind": "kind of backend", "Cel": "CEL"}

INTRODUCTION = """\
# The policy file

<!-- Written by `make docs` from the models in webhook/policy. Changes go there. -->

```yaml
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: shop}
spec:
  mode: enforce
  exempt: {namespaces: [kube-*, istio-system]}
  rules:
  - name: stores-but-not-payments
    match: {dependencies: [redis, rabbitmq], confidence: certain}
    except: {namespaces: [payments-*]}
    action: skip
  - name: search
    match: {dependencies: [elasticsearch], labels: {matchLabels: {tier: backend}}}
    action: bypass
    hold: true
    mode: audit
  default: inherit
```

Rules are evaluated in order, and the first that matches decides. A rule matches a pod when every field of `match`
matches, unless every field of `except` does too; a list matches when one of its entries does. No rule is evaluated for
pods that Istio cannot inject, for those of exempt namespaces, and (with `explicit: respect`) for those that set
`sidecar.istio.io/inject` themselves or are created with Istio's sidecar.

`inject` also applies to pods that Istio does not inject because neither they nor their namespace have one of its
labels: the label on the pod enables injection. Every other action leaves such pods unchanged. Namespaces with
`istio-injection`, `istio.io/rev` or ambient mode keep their setting, so limit such a rule by `namespaces` or
`namespaceLabels` unless it is for the whole cluster.

`onUnknown` decides where a rule depends on what could not be read: the pod's configuration exceeds the budget of one
decision (10,000 settings, hosts and lookups; the largest known pods of real software have some 500), it was not
read in time, it exceeds a [limit of an expression](#expressions), or the pod's namespace is unknown. Earlier rules
that do not depend on dependencies decide as usual. The decision has the reason `unknown`, and a
warning has the cause.

Of a pod of more than 100,000 values (a list of that many elements in its `spec`, for example) only the name, labels,
annotations, owners, service account and `hostNetwork` are read. Rules that need only those still decide, including
expressions over `namespace`, `owner` and `pod.metadata.labels`, `.annotations`, `.name` and `.generateName`.

Several files, or a directory, make one policy: rules in the order of the files' names. Unknown fields, bad globs and
expressions that do not compile are errors with file, line and a hint; rules that can never be reached are warnings.
`sidecar-policy validate` finds them, the server rejects them and keeps the active policy, and
[policy-schema.json](policy-schema.json) is for editors. Globs support `*`, `?` and `[…]`.

## Expressions

`when` is [CEL](https://cel.dev) with its standard functions and macros. It is type-checked against the fields of a pod:
a misspelt one (`pod.spec.contaners`), a comparison of different types and a result that is not a boolean are errors. A
field that resembles no known one is assumed to be of a newer Kubernetes, with a warning. `dyn(x)` disables the check
for a value. Patterns of `matches()` and time zones must be literals; a time zone is a name of the IANA database
(`Europe/Berlin`) or an offset (`+01:00`).

An expression receives the pod as it was created, without this webhook's own label and annotations. One that fails on a
pod, for a missing field for instance, does not match, with a warning.

An expression is rejected when its estimated cost for a pod with 100 list elements, 1,000 values, maps of 50 entries
and 16 KiB of text exceeds 1,000,000 units of some 50 ns. Nested loops over a list of each element, as over `env` of
each of `containers`, cost in proportion to the pod; loops over unrelated lists multiply: two are fine, three are not.

| Limit | When exceeded |
|---|---|
| 4,096 characters, 32 levels of nesting, an estimated cost of 1,000,000 | The policy is rejected |
| The same cost for the pod at hand; 4,000,000 for all expressions on one pod | `onUnknown` decides, with a warning |
| 10,000 iterations; a pod of 50,000 values, 1 MiB of text, 64 levels, 64-bit integers | The same |
"""


def written() -> dict[Path, str]:
    """Return the text of each generated file."""
    schema = json_schema(frozenset(Catalog.default().kinds))
    # In the chart policy.name is the name, outside of the spec.
    models = {name: model for name, model in schema["$defs"].items() if name != "Metadata"}
    values = json.loads(VALUES.read_text(encoding="utf-8")) | {"$defs": models}
    return {PAGE: page(schema), SCHEMA: _json(schema), VALUES: _json(values), POD_FIELDS: _json(pod_fields())}


def pod_fields() -> dict[str, dict[str, str]]:
    """Return the fields of a pod and of its parts, by type, as `webhook.policy.cel_types` reads them."""
    found: dict[str, dict[str, str]] = {}
    waiting = ["V1Pod"]
    while waiting:
        name = waiting.pop()
        model = getattr(kubernetes_models, name)
        fields = {model.attribute_map[attribute]: kind for attribute, kind in model.openapi_types.items()}
        found[_plain(name)] = {field: _kind(kind) for field, kind in fields.items()}
        named = (word for kind in fields.values() for word in re.findall(r"\w*V\d\w+", kind))
        waiting += [word for word in named if _plain(word) not in found and word not in waiting]
    return dict(sorted(found.items()))


def _kind(kind: str) -> str:
    if inner := re.fullmatch(r"List\[(.+)]", kind):
        return f"[{_kind(inner[1])}]"
    if inner := re.fullmatch(r"Dict\[str, (.+)]", kind):
        return f"{{{_kind(inner[1])}}}"
    return SCALARS.get(kind) or _plain(kind)


def _plain(name: str) -> str:
    return re.sub(r"V\d+", "", name, count=1)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page(schema: dict[str, Any]) -> str:
    """Return the text of docs/policy.md."""
    models = schema["$defs"]
    parts = [INTRODUCTION]
    for model, title in SECTIONS.items():
        parts.append(_section(title, models[model]))
    kinds = ", ".join(f"`{kind}`" for kind in models["KnownKinds"]["properties"]["serves"]["items"]["enum"])
    parts.append(f"## Kinds of backend\n\n{kinds}, and those of `spec.detection.catalog`.\n")
    return "\n".join(parts)


def _section(title: str, model: dict[str, Any]) -> str:
    required = set(model.get("required", ()))
    rows = ["| Field | Type | Default | Description |", "|---|---|---|---|"]
    for name, field in model["properties"].items():
        said = field["description"].replace("|", "\\|")
        rows.append(f"| `{name}` | {_type(field)} | {_default(field, required=name in required)} | {said} |")
    return f"## {title}\n\n{model['description']}\n\n" + "\n".join(rows) + "\n"


def _default(field: dict[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    value = field.get("default")
    plain = isinstance(value, str | bool)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if plain else ""


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _referred(field["$ref"].rpartition("/")[2])
    if "enum" in field:
        return _choice(field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        return " or ".join(_type(choice) for choice in choices)
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if field["type"] == "object":
        return f"map to {_type(field['additionalProperties'])}"
    return {"string": "text", "boolean": "`true` or `false`", "integer": "number"}[field["type"]]


def _referred(name: str) -> str:
    if name in TEXTS:
        return TEXTS[name]
    if name in SECTIONS:
        title = SECTIONS[name]
        anchor = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -").replace(" ", "-")
        return f"[{title}](#{anchor})"
    return _choice(json_schema(frozenset())["$defs"][name]["enum"])


def _choice(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
