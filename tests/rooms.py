"""A room without a way out: a network of its own with nothing in it but a loopback interface. And Docker Engines in it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stacks import REPOSITORY

ENGINE = REPOSITORY / ".ci" / "engine"
_HOLD = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
print("up", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """`inside` is put before a command to run it there."""

    inside: tuple[str, ...]

    def run(self, *command: str | Path, **variables: str) -> str:
        """Run a command there; returns what it prints."""
        environment = {**os.environ, **variables}
        done = subprocess.run([*self.inside, *command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def open_room() -> Iterator[Room]:
    """Make a room that lasts as long as the block; it is gone with its last process."""
    is_root = os.geteuid() == 0
    unshare = ("unshare", "--net", *(() if is_root else ("--map-root-user",)))
    try:
        holder = subprocess.Popen([*unshare, sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except FileNotFoundError:
        lack("there is no program `unshare`")
    with holder:
        assert holder.stdout
        if holder.stdout.readline() != b"up\n":
            lack("this user may not make a network namespace")
        user = () if is_root else (f"--user=/proc/{holder.pid}/ns/user", "--preserve-credentials")
        yield Room(inside=("nsenter", f"--net=/proc/{holder.pid}/ns/net", *user))
        assert holder.stdin
        holder.stdin.close()


def lack(why: str) -> None:
    """Skip the test, and say why; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs this: {why}")
    pytest.skip(why)


@contextlib.contextmanager
def start_engine(room: Room, folder: Path) -> Iterator[dict[str, str]]:
    """A Docker Engine in the room, without any image; yields the variables that lead to it. Nothing of it is left."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        lack("a Docker Engine of one's own needs root and Debian")
    names = ("DOCKER_HOST", "DOCKER_CONFIG", "PATH")
    try:
        said = room.run(
            "bash", "-c", 'variables=$("$@") && eval "$variables" && env', "-", ENGINE / "start", "--no-images", folder
        )
        variables = (line.partition("=") for line in said.splitlines())
        yield {name: value for name, _, value in variables if name in names}
    finally:
        room.run(ENGINE / "stop", folder)
    assert not list(folder.glob("*"))
