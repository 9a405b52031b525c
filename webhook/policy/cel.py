"""CEL expressions: the only module that knows the CEL library.

The library reserves the word `namespace`, as the CEL grammar does; a policy's variable of that name is given another
one before compiling, of the same length so that columns in error messages stay right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook.problem import did_you_mean

if TYPE_CHECKING:
    import cel

VARIABLES = frozenset({"pod", "namespace", "owner", "dependencies", "serves"})
MAX_LENGTH = 4096

_NAMESPACE = "namespace"
_COMPILED_NAMESPACE = "namespac_"
_TYPES = frozenset(
    {"bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint"}
)
_FUNCTIONS = frozenset(
    {
        *("bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"),
        *("contains", "endsWith", "matches", "size", "startsWith"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
        *("getHours", "getMilliseconds", "getMinutes", "getSeconds"),
    }
)
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "has", "map"})
_RAW_STRING = r"""[bB]?[rR][bB]?(?:'''.*?'''|\"{3}.*?\"{3}|'[^'\n]*'|"[^"\n]*")"""
_STRING = r"""'''(?:\\.|.)*?'''|\"{3}(?:\\.|.)*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\""""
_OPAQUE = re.compile(rf"(?P<opaque>{_RAW_STRING}|{_STRING}|//[^\n]*)|(?<![\w.])(?<!\.\s)namespace\b", re.DOTALL)
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*(\w+)\s*,")
_SYNTAX_ERROR = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<what>[^\n]*)")


class CelError(ValueError):
    """An expression that cannot be used. Its message is for the policy's author.

    Attributes:
        hint: How to mend it, or None.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class CelFailure(Exception):  # noqa: N818 - CelError is the author's mistake, this is the outcome for one pod
    """An expression that failed on one pod. Its message holds nothing of the pod."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression that gives true or false.

    Attributes:
        source: What the policy's author wrote.
        variables: Those of `VARIABLES` that it reads.
    """

    source: str
    variables: frozenset[str]
    _program: cel.Program = field(repr=False, compare=False)

    def holds(self, context: Context) -> bool:
        """Evaluate.

        Args:
            context: Holds at least `variables`.

        Raises:
            CelFailure: A field is missing, a type does not fit, or the result is not a boolean. The library's
                own message may quote the pod, so it is never passed on.
        """
        try:
            result = self._program.execute(context.values)
        except KeyError as error:
            name = str(error.args[0]).strip("'") if error.args else ""
            known = re.search(rf"\b{re.escape(name)}\b", self.source) if name else None
            raise CelFailure(f"it asks for '{name}', which is not there" if known else "a key is not there") from None
        except TypeError:
            raise CelFailure("an operation does not fit the types of its values") from None
        except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            raise CelFailure(f"evaluation failed ({type(error).__name__})") from None
        if not isinstance(result, bool):
            raise CelFailure(f"the result is of type {type(result).__name__}, not a boolean")
        return result


class Context:
    """The values of variables, each converted for the library once and then used by any number of expressions."""

    __slots__ = ("_names", "values")

    def __init__(self) -> None:
        import cel  # noqa: PLC0415 - as below

        self.values = cel.Context()
        self._names: set[str] = set()

    def add(self, names: Iterable[str], value_of: Callable[[str], Any]) -> None:
        """Add those variables that are not there yet.

        Args:
            names: Names out of `VARIABLES`.
            value_of: Gives a variable's value; called only for those that are missing.

        Raises:
            CelFailure: A value is of a type that CEL does not have.
        """
        for name in names:
            if name in self._names:
                continue
            try:
                self.values.add_variable(_COMPILED_NAMESPACE if name == _NAMESPACE else name, value_of(name))
            except (ArithmeticError, TypeError, ValueError):
                raise CelFailure("a value is of a type that CEL does not have") from None
            self._names.add(name)


def compile_expression(source: str) -> Expression:
    """Compile an expression and check the names in it.

    Raises:
        CelError: It is too long, is not CEL, or uses a variable or function that does not exist.
    """
    if len(source) > MAX_LENGTH:
        raise CelError(f"longer than {MAX_LENGTH} characters")
    if not source.strip():
        raise CelError("an empty expression", "remove the field, or write an expression that gives true or false")
    renamed = _OPAQUE.sub(lambda found: found["opaque"] or _COMPILED_NAMESPACE, source)
    # The library brings a whole prompt with it, and most policies have no expression.
    import cel  # noqa: PLC0415

    try:
        program = cel.compile(renamed)
    except ValueError as error:
        raise _syntax_error(str(error)) from None
    bound = set(_BOUND.findall(_OPAQUE.sub(lambda found: "''" if found["opaque"] else found[0], source)))
    used = {_NAMESPACE if name == _COMPILED_NAMESPACE else name for name in program.variables()}
    for name in sorted(used - VARIABLES - _TYPES - bound):
        hint = did_you_mean(name, VARIABLES) or f"there are: {', '.join(sorted(VARIABLES))}"
        raise CelError(f"unknown variable '{name}'", hint)
    named = {name for name in program.functions() if re.fullmatch(r"[A-Za-z]\w*", name)}
    for name in sorted(named - _FUNCTIONS):
        hint = did_you_mean(name, _FUNCTIONS | _MACROS) or f"there are: {', '.join(sorted(_FUNCTIONS | _MACROS))}"
        raise CelError(f"unknown function '{name}'", hint)
    return Expression(source, frozenset(used & VARIABLES), program)


def _syntax_error(text: str) -> CelError:
    found = _SYNTAX_ERROR.search(text)
    if not found:
        return CelError("not valid CEL")
    what = (
        found["what"]
        .removeprefix("Syntax error: ")
        .replace("<EOF>", "the end")
        .replace(_COMPILED_NAMESPACE, _NAMESPACE)
    )
    what = re.sub(r" expecting \{.*", "", what).replace("OtherError", "")
    if "recursion" in what or "ParseError" in what:
        what = "nested too deeply"
    return CelError(f"not valid CEL at line {found['line']}, column {found['column']}: {what}")
