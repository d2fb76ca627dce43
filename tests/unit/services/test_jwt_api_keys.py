"""The signing key on disk: made once, kept private, put aside when it can't be used."""

import fcntl
import json
import logging
import os
import stat
from pathlib import Path

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey

from services.jwt_api import keys
from services.jwt_api.keys import KeyFileError, SigningKey, load_or_make_key, make_key, parse_key
from services.jwt_api.settings import Settings
from services.jwt_api.tokens import issue_token

GOOD = json.dumps(dict(ECKey.generate_key("P-256", auto_kid=False).as_dict(private=True))).encode()


@pytest.fixture(autouse=True)
def _log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("jwt-api"), "propagate", True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "jwt-api.jwk"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def verify(key: SigningKey) -> None:
    issued = issue_token(Settings(), key)
    jwt.decode(issued.token, jwt.PyJWK(key.render_public_jwk()), algorithms=["ES256"], audience="upstream")


def test_the_first_start_makes_a_private_file_in_a_private_folder(path: Path) -> None:
    old = os.umask(0)
    try:
        key = load_or_make_key(path)
    finally:
        os.umask(old)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    verify(key)


def test_the_next_start_finds_the_same_key_and_writes_nothing(path: Path) -> None:
    first = load_or_make_key(path)
    before = path.stat()
    second = load_or_make_key(path)
    assert second.kid == first.kid
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def test_the_public_part_has_no_secret_and_the_kid_is_the_thumbprint(path: Path) -> None:
    jwk = load_or_make_key(path).render_public_jwk()
    assert set(jwk) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert jwk["kid"] == ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")}).thumbprint()


def test_a_key_does_not_show_itself(path: Path) -> None:
    key = load_or_make_key(path)
    secret = json.loads(path.read_bytes())["d"]
    assert repr(key) == f"SigningKey(kid={key.kid!r})"
    assert secret not in repr(key)


UNUSABLE = {
    "nothing": (b"", "it is empty"),
    "blank": (b" \n", "it is empty"),
    "half": (GOOD[: len(GOOD) // 2], "it is not JSON"),
    "binary": (b"\xff\xfe\x00", "it is not JSON"),
    "deep": (b"[" * 10_000, "it is not JSON"),
    "large": (b"x" * 20_000, "it is larger"),
    "a list": (b"[]", "it is not a P-256 key"),
    "symmetric": (json.dumps(OctKey.generate_key(256).as_dict(private=True)).encode(), "it is not a P-256 key"),
    "P-384": (json.dumps(ECKey.generate_key("P-384").as_dict(private=True)).encode(), "it is not a P-256 key"),
    "public": (json.dumps(ECKey.import_key(json.loads(GOOD)).as_dict(private=False)).encode(), "it has no private part"),
    "d is a number": (json.dumps(json.loads(GOOD) | {"d": 7}).encode(), "it has no private part"),
    "another d": (json.dumps(json.loads(GOOD) | {"d": "AAAA"}).encode(), "its numbers make no key pair"),
    "another x": (json.dumps(json.loads(GOOD) | {"x": json.loads(GOOD)["y"]}).encode(), "its numbers make no key pair"),
    "no base64": (json.dumps(json.loads(GOOD) | {"d": "é!"}).encode(), "its numbers make no key pair"),
}


@pytest.mark.parametrize(("content", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_file_is_put_aside_and_said_so(
    path: Path, caplog: pytest.LogCaptureFixture, content: bytes, reason: str
) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        key = load_or_make_key(path)
    (aside,) = path.parent.glob("jwt-api.jwk.corrupt-*")
    assert aside.read_bytes() == content
    assert mode(aside) == 0o600
    assert reason in caplog.text
    assert f"put aside as {aside.name}" in caplog.text
    assert json.loads(GOOD)["d"] not in caplog.text
    assert load_or_make_key(path).kid == key.kid
    verify(key)


def test_two_corrupt_files_in_a_row_are_both_kept(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    for content in (b"one", b"two"):
        path.write_bytes(content)
        load_or_make_key(path)
    assert {aside.read_bytes() for aside in path.parent.glob("*.corrupt-*")} == {b"one", b"two"}


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_whatever_is_in_the_file_either_signs_or_is_refused_with_a_reason(data: st.DataObject) -> None:
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        key = parse_key(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except ValueError as error:
        assert str(error).startswith("it")
    else:
        verify(key)


def test_a_file_open_to_others_is_closed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kid = load_or_make_key(path).kid
    path.chmod(0o644)
    assert load_or_make_key(path).kid == kid
    assert mode(path) == 0o600
    assert "was open to others (0644)" in caplog.text


def test_a_folder_open_to_others_is_told_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    load_or_make_key(tmp_path / "k.jwk")
    assert mode(tmp_path) == 0o755
    assert "open to others (0755)" in caplog.text


def test_a_folder_in_the_place_of_the_file_is_an_error(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="directory"):
        load_or_make_key(path)
    assert path.is_dir()


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(KeyFileError, match=r"keys/k\.jwk"):
        load_or_make_key(tmp_path / "keys" / "k.jwk")


def test_a_full_disk_leaves_no_half_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(KeyFileError, match="No space left"):
        load_or_make_key(path)
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_is_never_given_back_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOCK_TIMEOUT_S", 0.05)
    path.parent.mkdir()
    holder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(KeyFileError, match="another process"):
            load_or_make_key(path)
    finally:
        os.close(holder)
    load_or_make_key(path)


def test_keys_differ() -> None:
    assert make_key().kid != make_key().kid
