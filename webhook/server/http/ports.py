"""Listen on the ports before anything else starts, so that a port in use is reported immediately."""

from __future__ import annotations

import os
import socket

_BACKLOG = 2048


class PortError(Exception):
    """A port cannot be listened on. The text contains the port, the reason and a suggested fix."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """Listen on a TCP port.

    Args:
        host: A local address; "::" includes IPv4.
        port: The port; 0 chooses a free one.
        option: The command-line option that sets the port, for the error message.

    Returns:
        The listening socket.

    Raises:
        PortError: The port cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::")
    except OSError as error:
        # create_server appends the address to the text of some errors, but not of all.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        raise PortError(f"cannot listen on {host} port {port}: {why}; choose another with {option}") from None
