"""TCP sockets to listen on."""

import socket

from marketplace.errors import SettingInvalid

# What the kernel holds for a slow reader still reaches them when their access ends.
_SEND_BUFFER = 512 * 1024


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address (port 0: any that is free); it does not listen yet.

    `shared` lets other processes of the same user bind it too, so that the kernel deals the
    connections among those that listen. Raises SettingInvalid.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers without delay only on sockets that say they are TCP, which those
    # of socket.create_server do not; it is 40 ms on every call.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingInvalid(
            f"The service cannot listen on {host} port {port}: {error.strerror}.",
            next_step="Choose another port with --port, or stop what listens there.",
        ) from None
    return bound
