"""Keys of masked identifiers: one for each project and kind, from a file that only the service reads."""

import base64
from pathlib import Path
from stat import S_IMODE

import msgspec
import pytest

from marketplace.engine.extract.extract_messages import ExtractColumn, ExtractRequest
from marketplace.errors import SettingInvalid
from marketplace.extracts.masking_keys import MaskingKeys

ONE, TWO = (base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))


def opened(folder: Path, text: str) -> MaskingKeys:
    """The keys that a file of that text holds."""
    path = folder / "masking.key"
    path.write_text(text)
    path.chmod(0o600)
    return MaskingKeys.open(folder)


def test_the_master_key_is_made_once_for_the_services_user_alone(tmp_path: Path):
    keys = MaskingKeys.open(tmp_path / "keys")
    again = MaskingKeys.open(tmp_path / "keys")
    other = MaskingKeys.open(tmp_path / "others")

    assert S_IMODE((tmp_path / "keys" / "masking.key").stat().st_mode) == 0o600
    assert again.key("squad", "nino") == keys.key("squad", "nino") != other.key("squad", "nino")
    assert again.fingerprint == keys.fingerprint != other.fingerprint


def test_every_project_and_kind_has_a_key_of_its_own(tmp_path: Path):
    keys = opened(tmp_path, f"1 {ONE}\n")
    pairs = [("squad", "nino"), ("squad", "uprn"), ("squad_b", "nino"), ("squadn", "ino"), ("", "")]
    assert len({keys.key(*pair).value for pair in pairs}) == len(pairs)
    with pytest.raises(ValueError, match="NUL"):
        keys.key("squad\0nino", "")


def test_the_newest_version_is_the_one_that_hashes(tmp_path: Path):
    before = opened(tmp_path, f"1 {ONE}\n")
    after = opened(tmp_path, f"2 {TWO}\n1 {ONE}\n")
    assert (before.version, after.version) == (1, 2)
    assert after.key("squad", "nino") != before.key("squad", "nino")
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    "text", ["", "one\n", f"1 {ONE}\n1 {TWO}\n", "1 c2hvcnQ=\n", f"x {ONE}\n", f"1 {ONE} more\n"]
)
def test_a_file_that_holds_no_keys_is_refused_and_not_shown(tmp_path: Path, text: str):
    with pytest.raises(SettingInvalid) as refused:
        opened(tmp_path, text)
    assert ONE not in str(refused.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    opened(tmp_path, f"1 {ONE}\n")
    (tmp_path / "masking.key").chmod(0o644)
    with pytest.raises(SettingInvalid, match="can be read by others"):
        MaskingKeys.open(tmp_path)


def test_a_key_is_never_shown_by_what_carries_it(tmp_path: Path):
    key = opened(tmp_path, f"1 {ONE}\n").key("squad", "nino")
    request = ExtractRequest((), (ExtractColumn("nino", None, key),), (), "")
    for shown in (repr(key), str(request)):
        assert repr(key.value)[2:-1] not in shown
        assert key.value.hex() not in shown
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=ExtractRequest) == request
