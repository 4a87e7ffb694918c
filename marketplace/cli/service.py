"""`marketplace serve` and `marketplace demo`."""

import shlex
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from marketplace.cli.screen import say, show_facts
from marketplace.cli.server_parts import need_server

if TYPE_CHECKING:
    from marketplace.settings import Settings

# The demo's world has a file with the token of each of its people.
TOKENS = "tokens"


def serve(
    *,
    data: Annotated[Path | None, Parameter(env_var="MARKETPLACE_DATA")] = None,
    host: str | None = None,
    port: int | None = None,
    flight_port: int | None = None,
    processes: int | None = None,
) -> None:
    """Serve the marketplace over HTTP, and Flight SQL where a port is given, until it is stopped.

    Every other setting is read from the environment: MARKETPLACE_DATABASE, MARKETPLACE_STORE and
    the rest.

    Parameters
    ----------
    data
        The folder of the embedded default: database, objects, cache, keys.
    host
        Where to listen; only this machine unless set.
    port
        The port for HTTP, 8400 unless set.
    flight_port
        The port for Flight SQL, which is served only where this is set.
    processes
        How many processes serve HTTP on the one port.
    """
    need_server()
    from marketplace.service_log import configure_log
    from marketplace.settings import read_settings

    configure_log()
    settings = read_settings(
        data=data, host=host, port=port, flight_port=flight_port, processes=processes
    )
    if settings.processes > 1 or settings.flight_port:
        from marketplace.supervisor import supervise

        supervise(settings, ready=_announce)
    else:
        _serve_alone(settings)


def _serve_alone(settings: "Settings") -> None:
    """Serve HTTP in this process."""
    from marketplace.bootstrap import opened
    from marketplace.serve import run_server

    # A supervisor's request to stop ends the service as orderly as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), opened(settings) as marketplace:
        run_server(marketplace, settings.host, settings.port, ready=lambda: _announce(settings))


def demo(*, keep: Path | None = None) -> None:
    """Tell the main job on real data, from the first council to the audit log.

    Parameters
    ----------
    keep
        Leave the demo's world in this folder, so that `marketplace serve --data` goes on from it.
        A world that an earlier demo left there is replaced.
    """
    need_server()
    from marketplace.demo.story import tell

    tell(keep)


def _announce(settings: "Settings") -> None:
    url, data = f"http://{settings.host}:{settings.port}", settings.data
    facts = [("API", f"{url}/api/v1"), ("Documentation", f"{url}/docs"), ("Data", data)]
    if settings.flight_port:
        scheme = "grpc+tls" if settings.flight_tls_certificate else "grpc"
        facts.insert(1, ("Flight SQL", f"{scheme}://{settings.host}:{settings.flight_port}"))
    show_facts(facts)
    tokens = data / TOKENS
    say("")
    if tokens.is_dir():
        say("To act as the demo's squad member, paste this into another terminal:")
        say(_export(url, tokens / "squad_member"))
        say(".venv/bin/marketplace datasets")
        say(f"To act as somebody else: --token-file, with a file of {tokens}")
    else:
        say("To get in, enter an organisation and a person, then issue a token:")
        say(f"marketplace admin organisation add --help   (with --data {shlex.quote(str(data))})")
        say("marketplace admin person add --help")
        say("marketplace admin token issue --help")
    say("Stop the service with Ctrl-C.")


def _export(url: str, token: Path) -> str:
    return f'export MARKETPLACE_URL={url} MARKETPLACE_TOKEN="$(cat {shlex.quote(str(token))})"'
