"""Journey 3: what an agreement lets out, when it stops, and what is written down about it."""

from collections import Counter
from datetime import timedelta
from hashlib import sha256

import pyarrow as pa
import pytest

from access_policies.scope import RowsInPlaces, RowsWithValues
from access_policies.vocabulary import Audience
from catalogue.errors import UnknownDataset
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.engine.query.query_messages import ENCODINGS, Encoding, OutputFormat
from marketplace.errors import (
    AccessDenied,
    AccessEnded,
    AuditUnavailable,
    InvalidSharing,
    StatementRefused,
    Unauthenticated,
    WrongProject,
)

MANY_ROWS = "payment,amount\n" + "".join(f"{n},{n}.25\n" for n in range(300_000))


@pytest.mark.usefixtures("homes")
def test_a_member_gets_the_rows_of_the_agreed_place_whichever_code_names_it(world) -> None:
    world.share(rows=RowsInPlaces(places=("E08000019",)))
    assert world.query("SELECT area_code, households FROM mhclg.homes") == [
        {"area_code": "E08000039", "households": 614}
    ]


@pytest.mark.parametrize("named", ["Sheffield", "E08000019", "E08000039"])
def test_a_place_is_found_under_its_old_and_its_new_code(world, named: str) -> None:
    world.publish("area_code,households\nE08000019,590\nE08000039,614\nE08000012,1200\n")
    world.share(rows=RowsInPlaces(places=(named,)))
    assert world.query("SELECT households FROM mhclg.homes ORDER BY ALL") == [
        {"households": 590},
        {"households": 614},
    ]


def test_a_table_without_a_place_column_cannot_be_shared_by_place(world) -> None:
    world.publish("payment,amount\n1,2.50\n2,3.50\n")
    with pytest.raises(InvalidSharing):
        world.share(rows=RowsInPlaces(places=("Sheffield",)))


@pytest.mark.usefixtures("homes")
def test_a_member_gets_the_rows_with_the_agreed_values_and_the_agreed_columns(world) -> None:
    rows = RowsWithValues(column="area", values=("Liverpool", "Manchester"))
    world.share(rows=rows, columns=("households", "area"))
    assert world.query("SELECT * FROM mhclg.homes ORDER BY households") == [
        {"area": "Liverpool", "households": 1200},
        {"area": "Manchester", "households": 2800},
    ]


@pytest.mark.usefixtures("shared")
def test_a_column_that_a_later_release_adds_is_absent_from_every_agreement(world) -> None:
    assert set(world.query("SELECT * FROM mhclg.homes LIMIT 1")[0]) == {
        "area_code",
        "area",
        "households",
        "children",
    }
    header, *lines = world_text_with_a_column_more()
    world.publish("\n".join([header, *lines]) + "\n")
    row = world.query("SELECT * FROM mhclg.homes ORDER BY area LIMIT 1")[0]
    assert "nino" not in row
    assert row["households"] == 1201
    with pytest.raises(Exception, match="nino"):
        world.query("SELECT nino FROM mhclg.homes")


def world_text_with_a_column_more() -> list[str]:
    return [
        "area_code,area,households,children,nino",
        "E08000012,Liverpool,1201,901,AB123456C",
        "E08000039,Sheffield,615,680,AB123457C",
    ]


@pytest.mark.usefixtures("shared")
def test_a_person_outside_the_squad_is_told_why_and_what_to_ask_for(world) -> None:
    with pytest.raises(AccessDenied) as refusal:
        world.query("SELECT * FROM mhclg.homes", by="outsider")
    assert refusal.value.detail
    assert "marketplace request mhclg.homes" in refusal.value.next_step


def test_what_a_caller_may_not_know_of_answers_like_what_is_not_there(world) -> None:
    world.publish(visible_to=Audience.GOVERNMENT)
    with pytest.raises(UnknownDataset) as hidden:
        world.query("SELECT * FROM mhclg.homes", by="outsider")
    with pytest.raises(UnknownDataset) as absent:
        world.query("SELECT * FROM mhclg.houses", by="outsider")
    assert hidden.value.detail.replace("homes", "houses") == absent.value.detail
    assert hidden.value.next_step == absent.value.next_step


@pytest.mark.usefixtures("shared")
def test_the_midnight_in_london_that_ends_the_last_day_ends_access(world, clock) -> None:
    clock.now = clock.now.replace(month=12, day=31, hour=23, minute=59, second=59)
    assert world.query("SELECT count(*) AS n FROM mhclg.homes") == [{"n": 3}]
    clock.advance(timedelta(seconds=1))
    with pytest.raises(AccessDenied):
        world.query("SELECT count(*) AS n FROM mhclg.homes")


@pytest.mark.usefixtures("shared")
def test_what_ended_by_time_stays_ended_when_the_clock_is_set_back(world, clock) -> None:
    clock.now = clock.now.replace(year=2027, month=1)
    with pytest.raises(AccessDenied):
        world.query("SELECT count(*) AS n FROM mhclg.homes")
    clock.now = clock.now.replace(year=2026, month=12)
    with pytest.raises(AccessDenied):
        world.query("SELECT count(*) AS n FROM mhclg.homes")


@pytest.mark.usefixtures("homes")
def test_revoking_ends_access_at_once(world) -> None:
    agreement = world.share()
    world.query("SELECT 1 AS one FROM mhclg.homes")
    world.marketplace.sharing.revoke(world.owner, agreement.id, "No longer needed")
    with pytest.raises(AccessDenied):
        world.query("SELECT 1 AS one FROM mhclg.homes")


@pytest.mark.parametrize("output", ENCODINGS)
def test_a_running_stream_ends_when_access_is_revoked_and_never_looks_complete(
    world, monkeypatch, output
) -> None:
    monkeypatch.setattr("marketplace.delivery._LOOK_AGAIN_SECONDS", 0.0)
    world.publish(MANY_ROWS)
    agreement = world.share()
    delivery = world.deliver("SELECT *, hash(payment) AS mixed FROM mhclg.homes", output=output)
    chunks = iter(delivery)
    first = next(chunks)
    world.marketplace.sharing.revoke(world.owner, agreement.id, "Mid-stream")
    with pytest.raises(AccessEnded):
        first += b"".join(chunks)
    assert _outcome(world) == "AccessEnded"


def test_a_running_stream_ends_at_the_last_days_midnight(world, clock) -> None:
    world.publish(MANY_ROWS)
    world.share()
    chunks = iter(world.deliver("SELECT * FROM mhclg.homes", output=Encoding(OutputFormat.CSV)))
    next(chunks)
    clock.advance(timedelta(days=60))
    with pytest.raises(AccessEnded):
        list(chunks)


def test_a_revoked_token_ends_its_streams_and_opens_nothing(world, monkeypatch) -> None:
    monkeypatch.setattr("marketplace.delivery._LOOK_AGAIN_SECONDS", 0.0)
    world.publish(MANY_ROWS)
    world.share()
    member = world.member
    chunks = iter(world.deliver("SELECT * FROM mhclg.homes", output=Encoding(OutputFormat.CSV)))
    next(chunks)
    world.marketplace.administration.revoke_token(member.token_id, by="the operator")
    with pytest.raises(AccessEnded):
        list(chunks)
    with pytest.raises(Unauthenticated):
        world.marketplace.querying.run(member, "SELECT 1", Encoding(OutputFormat.ARROW))


def test_a_reader_who_goes_away_stops_the_work_and_the_record_says_so(world) -> None:
    world.publish(MANY_ROWS)
    world.share()
    delivery = world.deliver("SELECT * FROM mhclg.homes", output=Encoding(OutputFormat.CSV))
    next(iter(delivery))
    delivery.close()
    delivery.close()
    assert _outcome(world) == "cut by the reader"
    assert _counted(world)[EntryKind.READ_CLOSED] == 1


@pytest.mark.usefixtures("shared")
def test_every_read_is_decided_and_closed_in_the_log(world) -> None:
    delivery = world.deliver("SELECT * FROM mhclg.homes")
    table = pa.ipc.open_stream(b"".join(delivery)).read_all()
    with world.marketplace.database.reading() as connection:
        decided = entries.find(connection, delivery.entry)
    assert decided.facts["allowed"] is True
    assert decided.person["sql"] == "SELECT * FROM mhclg.homes"
    assert decided.facts["tables"][0]["table"] == "mhclg.homes.homes"
    closed = _last(world, EntryKind.READ_CLOSED)
    assert closed.facts["read"] == delivery.entry
    assert closed.facts["rows"] == table.num_rows == 3
    assert closed.facts["outcome"] == "complete"


@pytest.mark.usefixtures("homes")
def test_a_refused_read_is_in_the_log_too(world, clock) -> None:
    with pytest.raises(AccessDenied):
        world.query("SELECT * FROM mhclg.homes")
    assert _last(world, EntryKind.READ_DECIDED).facts["refused_as"] == "AccessDenied"
    clock.advance(timedelta(seconds=1))
    with pytest.raises(StatementRefused):
        world.query("DROP TABLE mhclg.homes")
    assert _last(world, EntryKind.READ_DECIDED).facts["refused_as"] == "StatementRefused"


def test_a_refused_text_of_any_length_leaves_no_more_in_the_log_than_the_longest_served(
    world,
) -> None:
    endless = "x" * 1_000_000
    with pytest.raises(StatementRefused):
        world.query(endless)
    kept = _last(world, EntryKind.READ_DECIDED).person["sql"]
    assert len(kept) < 66_000
    assert kept.startswith("x" * 65_536)
    assert kept.endswith(f"SHA-256 {sha256(endless.encode()).hexdigest()})")


@pytest.mark.usefixtures("shared")
def test_no_bytes_leave_while_the_log_cannot_be_written(world, monkeypatch) -> None:
    member = world.member

    def broken(*_: object, **__: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("marketplace.audit.entries.write", broken)
    with pytest.raises(AuditUnavailable):
        world.marketplace.querying.run(
            member, "SELECT * FROM mhclg.homes", Encoding(OutputFormat.ARROW)
        )


def test_another_projects_name_is_refused(world) -> None:
    with pytest.raises(WrongProject):
        world.marketplace.querying.run(
            world.member, "SELECT 1", Encoding(OutputFormat.ARROW), project="manchester_squad"
        )


@pytest.mark.usefixtures("homes")
def test_one_join_takes_each_table_under_its_own_agreement(world) -> None:
    world.publish("code,rough_sleepers\nE08000039,31\nE08000012,55\n", "mhclg.rough_sleeping")
    world.share(rows=RowsInPlaces(places=("Sheffield",)))
    joined = """
        SELECT area, households, rough_sleepers FROM mhclg.homes
        JOIN mhclg.rough_sleeping ON code = area_code
    """
    with pytest.raises(AccessDenied):
        world.query(joined)
    world.share("mhclg.rough_sleeping")
    assert world.query(joined) == [{"area": "Sheffield", "households": 614, "rough_sleepers": 31}]


@pytest.mark.usefixtures("homes")
def test_the_extract_holds_no_byte_of_what_was_left_out(world, tmp_path) -> None:
    world.share(rows=RowsInPlaces(places=("Sheffield",)), columns=("area_code", "households"))
    world.query("SELECT * FROM mhclg.homes")
    (extract,) = (tmp_path / "data" / "objects").glob("**/extracts/**/*.parquet")
    content = extract.read_bytes()
    assert b"E08000039" in content
    for left_out in (b"Liverpool", b"E08000012", b"children", b"2800"):
        assert left_out not in content


def _last(world, kind: EntryKind) -> entries.RecordedEntry:
    world.marketplace.audit.sequence()
    with world.marketplace.database.reading() as connection:
        return entries.latest(connection, kinds=(kind,), limit=1)[0]


def _outcome(world) -> object:
    return _last(world, EntryKind.READ_CLOSED).facts["outcome"]


def _counted(world) -> Counter[EntryKind]:
    world.marketplace.audit.sequence()
    with world.marketplace.database.reading() as connection:
        return Counter(entry.kind for entry in entries.latest(connection, limit=1000))


@pytest.mark.usefixtures("homes")
def test_an_act_of_sharing_that_is_refused_is_kept_in_the_log(world) -> None:
    agreement = world.share()
    with pytest.raises(AccessDenied):
        world.marketplace.sharing.revoke(world.member, agreement.id, "I would like to")
    refused = _last(world, EntryKind.SHARING_REFUSED)
    assert refused.person["person"] == world.member.person_id
