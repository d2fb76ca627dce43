"""One question to an engine, GET /version, and why there is no answer. By hand: importing the SDK takes a tenth of a second."""

import errno
import json
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.engines.docker.discovery.target import Target, Tls
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline

MAX_ANSWER_BYTES = 1 << 20
_REQUEST = b"GET /version HTTP/1.1\r\nHost: docker\r\nUser-Agent: sandbox\r\nConnection: close\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_CHUNKED = re.compile(rb"^transfer-encoding:.*\bchunked\b", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


def ask_version(target: Target, deadline: Deadline) -> Mapping[str, Any]:
    """What the engine says of itself: `Version`, `ApiVersion`, `MinAPIVersion` and more.

    Raises: PreconditionError for a daemon that is down or silent, and where permission is missing; no address is in it.
    Source: docs.docker.com/reference/api/engine, SystemVersion.
    """
    try:
        status, body = _get(target, deadline)
        if status != 200:
            raise _problem(target, f"the engine answers with HTTP {status}", "docker version")
        answer = json.loads(body)
    except (OSError, ValueError) as error:
        raise _explain(error, target, deadline.timeout_s) from error
    if not isinstance(answer, dict):
        raise _problem(target, "what answers there is no Docker engine")
    return answer


def _get(target: Target, deadline: Deadline) -> tuple[int, bytes]:
    """Status and body, whole within the deadline however slowly they come."""
    with _connect(target, deadline) as connection:
        connection.sendall(_REQUEST)
        answer = b""
        while not _is_whole(answer) and len(answer) < MAX_ANSWER_BYTES:
            connection.settimeout(_left(deadline))
            piece = connection.recv(1 << 16)
            if not piece:
                break
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not status:
        raise ValueError("no HTTP")
    return int(status[1]), _join_chunks(body) if _CHUNKED.search(head) else body


def _connect(target: Target, deadline: Deadline) -> socket.socket:
    scheme, _, place = target.url.partition("://")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(place)
        except BaseException:
            connection.close()
            raise
        return connection
    host, _, port = place.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_left(deadline))
    return _encrypt(connection, target.tls, host.strip("[]")) if target.tls else connection


def _encrypt(connection: socket.socket, tls: Tls, host: str) -> socket.socket:
    import ssl

    ca, cert, key = tls.files
    try:
        context = ssl.create_default_context(cafile=ca if Path(ca).is_file() else None)
        if not tls.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if Path(cert).is_file():
            context.load_cert_chain(cert, key)
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _left(deadline: Deadline) -> float:
    if deadline.over:
        raise TimeoutError
    return deadline.remaining_s


def _is_whole(answer: bytes) -> bool:
    """Whether the length that was announced is there; without one the end of the connection is the end."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(length and len(body) >= int(length[1]))


def _join_chunks(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


def _explain(error: Exception, target: Target, timeout_s: float) -> PreconditionError:
    match error:
        case PermissionError():
            return _problem(target, "this user may not use the engine's socket", "sudo usermod -aG docker $USER && newgrp docker")
        case FileNotFoundError() | ConnectionRefusedError():
            return _problem(target, "nothing listens there" if target.source else "the daemon is not running")
        case TimeoutError() | BlockingIOError():  # the second: the queue of a Unix socket is full
            return _problem(target, f"the engine does not answer within {timeout_s:g} s")
        case OSError(errno=errno.ENAMETOOLONG) | OSError(errno=None):
            return _problem(target, "no address that Docker understands")
        case ValueError():
            return _problem(target, "what answers there is no Docker engine")
        case _:
            return _problem(target, f"the engine cannot be asked ({type(error).__name__})", details=str(error))


def _problem(target: Target, says: str, hint: str = "", *, details: str = "") -> PreconditionError:
    return PreconditionError(
        f"{target.source or 'Docker'}: {says}", details=details, hint=hint or target.retreat or _start_hint(target.url)
    )


def _start_hint(url: str) -> str:
    if sys.platform == "darwin":
        return "open -a Docker"
    if "/run/user/" in url:
        return "systemctl --user start docker"
    return "sudo systemctl start docker" if Path("/run/systemd/system").is_dir() else "sudo service docker start"
