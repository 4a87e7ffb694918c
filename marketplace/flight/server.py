"""Flight SQL on a port: with TLS, or on this machine only."""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
from pyarrow import flight

from marketplace.admission import Admission
from marketplace.bootstrap import Marketplace
from marketplace.errors import SettingInvalid
from marketplace.flight.metadata import Metadata
from marketplace.flight.running import Watch
from marketplace.flight.seal import open_seal
from marketplace.flight.service import FlightSqlService
from marketplace.flight.sessions import Sessions
from marketplace.flight.sign_in import CALL, AcceptHandshakes, SignIn
from marketplace.flight.statements import Statements
from marketplace.flight.tickets import Tickets
from marketplace.settings import Settings

# How long running calls get to end when the service is told to stop.
_GRACE_SECONDS = 30.0


def run_flight(
    marketplace: Marketplace, host: str, port: int, *, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until the process is interrupted; calls that are running may end first.

    Calls `ready` once it listens. Raises SettingInvalid where it may not or cannot listen there,
    and ConfinementMissing where the operator requires a sandbox that this kernel lacks.
    """
    marketplace.workers.start()
    with _serving(marketplace, host, port):
        ready()
        Event().wait()


@contextmanager
def running_flight(marketplace: Marketplace) -> Iterator[str]:
    """Serve on a free port of this machine for the length of a block; yields the location."""
    with _serving(marketplace, "127.0.0.1", 0) as service:
        scheme = "grpc+tls" if marketplace.settings.flight_tls_certificate else "grpc"
        yield f"{scheme}://127.0.0.1:{service.port}"


@contextmanager
def _serving(marketplace: Marketplace, host: str, port: int) -> Iterator[FlightSqlService]:
    watch = Watch()
    service = _listen(marketplace, watch, host, port)
    watch.start()
    try:
        yield service
    finally:
        _drain(service, watch)


def _listen(marketplace: Marketplace, watch: Watch, host: str, port: int) -> FlightSqlService:
    settings = marketplace.settings
    certificates = _certificates(settings, host)
    seal = open_seal(settings.data / "keys")
    scheme = "grpc+tls" if certificates else "grpc+tcp"
    try:
        return FlightSqlService(
            statements=Statements(
                querying=marketplace.querying,
                tickets=Tickets(seal, marketplace.clock),
                places=_places("queries", settings),
                watch=watch,
            ),
            metadata=Metadata(marketplace.discovery),
            lists=_places("lists", settings),
            sessions=Sessions(seal),
            location=f"{scheme}://{_in_brackets(host)}:{port}",
            auth_handler=AcceptHandshakes(),
            middleware={CALL: SignIn(marketplace.callers)},
            tls_certificates=certificates,
        )
    except (pa.ArrowException, flight.FlightError, OSError):
        raise SettingInvalid(
            f"Flight SQL cannot listen on {host} port {port}.",
            next_step="Choose another port with --flight-port, or stop what listens there; with "
            "TLS, see that certificate and key are PEM files that belong together.",
        ) from None


def _places(kind: str, settings: Settings) -> Admission:
    return Admission(kind, per_person=settings.queries_per_person, in_all=settings.queries_at_once)


def _drain(service: FlightSqlService, watch: Watch) -> None:
    """Take no more calls, let those that run end for a while, then cancel them.

    A client that reads nothing and stays connected can hold a call of gRPC for ever; it is not
    waited for.
    """
    stopping = Thread(target=service.shutdown, name="marketplace-flight-stop", daemon=True)
    stopping.start()
    stopping.join(_GRACE_SECONDS)
    watch.close()
    stopping.join(1)


def _certificates(settings: Settings, host: str) -> list[Any]:
    certificate, key = settings.flight_tls_certificate, settings.flight_tls_key
    if certificate is None and key is None:
        if not _is_loopback(host):
            raise SettingInvalid(
                f"Flight SQL would listen on {host} without TLS, and tokens would be sent in clear.",
                next_step="Set MARKETPLACE_FLIGHT_TLS_CERTIFICATE and MARKETPLACE_FLIGHT_TLS_KEY "
                "to PEM files, or listen on 127.0.0.1.",
            )
        return []
    if certificate is None or key is None:
        raise SettingInvalid(
            "TLS for Flight SQL takes a certificate and its key, and only one of them is set.",
            next_step="Set both MARKETPLACE_FLIGHT_TLS_CERTIFICATE and MARKETPLACE_FLIGHT_TLS_KEY.",
        )
    return [flight.CertKeyPair(cert=_pem(certificate), key=_pem(key))]


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingInvalid(
            f"The TLS file {path} cannot be read: {error.strerror}.",
            next_step="Give the service's user the right to read it.",
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host
