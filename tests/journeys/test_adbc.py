"""Journey 3 with the Arrow clients that people already have: ADBC, Polars and pandas, over TLS."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as adbc
import pandas as pd
import polars as pl
import pytest
import trustme
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import OperationalError, ProgrammingError

from marketplace import bootstrap
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.bootstrap import Marketplace
from marketplace.errors import SettingInvalid
from marketplace.flight.server import run_flight, running_flight
from marketplace.settings import read_settings

HOMES = "SELECT area, households FROM mhclg.homes ORDER BY area"
MANY = "SELECT r.range AS n, h.area FROM range(2000000000) r, mhclg.homes h"
FAILURES = (OperationalError, ProgrammingError)

Connect = Callable[..., adbc.Connection]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def marketplace(
    database_url: str,
    entered: dict[str, str],
    tmp_path: Path,
    clock: Any,
    authority: trustme.CA,
) -> Iterator[Marketplace]:
    """The marketplace with a certificate for its Flight exit."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    settings = read_settings(
        {
            "MARKETPLACE_FLIGHT_TLS_CERTIFICATE": str(certificate),
            "MARKETPLACE_FLIGHT_TLS_KEY": str(key),
        },
        data=tmp_path / "data",
        database=database_url,
    )
    with bootstrap.opened(settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def connect(world: Any, marketplace: Marketplace, authority: trustme.CA) -> Iterator[Connect]:
    """Connect as a person of the small country, as the README says."""
    world.publish()
    with running_flight(marketplace) as location:
        assert location.startswith("grpc+tls://")

        def connected(name: str = "member", *, trusted: bool = True) -> adbc.Connection:
            options = {
                DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {world.secret(name)}",
            }
            if trusted:
                options[DatabaseOptions.TLS_ROOT_CERTS.value] = authority.cert_pem.bytes().decode()
            return adbc.connect(location, db_kwargs=options, autocommit=True)

        yield connected


def test_a_member_lists_describes_and_reads_what_was_agreed(world, connect) -> None:
    world.share(columns=("area", "households"))
    with connect() as connection:
        [catalog] = connection.adbc_get_objects().read_all().to_pylist()
        assert catalog["catalog_name"] == "mhclg"
        [schema] = catalog["catalog_db_schemas"]
        assert schema["db_schema_name"] == "homes"
        assert [table["table_name"] for table in schema["db_schema_tables"]] == ["homes"]
        described = connection.adbc_get_table_schema("homes", catalog_filter="mhclg")
        assert described.names == ["area", "households"]
        assert connection.adbc_get_table_types() == ["TABLE"]
        assert connection.adbc_get_info()["vendor_name"] == "Data Marketplace"
        with connection.cursor() as cursor:
            cursor.execute(HOMES)
            assert cursor.fetch_arrow_table().to_pylist() == [
                {"area": "Liverpool", "households": 1200},
                {"area": "Manchester", "households": 2800},
                {"area": "Sheffield", "households": 614},
            ]


def test_a_prepared_query_runs_with_one_set_of_values_after_another(world, connect) -> None:
    world.share()
    with connect() as connection, connection.cursor() as cursor:
        query = "SELECT area FROM mhclg.homes WHERE households > ? AND area <> ? ORDER BY area"
        cursor.execute(query, parameters=(600, "Manchester"))
        assert cursor.fetchall() == [("Liverpool",), ("Sheffield",)]
        cursor.execute(query, parameters=(1000, "Manchester"))
        assert cursor.fetchall() == [("Liverpool",)]


def test_polars_and_pandas_read_a_query_as_a_data_frame(world, connect) -> None:
    world.share()
    with connect() as connection:
        frame = pl.read_database(HOMES, connection)
        assert isinstance(frame, pl.DataFrame)
        assert frame["households"].to_list() == [1200, 2800, 614]
        assert pd.read_sql(HOMES, connection)["households"].tolist() == [1200, 2800, 614]


def test_a_user_name_with_the_token_as_password_signs_in(
    world, marketplace, authority, connect
) -> None:
    with running_flight(marketplace) as location:
        options = {
            "username": "anybody",
            "password": world.secret("member"),
            DatabaseOptions.TLS_ROOT_CERTS.value: authority.cert_pem.bytes().decode(),
        }
        with adbc.connect(location, db_kwargs=options, autocommit=True) as connection:
            assert connection.adbc_get_table_types() == ["TABLE"]


def test_a_client_that_does_not_know_the_certificates_authority_sends_no_token(connect) -> None:
    with pytest.raises(FAILURES, match="certificate"), connect(trusted=False) as connection:
        connection.adbc_get_table_types()


def test_a_cancelled_query_stops_its_worker_and_the_connection_goes_on(
    world, marketplace, connect
) -> None:
    world.share()
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(MANY)
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        cursor.adbc_cancel()
        with pytest.raises((*FAILURES, OSError)):
            reader.read_all()
        with connection.cursor() as another:
            another.execute("SELECT 1")
            assert another.fetchall() == [(1,)]
    assert "complete" not in outcomes_of(marketplace, MANY)


def test_what_is_refused_says_why_and_what_to_do(world, connect) -> None:
    with connect() as connection, connection.cursor() as cursor:
        with pytest.raises(FAILURES, match=r"marketplace request mhclg\.homes"):
            cursor.execute(HOMES)
        with pytest.raises(FAILURES, match="only SELECT is served"):
            cursor.execute("DELETE FROM mhclg.homes")
        with pytest.raises(FAILURES, match="No such dataset"):
            cursor.execute("SELECT * FROM mhclg.nothing")


def test_an_expired_token_reads_nothing_more(world, clock, connect) -> None:
    world.share()
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(HOMES)
        cursor.fetchall()
        clock.advance(timedelta(days=366))
        with pytest.raises(FAILURES, match="This token has expired"):
            cursor.execute(HOMES)


def test_a_revoked_agreement_reads_nothing_more(world, connect) -> None:
    agreement = world.share()
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(HOMES)
        cursor.fetchall()
        world.marketplace.sharing.revoke(world.owner, agreement.id, "The purpose has ended.")
        # What is known of the statement is still announced; its rows are decided anew.
        with pytest.raises((*FAILURES, OSError), match="marketplace request"):
            read(cursor, HOMES)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "without TLS"),
        ({"MARKETPLACE_FLIGHT_TLS_CERTIFICATE": "certificate.pem"}, "only one of them is set"),
        (
            {
                "MARKETPLACE_FLIGHT_TLS_CERTIFICATE": "/nowhere/certificate.pem",
                "MARKETPLACE_FLIGHT_TLS_KEY": "/nowhere/key.pem",
            },
            "cannot be read",
        ),
    ],
)
def test_the_exit_does_not_open_to_other_machines_without_tls(
    database_url, tmp_path, given, sentence
) -> None:
    settings = read_settings(given, data=tmp_path / "other", database=database_url)
    with (
        bootstrap.opened(settings) as marketplace,
        pytest.raises(SettingInvalid, match=sentence),
    ):
        run_flight(marketplace, "0.0.0.0", 0)


def read(cursor: adbc.Cursor, sql: str) -> list[Any]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def outcomes_of(marketplace: Marketplace, sql: str) -> set[str]:
    """How the reads of a statement ended."""
    marketplace.audit.sequence()
    with marketplace.database.reading() as connection:
        decided = entries.latest(connection, kinds=(EntryKind.READ_DECIDED,), limit=100)
        closed = entries.latest(connection, kinds=(EntryKind.READ_CLOSED,), limit=100)
    reads = {entry.id for entry in decided if entry.person["sql"] == sql}
    return {str(entry.facts["outcome"]) for entry in closed if entry.facts["read"] in reads}
