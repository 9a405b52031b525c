"""The ports, taken before anything else starts, so that a taken one is told at once."""

from __future__ import annotations

import os
import socket

_BACKLOG = 2048


class PortError(Exception):
    """A port cannot be listened on. Its text says which, why, and what to do."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """Listen on a TCP port.

    Args:
        host: An address of this machine; "::" takes IPv4 as well.
        port: The port; 0 takes a free one.
        option: The command line option that sets the port, for the error.

    Returns:
        The listening socket.

    Raises:
        PortError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        # create_server appends the address to the text of some errors, but not of all.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        raise PortError(f"cannot listen on {host} port {port}: {why}; choose another with {option}") from None
