"""Killing the publishing process at each step loses no acknowledged release and shows no partial one."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from access_policies.vocabulary import Audience, Role
from catalogue import collect, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import Release
from marketplace import bootstrap
from marketplace.bootstrap import Marketplace
from marketplace.identity import organisations, people
from marketplace.identity.organisations import Organisation
from marketplace.identity.tokens import issue_token
from marketplace.settings import Settings, read_settings

PROCESS = Path(__file__).with_name("publisher_process.py")
DATASET = DatasetAddress("leeds", "payments")
MORE_STEPS_THAN_A_PUBLISH_HAS = 40


@pytest.fixture
def environment(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    """The embedded default, and what a large installation runs on: PostgreSQL with S3."""
    settings = {"MARKETPLACE_DATABASE": database_url}
    if database_url.startswith("postgresql"):
        settings["MARKETPLACE_STORE"] = f"s3://{request.getfixturevalue('s3_bucket')}/data"
        settings["MARKETPLACE_S3_ENDPOINT"] = request.getfixturevalue("s3_endpoint")
    return settings


def _open(settings: Settings) -> Marketplace:
    return bootstrap.open_marketplace(settings)


def _publisher_token(settings: Settings) -> str:
    with bootstrap.opened(settings) as marketplace, marketplace.database.writing() as connection:
        organisations.register(
            connection,
            Organisation(name="leeds", title="Leeds", audience=Audience.LOCAL_GOVERNMENT),
        )
        person = people.register(
            connection, name="A publisher", email="publisher@leeds.example", organisation="leeds"
        )
        now = marketplace.clock()
        secret, _ = issue_token(
            connection,
            person=person.id,
            role=Role.PUBLISHER,
            organisation="leeds",
            expires_at=now + timedelta(days=1),
            now=now,
        )
    return secret


def _publish(data: Path, token: str, file: Path, step: int, environment: dict[str, str]) -> str:
    finished = subprocess.run(
        [sys.executable, PROCESS, data, token, file, str(DATASET), str(step)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode not in (0, -9):
        pytest.fail(finished.stderr)
    return finished.stdout


def _latest_whole(settings: Settings) -> Release | None:
    """The newest release after a restart, every file of it fetched and verified."""
    with bootstrap.opened(settings) as marketplace:
        with marketplace.database.reading() as connection:
            release = releases.latest(connection, DATASET)
        if release is not None:
            for table in release.tables:
                with marketplace.cache.pinned(table.files) as paths:
                    assert all(path.is_file() for path in paths)
        return release


def test_a_publisher_killed_at_any_step_leaves_all_or_nothing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    settings = read_settings(environment, data=tmp_path / "data")
    token = _publisher_token(settings)
    file = tmp_path / "payments.csv"
    acknowledged = committed = 0
    for step in range(1, MORE_STEPS_THAN_A_PUBLISH_HAS):
        file.write_text(
            "payment,amount\n" + "".join(f"{n},{n}.25\n" for n in range(step, step + 9))
        )
        said = _publish(settings.data, token, file, step, environment)
        release = _latest_whole(settings)
        number = release.number if release else 0
        assert number in (committed, committed + 1), "a release was lost or invented"
        if "ACK" in said:
            acknowledged = int(said.split()[1])
            assert number == acknowledged
            break
        committed = number
    assert acknowledged, "the publish never got through all its steps"
    assert committed > 0, "no kill came between the commit and the answer"
    assert step > 8, "fewer steps than the protocol has were tried"


def test_what_killed_publishers_left_behind_is_collected_and_nothing_else(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    settings = read_settings(environment, data=tmp_path / "data")
    token = _publisher_token(settings)
    file = tmp_path / "payments.csv"
    file.write_text("payment,amount\n1,2.50\n")
    before_commit = 6
    assert "ACK" not in _publish(settings.data, token, file, before_commit, environment)
    assert "ACK" in _publish(settings.data, token, file, 0, environment)
    with bootstrap.opened(settings) as marketplace:
        stored = {item.key for item in marketplace.store.list("releases/")}
        later = marketplace.clock() + timedelta(days=30)
        grace = timedelta(days=7)
        with marketplace.database.writing() as connection:
            collect.condemn(connection, marketplace.store, now=later, grace=grace)
        with marketplace.database.writing() as connection:
            collect.sweep(connection, marketplace.store, now=later + grace * 2, grace=grace)
        kept = {item.key for item in marketplace.store.list("releases/")}
        with marketplace.database.reading() as connection:
            release = releases.latest(connection, DATASET)
    assert release is not None
    assert kept == {file.key for table in release.tables for file in table.files}
    assert stored > kept
