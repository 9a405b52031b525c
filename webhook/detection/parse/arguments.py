"""The commands that the kubelet starts in a container, with their references $(NAME) resolved as the kubelet does.

A reference is written as ${NAME}, which is expanded where its value is needed. One that the kubelet does not expand
stays $(NAME), which a shell may interpret otherwise.

| command                 | what it can refer to                                 |
|-------------------------|------------------------------------------------------|
| `command`, `args`       | the whole environment with service links             |
| exec of a probe         | the texts in `env`, in which nothing is expanded     |
| exec of a lifecycle hook| nothing: references are not expanded                 |

Source: Kubernetes pkg/kubelet/container (`ExpandContainerCommandAndArgs`, `ExpandContainerCommandOnlyStatic`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from webhook.detection.parse.references import UNSET, expand_as_kubernetes, reference
from webhook.kubernetes.pod import Container


def started(container: Container, refer: Callable[[str], str | None]) -> list[str]:
    """Return `command` and `args`, one after the other.

    Args:
        container: The container.
        refer: Returns how a text refers to a variable; None for one that is not set.
    """
    return _expanded([*(container.command or ()), *(container.args or ())], refer)


def probed(container: Container) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of the probes, each with the field that contains it."""
    for where, command in container.probes():
        yield where, _expanded(command, _static(container)) if any("$" in text for text in command) else command


def _static(container: Container) -> Callable[[str], str | None]:
    texts = {variable.name: variable.value or "" for variable in container.env or ()}

    def refer(name: str) -> str | None:
        text = texts.get(name)
        if not text:
            return text
        return UNSET if "$" in text else reference(name) or text

    return refer


def _expanded(arguments: list[str], refer: Callable[[str], str | None]) -> list[str]:
    return [expand_as_kubernetes(text, refer) if "$" in text else text for text in arguments]
