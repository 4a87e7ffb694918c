"""The marketplace on a socket, served by uvicorn."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from marketplace.api.outlet import STATE, Outlet
from marketplace.app import create_app
from marketplace.bootstrap import Marketplace
from marketplace.listening import bind

# Longer than a client keeps an idle connection, so that it does not write into one being closed.
_KEEP_ALIVE_SECONDS = 75

# Connections that wait to be accepted.
_BACKLOG = 1024

# How long running calls get to end when the service is told to stop.
_GRACE_SECONDS = 30


def run_server(
    marketplace: Marketplace,
    host: str,
    port: int,
    *,
    shared: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the process is told to stop; calls that are running may end first.

    `shared` serves beside other processes on the same port; `ready` is called once it listens.
    Raises SettingInvalid where the address cannot be listened on, and ConfinementMissing where the
    operator requires a sandbox that this kernel lacks.
    """
    marketplace.workers.start()
    marketplace.preparation.start()
    with listen(host, port, shared=shared) as listener:
        # A call made before the server is up waits in the socket's queue.
        ready()
        _server(marketplace).run([listener])


@contextmanager
def running(marketplace: Marketplace) -> Iterator[str]:
    """Serve in a thread on a free loopback port for the length of a block; yields the URL."""
    with listen("127.0.0.1", 0) as listener:
        server = _server(marketplace)
        thread = Thread(target=server.run, args=([listener],), name="marketplace-http")
        thread.start()
        try:
            # The socket already listens: a call made before the server is up waits in its queue.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that listens on an address (port 0: any that is free). Raises SettingInvalid.

    `shared` listens beside other processes of the service on the same port.
    """
    listener = bind(host, port, shared=shared)
    listener.listen(_BACKLOG)
    return listener


class _Connection(HttpToolsProtocol):
    """Lets large results past the server, which would copy them."""

    def on_message_begin(self) -> None:
        """Offer the connection's outlet with every request."""
        super().on_message_begin()
        self.scope["state"][STATE] = Outlet(self.transport, self.flow.drain)


def _server(marketplace: Marketplace) -> uvicorn.Server:
    configuration = uvicorn.Config(
        create_app(marketplace),
        http=_Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        # Paths and words of a search are in the audit log, under its rules for personal data.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(configuration)
