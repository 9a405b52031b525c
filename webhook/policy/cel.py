"""CEL expressions: compiled once, evaluated for each pod, and bounded in cost for any pod."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from webhook.policy.cel_bound import Bound
from webhook.policy.cel_cost import LIMIT, TYPICAL
from webhook.policy.cel_values import MAX_BYTES, MAX_VALUES, OversizedError, measured

if TYPE_CHECKING:
    from cel_expr_python import cel

VARIABLES = frozenset({"pod", "namespace", "owner", "dependencies", "serves"})
OUTLINE = frozenset({"name", "generateName", "labels", "annotations"})
"""The fields of a pod's metadata that are known of every pod: see `webhook.kubernetes.outline`."""
MAX_LENGTH = 4096
MOST_EXPRESSIONS = 1000
"""Of a whole policy. Each takes some 2 ms to compile, and is cached until it has been used for all purposes."""
LIMIT_OF_ALL = 4 * LIMIT
"""The largest cost of all expressions together that are evaluated for one pod: some 200 ms."""

_COST_OF_UNIT = 800
"""Of one unit of work: some 40 us."""

NAMESPACE = "namespac_"
"""What the variable `namespace` is called where the library sees it: the CEL grammar reserves that word. The name is as
long, so that columns stay right."""

_RAW_STRING = r"""[bB]?[rR][bB]?(?:'''.*?'''|\"{3}.*?\"{3}|'[^'\n]*'|"[^"\n]*")"""
_STRING = r"""'''(?:\\.|.)*?'''|\"{3}(?:\\.|.)*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\""""
_OPAQUE = re.compile(rf"(?P<opaque>{_RAW_STRING}|{_STRING}|//[^\n]*)|(?<![\w.])(?<!\.\s)namespace\b", re.DOTALL)
_LARGEST = frozenset({"longest", "widest"})
_MISSING_KEY = re.compile(r'Key not found in map : "(?P<name>.*)"', re.DOTALL)
_FAILURES = (
    ("Index error", "IndexError"),
    ("divide by zero", "ZeroDivisionError"),
    ("modulus by zero", "ZeroDivisionError"),
    ("OUT_OF_RANGE", "OverflowError"),
)


class CelError(ValueError):
    """An expression that cannot be used. Its message is for the policy's author.

    Attributes:
        hint: How to fix it, or None.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class CelFailure(Exception):  # noqa: N818 - CelError is the author's mistake, this is the outcome for one pod
    """An expression that failed on one pod. Its message contains nothing of the pod."""


class CelLimitError(CelFailure):
    """An expression that was not evaluated, or not to its end, since the pod exceeds a limit."""


class Context:
    """The values of variables, each converted for the library once and then used by any number of expressions."""

    __slots__ = ("_activation", "_cost", "_sizes", "_spend", "_values")

    def __init__(self, spend: Callable[[int], None] = lambda _: None) -> None:
        """Begin without any variable.

        Args:
            spend: Called for each evaluation with its largest cost, in units of `webhook.core.budget`; may raise.
        """
        self._spend = spend
        self._values: dict[str, Any] = {}
        self._sizes = dict.fromkeys(TYPICAL, 0)
        self._cost = 0.0
        self._activation: cel.Activation | None = None

    def add(self, names: Iterable[str], value_of: Callable[[str], Any]) -> None:
        """Add those variables that are not there yet.

        Args:
            names: Names out of `VARIABLES`.
            value_of: Returns a variable's value; called only for those that are missing.

        Raises:
            CelLimitError: The values are too large to be converted, or one is out of range of CEL's types.
        """
        for name in names:
            key = NAMESPACE if name == "namespace" else name
            if key in self._values:
                continue
            value = value_of(name)
            try:
                sizes = measured(value)
            except OversizedError:
                raise CelLimitError(
                    f"the pod is too large: more than {MAX_VALUES} values, {MAX_BYTES >> 20} MiB, or nested too deeply"
                ) from None
            except (TypeError, ValueError):
                raise CelLimitError("a value is of a type that CEL does not have") from None
            for part, size in sizes.items():
                known = self._sizes[part]
                self._sizes[part] = max(known, size) if part in _LARGEST else known + size
            self._values[key] = value
            self._activation = None

    def charge(self, cost: Bound) -> None:
        """Charge the cost of an evaluation to the remaining limit.

        Raises:
            CelLimitError: It may cost too much on these values, or too much after the others.
        """
        needed = cost.at(self._sizes)
        if needed > LIMIT:
            raise CelLimitError("the pod is too large for this expression")
        self._cost += needed
        if self._cost > LIMIT_OF_ALL:
            raise CelLimitError("the pod is too large for this expression and those before it")
        self._spend(int(needed) // _COST_OF_UNIT)

    def activation(self) -> cel.Activation:
        """Return the values as the library accepts them."""
        if self._activation is None:
            from webhook.policy.cel_check import environment  # noqa: PLC0415 - as below

            self._activation = environment().Activation(self._values)
        return self._activation


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression with a boolean result.

    Attributes:
        source: What the policy's author wrote.
        variables: Those of `VARIABLES` that it reads.
        cost: The largest cost of an evaluation.
        unknown: Fields that Kubernetes did not have when this version was released, as "PodSpec.x".
        by_outline: Whether it reads no more of the pod than `OUTLINE`.
    """

    source: str
    variables: frozenset[str]
    cost: Bound = field(repr=False, compare=False)
    unknown: tuple[str, ...]
    by_outline: bool
    _program: cel.Expression = field(repr=False, compare=False)

    def holds(self, context: Context) -> bool:
        """Evaluate the expression.

        Args:
            context: The values of at least `variables`.

        Raises:
            CelLimitError: The pod is too large for the expression.
            CelFailure: A field is missing, a type does not fit, or the result is not a boolean. The library's own
                message may quote the pod, so it is never passed on.
        """
        context.charge(self.cost)
        try:
            result = self._program.eval(context.activation())
        except MemoryError:
            raise CelLimitError("it takes too much memory") from None
        except (RuntimeError, ValueError, TypeError) as error:
            # What is wrong with a value is a result; only what ends the evaluation is raised.
            what = "it takes too many iterations" if "budget exceeded" in str(error) else "evaluation failed"
            raise CelLimitError(what) from None
        value = result.value()
        if isinstance(value, bool):
            return value
        if result.type().name() == "ERROR":
            raise self._failure(str(value)) from None
        raise CelFailure(f"the result is of type {type(value).__name__}, not a boolean")

    def _failure(self, text: str) -> CelFailure:
        if key := _MISSING_KEY.search(text):
            name = key["name"]
            known = name and re.search(rf"\b{re.escape(name)}\b", self.source)
            return CelFailure(f"key '{name}' does not exist" if known else "a key does not exist")
        if "No matching overload" in text:
            return CelFailure("an operation does not fit the types of its values")
        kind = next((kind for words, kind in _FAILURES if words in text), "RuntimeError")
        return CelFailure(f"evaluation failed ({kind})")


@lru_cache(maxsize=MOST_EXPRESSIONS)
def compile_expression(source: str) -> Expression:
    """Compile an expression.

    Raises:
        CelError: It is too long, is not CEL, does not fit the types of the variables, or may cost too much.
    """
    if len(source) > MAX_LENGTH:
        raise CelError(f"longer than {MAX_LENGTH} characters", "split it into several rules")
    if not source.strip():
        raise CelError("an empty expression", "remove the field, or write an expression that returns true or false")
    renamed = _OPAQUE.sub(lambda found: found["opaque"] or NAMESPACE, source)
    # The library takes 6 MB and the types 6 MB more, and most policies have no expression.
    from webhook.policy.cel_check import check, compiled  # noqa: PLC0415

    checked = check(renamed)
    estimate = checked.estimate
    used = {"namespace" if name == NAMESPACE else name for name in estimate.variables}
    unknown = tuple(f"{type_}.{name}" for type_, name in checked.unknown)
    variables = frozenset(used & VARIABLES)
    return Expression(source, variables, estimate.cost, unknown, checked.by_outline, compiled(renamed))
