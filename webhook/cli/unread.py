"""Report objects whose fields are not of their API types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.analysis.workloads import Inventory
    from webhook.kubernetes.unread import Unread
    from webhook.mesh.config import IstioConfiguration


def istio_of(inventory: Inventory) -> IstioConfiguration:
    """Return Istio's own configuration; report what of it could not be read."""
    leave_out(inventory, inventory.istio.unread)
    return inventory.istio


def leave_out(inventory: Inventory, unread: Iterable[Unread]) -> None:
    """Report objects that could not be read on standard error, and add them to the inventory's problems."""
    for item in unread:
        problem = inventory.problem(item.document, item.field, f"{item} {item.outcome}: {item.message}")
        inventory.problems.append(problem)
        typer.echo(str(problem), err=True)
