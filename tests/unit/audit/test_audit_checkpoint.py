import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marketplace.audit.checkpoint import (
    PublicKey,
    Signer,
    open_checkpoint,
    open_signer,
    read_public_keys,
)
from marketplace.audit.tree import EMPTY_ROOT, leaf_hash
from marketplace.errors import ProofInvalid, SettingInvalid

ORIGIN = "data.test/audit"
ROOT = leaf_hash(b"anything")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return open_signer(tmp_path / "keys", ORIGIN)


def test_the_key_and_signature_of_the_signed_note_documentation_verify():
    key = PublicKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert signature[:4] == key.id
    assert key.verifies(signature[4:], text)
    assert not key.verifies(signature[4:], text + " ")


def test_a_checkpoint_says_origin_size_and_root_on_a_line_each(signer: Signer):
    checkpoint = signer.sign(0, EMPTY_ROOT)
    assert checkpoint.note.startswith(
        "data.test/audit\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 data.test/audit "
    )
    assert open_checkpoint(checkpoint.note, signer.public_keys) == checkpoint


def test_every_change_of_a_checkpoint_is_refused(signer: Signer):
    note = signer.sign(42, ROOT).note
    for place in range(len(note)):
        for other in ("\n", "7", "A", ""):
            changed = note[:place] + other + note[place + 1 :]
            if changed != note:
                with pytest.raises(ProofInvalid):
                    open_checkpoint(changed, signer.public_keys)


def test_a_checkpoint_of_another_key_is_refused(signer: Signer, tmp_path: Path):
    other = open_signer(tmp_path / "others", ORIGIN)
    with pytest.raises(ProofInvalid, match="no valid signature"):
        open_checkpoint(other.sign(42, ROOT).note, signer.public_keys)


def test_signatures_of_unknown_witnesses_are_ignored(signer: Signer):
    witnessed = signer.sign(42, ROOT).note + "\u2014 witness.test AAAAAAAA\n"
    assert open_checkpoint(witnessed, signer.public_keys).size == 42


def test_the_signing_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: open_signer(tmp_path / "keys", ORIGIN), range(16)))
    assert len({signer.public_key for signer in signers}) == 1
    key = tmp_path / "keys" / "audit.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in key.parent.iterdir()) == ["audit.key", "audit.pub"]


def test_a_signing_key_that_others_can_read_is_refused(signer: Signer, tmp_path: Path):
    (tmp_path / "keys" / "audit.key").chmod(0o640)
    with pytest.raises(SettingInvalid, match="can be read by others"):
        open_signer(tmp_path / "keys", ORIGIN)


def test_a_log_keeps_its_origin(signer: Signer, tmp_path: Path):
    with pytest.raises(SettingInvalid, match="the settings say other"):
        open_signer(tmp_path / "keys", "other.test/audit")


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "line\nbreak"])
def test_an_origin_that_no_note_can_carry_is_refused(origin: str, tmp_path: Path):
    with pytest.raises(SettingInvalid, match="origin"):
        open_signer(tmp_path / "keys", origin)


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+data.test/audit+00+AAAA", "nonsense", "\n+"])
def test_a_file_that_is_no_key_is_refused_without_showing_it(content: str, tmp_path: Path):
    (tmp_path / "audit.key").write_text(content)
    (tmp_path / "audit.key").chmod(0o600)
    with pytest.raises(SettingInvalid, match="does not hold") as refused:
        open_signer(tmp_path, ORIGIN)
    assert not content or content not in refused.value.detail


def test_after_a_rotation_old_checkpoints_still_verify(signer: Signer, tmp_path: Path):
    old = signer.sign(42, ROOT).note
    (tmp_path / "keys" / "audit.key").unlink()
    rotated = open_signer(tmp_path / "keys", ORIGIN)
    assert rotated.public_key != signer.public_key
    assert open_checkpoint(old, rotated.public_keys).size == 42
    published = read_public_keys(tmp_path / "keys" / "audit.pub")
    assert published == (signer.public_key, rotated.public_key)
    assert open_signer(tmp_path / "keys", ORIGIN).public_keys == rotated.public_keys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_a_public_key_that_was_miscopied_is_refused(text: str):
    with pytest.raises(SettingInvalid, match="public key"):
        PublicKey.parse(text)
