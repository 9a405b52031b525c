"""As whom the processes of a container run."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class SecurityContext(Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """The user and the group of a container, or of all containers of a pod that set none of their own."""

    run_as_user: _Id | None = None
    run_as_group: _Id | None = None
