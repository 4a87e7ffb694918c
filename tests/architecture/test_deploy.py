"""What can be checked of the deployment without a container engine."""

import json
import re
import shlex
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from marketplace.cli.application import application
from marketplace.settings import Settings

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
SETTINGS = {f"MARKETPLACE_{name.upper()}" for name in Settings.__struct_fields__}
SECRET_NAME = re.compile(r"password|secret|token|key|credential", re.IGNORECASE)
PINNED = re.compile(r"[^:@]+:(?!latest$)[\w.-]*\d[\w.-]*")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def containerfile() -> str:
    return (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")


def instructions(containerfile: str, word: str) -> list[str]:
    return re.findall(rf"^{word} +(.*)$", containerfile, re.MULTILINE)


def shown_commands(document: str) -> Iterator[list[str]]:
    """Every call of `marketplace` in the document's shell blocks, behind `compose exec` or not."""
    text = (DEPLOY / document).read_text()
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            words = shlex.split(line.partition(" < ")[0].partition(" > ")[0])
            if "marketplace" in words[:1] or words[:3] == ["compose", "exec", "service"]:
                yield words[words.index("marketplace") :] if "marketplace" in words else []
            elif "service" in words and "marketplace" in words[words.index("service") :]:
                yield words[words.index("service") + 1 :]


@pytest.mark.parametrize("document", ["RUNBOOK.md", "README.md"])
def test_every_command_of_the_operator_documents_parses(document: str):
    shown = [words for words in shown_commands(document) if words]
    assert len(shown) >= 3
    for words in shown:
        application().parse_args(words[1:], exit_on_error=False, print_error=False)


def test_the_runbook_covers_what_an_operator_is_asked_for():
    headings = re.findall(r"^##+ (.*)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    for wanted in (
        "Release a new version",
        "Roll back",
        "Back up",
        "Restore",
        "Remove unused files",
        "Rotate",
        "The audit log does not verify",
        "The object store is unfit",
    ):
        assert wanted in headings


def test_what_errors_name_in_the_runbook_is_there():
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    sources = [path.read_text() for path in (REPOSITORY / "marketplace").rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"follow '([^']+)'", source)}
    assert named
    assert all(f"## {name}\n" in runbook for name in named)


def test_every_setting_that_is_used_exists(compose: dict[str, Any], containerfile: str):
    files = [path.read_text() for path in DEPLOY.iterdir() if path.is_file()]
    used = {name for text in files for name in re.findall(r"MARKETPLACE_[A-Z0-9_]*[A-Z0-9]", text)}
    assert used
    assert used <= SETTINGS


def test_no_secret_stands_in_the_files_or_in_the_environment(compose: dict[str, Any]):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRET_NAME.search(name):
                assert name.endswith("_FILE"), name
                assert str(value).startswith("/run/secrets/"), name
            assert not re.search(r"//[^/]*:[^/]*@", str(value)), name
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "deploy/secrets/database_password"], cwd=REPOSITORY
    )
    assert ignored.returncode == 0


def test_every_secret_is_given_only_to_services_that_use_it(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        given = (service.get("environment", {}), service.get("command", []))
        used = set(re.findall(r"/run/secrets/(\w+)", str(given)))
        assert used == set(service.get("secrets", [])), name
        assert used <= set(compose["secrets"])


def test_ports_are_published_on_loopback_only_and_none_but_the_service(compose: dict[str, Any]):
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }
    assert set(published) == {"service"}
    for port in published["service"]:
        assert str(port).startswith("127.0.0.1:"), port


def test_images_are_pinned_by_a_tag_with_a_version(compose: dict[str, Any], containerfile: str):
    images = [service["image"] for service in compose["services"].values()]
    bases = [line.split()[0] for line in instructions(containerfile, "FROM")]
    assert bases == ["python:3.11-slim"]
    for image in [*images, *bases]:
        assert PINNED.fullmatch(image), image
        # Where images come from is the operator's to say, so none names a registry's host.
        first, slash, _ = image.partition("/")
        assert not slash or not re.search(r"[.:]", first), image


def test_the_store_reports_to_nobody_and_only_its_s3_side_is_reached(compose: dict[str, Any]):
    store = compose["services"]["store"]
    options = dict(word.removeprefix("-").partition("=")[::2] for word in store["command"][1:])
    assert store["command"][0] == "server"
    assert options["ip.bind"] == options["ip"] == "127.0.0.1"
    assert options["s3.ip.bind"] == "0.0.0.0"
    assert options["master.telemetry"] == "false"
    endpoint = compose["services"]["service"]["environment"]["MARKETPLACE_S3_ENDPOINT"]
    assert endpoint == "http://store:8333"


def test_the_service_runs_without_rights_on_a_read_only_system(
    compose: dict[str, Any], containerfile: str
):
    service = compose["services"]["service"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert instructions(containerfile, "USER")[-1] == service["user"] == "10001:10001"
    assert service["environment"]["MARKETPLACE_REQUIRE_CONFINEMENT"] == "true"
    written = {volume.partition(":")[2] for volume in service["volumes"]}
    assert f"MARKETPLACE_DATA={written.pop()}" in containerfile
    assert not written


def test_named_volumes_and_dependencies_are_declared(compose: dict[str, Any]):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]
        for needed in service.get("depends_on", {}):
            assert "healthcheck" in compose["services"][needed]


def test_the_image_installs_what_the_lock_names_by_hash_and_asks_for_its_health(
    containerfile: str,
):
    installs = [line for line in instructions(containerfile, "RUN") if "pip install" in line]
    assert "--require-hashes --requirement requirements/server.txt" in installs[0]
    assert all("--no-deps --no-build-isolation" in line for line in installs[1:])
    (health,) = instructions(containerfile, "HEALTHCHECK")
    assert "http://127.0.0.1:8400/health" in health
    lock = (REPOSITORY / "requirements" / "server.txt").read_text()
    pins = re.findall(r"^[a-zA-Z0-9_.-]+(?:\[[^]]*\])?==", lock, re.MULTILINE)
    assert len(pins) > 20
    assert lock.count("--hash=sha256:") >= len(pins)


def test_what_the_image_copies_is_enough_to_build_the_whole_package(
    containerfile: str, tmp_path: Path
):
    source = tmp_path / "source"
    source.mkdir()
    for line in instructions(containerfile, "COPY"):
        *copied, _ = line.split()
        tracked = subprocess.run(
            ["git", "ls-files", *copied], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for name in tracked:
            if (REPOSITORY / name).exists():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes((REPOSITORY / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    build += ["--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    rooms = ("access_policies", "catalogue", "connectors", "marketplace")
    wanted = {
        str(path.relative_to(source))
        for room in rooms
        for path in (source / room).rglob("*")
        if path.is_file()
    }
    assert wanted <= packed


def test_the_secrets_are_made_once_and_are_the_same_on_both_sides(tmp_path: Path):
    script = tmp_path / "make_secrets.sh"
    script.write_bytes((DEPLOY / "make_secrets.sh").read_bytes())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(made) == set(compose["secrets"])
    (identity,) = json.loads(made["store_identities"])["identities"]
    (known,) = identity["credentials"]
    assert len(made["database_password"]) == len(known["secretKey"]) == 64
    assert made["database_password"] != known["secretKey"]
    assert f"password={made['database_password']}\n" in made["database_service"]
    assert f"aws_secret_access_key = {known['secretKey']}\n" in made["store_credentials"]
    assert f"aws_access_key_id = {known['accessKey']}\n" in made["store_credentials"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    again = subprocess.run(["sh", script], capture_output=True, text=True)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert made["database_password"] == (tmp_path / "secrets" / "database_password").read_text()


def test_the_service_file_of_the_database_is_read(
    postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The way that compose.yaml gives the password: no part of it in a URL."""
    from sqlalchemy import make_url, text

    from marketplace.database import open_database

    url = make_url(postgres_server)
    service = tmp_path / "database_service"
    service.write_text(
        f"[marketplace]\nhost={url.query['host']}\ndbname=postgres\nuser={url.username}\n"
        "password=any\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    database = open_database(compose["services"]["service"]["environment"]["MARKETPLACE_DATABASE"])
    with database.reading() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    database.close()
