"""Where programs other than Docker's own packages leave an engine's socket. Looks at the disk, and asks no engine anything."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT_PODMAN = Path("/run/podman/podman.sock")
CONNECT_TIMEOUT_S = 0.5
"""Of a connection to a socket on this machine, which takes microseconds or never comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualSocket:
    """A place for a socket, the program that makes it, and the command that starts that program."""

    owner: str
    path: Path
    start: str


def find_socket() -> UsualSocket | None:
    """The first usual socket that accepts a connection, else the first that is there; None when there is none."""
    there = [usual for usual in usual_sockets() if os.path.exists(usual.path)]  # noqa: PTH110 - the method raises in a closed folder
    return next((usual for usual in there if _accepts(usual.path)), there[0] if there else None)


def usual_sockets() -> Iterator[UsualSocket]:
    """All usual places on this machine, those of Docker itself first.

    Source: docs.docker.com/engine/security/rootless, docs.docker.com/desktop; the FAQs of Colima (config/files.go has the
    folders' order), OrbStack and Rancher Desktop; `podman machine inspect` of Podman 5.
    """
    home = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    yield UsualSocket(owner="rootless Docker", path=runtime / "docker.sock", start="systemctl --user start docker")
    for name in ("run", "desktop"):
        yield UsualSocket(owner="Docker Desktop", path=home / ".docker" / name / "docker.sock", start="docker desktop start")
    yield UsualSocket(owner="OrbStack", path=home / ".orbstack/run/docker.sock", start="orb start")
    for folder in _colima_folders(home):
        path = folder / (os.environ.get("COLIMA_PROFILE") or "default") / "docker.sock"
        yield UsualSocket(owner="Colima", path=path, start="colima start")
    yield UsualSocket(owner="Rancher Desktop", path=home / ".rd/docker.sock", start="rdctl start")
    if sys.platform == "darwin":
        machine = Path(os.environ.get("TMPDIR") or "/tmp") / "podman/podman-machine-default-api.sock"  # noqa: S108 - Podman's choice
        for path in (machine, home / ".local/share/containers/podman/machine/podman.sock"):
            yield UsualSocket(owner="Podman", path=path, start="podman machine start")
    else:
        yield UsualSocket(owner="Podman", path=runtime / "podman/podman.sock", start="systemctl --user start podman.socket")
        yield UsualSocket(owner="Podman", path=ROOT_PODMAN, start="sudo systemctl start podman.socket")


def _colima_folders(home: Path) -> Iterator[Path]:
    if os.environ.get("COLIMA_HOME"):
        yield Path(os.environ["COLIMA_HOME"])
    yield home / ".colima"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "colima"


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.settimeout(CONNECT_TIMEOUT_S)
        probe.connect(str(path))
        return True
    return False
