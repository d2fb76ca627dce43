"""The signing key of one project: made at first start, kept in a JWK file, never in an image or in git.

Two starts at once agree through a lock on the folder. A file that holds no usable key is put aside, never overwritten.
"""

import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHM = "ES256"
CURVE = "P-256"
MAX_KEY_FILE_BYTES = 16_384
LOCK_TIMEOUT_S = 5.0

_log = getLogger("jwt-api")


class KeyFileError(RuntimeError):
    """The key file can be neither read nor made; the message names the path and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A P-256 key pair and its `kid`, the RFC 7638 thumbprint. `repr` shows the `kid` only."""

    kid: str
    pair: ECKey = field(repr=False)

    def render_public_jwk(self) -> dict[str, str]:
        """Return the public part as a JWK with `use`, `alg` and `kid`."""
        numbers = self.pair.as_dict(private=False)
        return {name: str(numbers[name]) for name in ("kty", "crv", "x", "y")} | {
            "use": "sig",
            "alg": ALGORITHM,
            "kid": self.kid,
        }


def make_key() -> SigningKey:
    """Make a new key in memory."""
    return _signing_key(ECKey.generate_key(CURVE, auto_kid=False))


def load_or_make_key(path: Path) -> SigningKey:
    """Return the key in `path`, and make folder (0700), file (0600) and key where there is none.

    Raises: KeyFileError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _warn_if_open(path.parent)
        with _locked(path.parent):
            key = _read_key(path)
            if key is None:
                key = make_key()
                _write_new(path, key)
                _log.info("made a signing key, kid %s, in %s", key.kid, path)
            return key
    except OSError as error:
        raise KeyFileError(f"key file {path}: {error.strerror or error}") from error


def parse_key(data: bytes) -> SigningKey:
    """Parse a private P-256 JWK.

    Raises: ValueError, with a reason that quotes nothing of the data.
    """
    if not data.strip():
        raise ValueError("it is empty")
    if len(data) > MAX_KEY_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_KEY_FILE_BYTES} bytes")
    try:
        jwk = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != CURVE:
        raise ValueError(f"it is not a {CURVE} key")
    numbers = {name: jwk.get(name) for name in ("kty", "crv", "x", "y", "d")}
    if not all(isinstance(value, str) for value in numbers.values()):
        raise ValueError("it has no private part")
    try:
        pair = ECKey.import_key({name: str(value) for name, value in numbers.items()})
        pair.private_key  # noqa: B018 - the numbers are checked when the key is first built
    except (ValueError, TypeError, JoseError):
        raise ValueError("its numbers make no key pair") from None
    return _signing_key(pair)


def _signing_key(pair: ECKey) -> SigningKey:
    return SigningKey(kid=pair.thumbprint(), pair=pair)


def _render_private_jwk(key: SigningKey) -> bytes:
    jwk = key.render_public_jwk() | {"d": str(key.pair.as_dict(private=True)["d"])}
    return json.dumps(jwk, indent=2).encode() + b"\n"


def _read_key(path: Path) -> SigningKey | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o077 and status.st_uid == os.geteuid():
                os.fchmod(file.fileno(), 0o600)
                _log.warning("key file %s was open to others (%04o), now 0600", path, status.st_mode & 0o7777)
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return parse_key(data)
    except ValueError as reason:
        aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        path.rename(aside)
        _log.warning("key file %s can't be used, %s; put aside as %s", path, reason, aside.name)
        return None


def _write_new(path: Path, key: SigningKey) -> None:
    for left in path.parent.glob(f".{path.name}.*.part"):  # by a process that was killed outright; we hold the lock
        left.unlink(missing_ok=True)
    with _signals_held():
        _write_whole(path, key)


def _write_whole(path: Path, key: SigningKey) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_render_private_jwk(key))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let SIGTERM and SIGINT, which end this process at once, wait until no half file is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _warn_if_open(folder: Path) -> None:
    # Never tightened here: the folder may be one that others own or need, such as /tmp.
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        _log.warning("the folder of the key, %s, is open to others (%04o); 0700 is better", folder, mode)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # On the folder itself, so that no lock file stays behind; the kernel drops it if the holder dies.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"another process has held the lock on {folder} for {LOCK_TIMEOUT_S:g} s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
