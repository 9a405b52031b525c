"""The outcome of a policy's rules for one pod, before the engine makes a Decision of it."""

from __future__ import annotations

from msgspec import Struct

from webhook.core.decision import Action, Confidence, Dependency, Mode


class Ruling(Struct, frozen=True):
    """The outcome of a policy's rules for one pod.

    Attributes:
        action: The action of the deciding rule, or of the default.
        rule: The rule's name; None when the default decided.
        mode: The rule's own mode, or the policy's; audit if either is audit.
        dependencies: The dependencies that the rule's `dependencies` matched; all that reach minConfidence
            when the rule names none.
        ports: The rule's fixed list of ports for bypass; None means the ports of `dependencies`.
        hold: Start the application after the sidecar.
        matched: What made the rule match, as short phrases.
        warnings: Errors during evaluation, for example a CEL expression that failed on this pod.
        confidence: The least confidence of a dependency for the rule, or the default, to see it.
        kinds: The kinds that the rule's `dependencies` names; None when it names none.
        left_out: Whether bypass excludes no port of some dependency, since only objects of other namespaces contain it.
        known: False where `spec.onUnknown` decided, since a rule depended on something unknown.
        why: Why it is unknown, as a sentence.
    """

    action: Action
    rule: str | None = None
    mode: Mode = Mode.ENFORCE
    dependencies: tuple[Dependency, ...] = ()
    ports: tuple[int, ...] | None = None
    hold: bool = False
    matched: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confidence: Confidence = Confidence.PROBABLE
    kinds: frozenset[str] | None = None
    left_out: bool = False
    known: bool = True
    why: str = ""
