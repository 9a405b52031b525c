"""Render the output of `certs inspect`, as plain data and as text. It contains no private key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certs.keeper import Look
from certs.reading import facts


def report(look: Look, secret: str, *, healthy: bool) -> dict[str, Any]:
    """Return the state of the certificates as plain JSON values.

    Args:
        look: The state that was read.
        secret: "namespace/name".
        healthy: Whether they are in service, trusted, and nothing is wrong.
    """
    state = look.state
    authorities = []
    if state is not None:
        roles = [("trusted still", outgoing) for outgoing in state.outgoing]
        roles += [("signing", state.signing.certificate)] if state.signing is not None else []
        roles += [("announced", state.incoming.certificate)] if state.incoming is not None else []
        authorities = [{"role": role, **_described(certificate)} for role, certificate in roles]
    return {
        "secret": secret,
        "healthy": healthy,
        "problems": list(look.problems),
        "serving": None if state is None or state.serving is None else _described(state.serving.certificate),
        "authorities": authorities,
        "trustedSince": _time(state.trusted_since if state is not None else None),
        "servedSince": _time(state.served_since if state is not None else None),
        "configurations": [
            {
                "name": each.name,
                "entries": len(each.bundles),
                "trusts": state is not None and not each.problem and all(held == state.bundle for held in each.bundles),
            }
            for each in look.configurations
        ],
        "next": {"step": look.step.action.value, "reason": look.step.reason, "due": _time(look.step.due)},
    }


def text(document: dict[str, Any]) -> str:
    """Return the same as text: one fact per line."""
    lines = [f"secret         {document['secret']}"]
    serving = document["serving"]
    lines.append("serving        none" if serving is None else f"serving        {_line(serving)}")
    if serving is not None:
        lines.append(f"names          {', '.join(serving['dnsNames'])}")
    lines += [f"CA             {_line(ca)}, {ca['role']}" for ca in document["authorities"]]
    lines += [
        f"configuration  {configuration['name']}: {'trusts it' if configuration['trusts'] else 'does not trust it'}"
        for configuration in document["configurations"]
    ]
    following = document["next"]
    due = f", at {following['due']}" if following["due"] else ""
    lines.append(f"next           {following['step']}: {following['reason']}{due}")
    lines += [f"problem        {problem}" for problem in document["problems"]]
    return "\n".join(lines)


def _line(certificate: dict[str, Any]) -> str:
    return f"{certificate['fingerprint'][:16]} until {certificate['notAfter']}"


def _described(certificate: bytes) -> dict[str, Any]:
    read = facts(certificate)
    return {
        "fingerprint": read.fingerprint,
        "subject": read.subject,
        "dnsNames": list(read.dns_names),
        "notBefore": _time(read.not_before),
        "notAfter": _time(read.not_after),
        "renewal": _time(read.renewal),
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
