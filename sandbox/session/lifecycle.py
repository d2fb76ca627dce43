"""`up`, `down` and `restart`."""

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from sandbox.engines.base import PortTakenError, Run, StackState, WantedPort
from sandbox.errors import ConfigError, RefusedError, StackError
from sandbox.events.stack import EngineEvent, LogRecord, Notice, Ready, ServiceStarted, Step, Stopped
from sandbox.events.verb import Event
from sandbox.files import load_json, write_json
from sandbox.session.console import TIMEOUT_S, find_expected, read_status
from sandbox.session.context import ENDING_S, Context, open_client, running_stack, stack_lock
from sandbox.session.drift import describe_drift, drift_labels, version_of
from sandbox.session.expected import Expected, parse_expected
from sandbox.session.given import GivenConfiguration, GivenModule
from sandbox.session.launch import Prepared, check_bootstrap, launches, prepare, render_files, write_console_token
from sandbox.session.probe import Seen, await_ready
from sandbox.session.provide import provide_envoy
from sandbox.session.verdict import ServiceWatch
from sandbox.stack import BYPASS, CONSOLE_PORT, INGRESS, PUBLISHED, Endpoints, service_names
from sandbox.wait import Deadline, Stopwatch
from sandbox.workspace import SOURCE, remove_state

START_ATTEMPTS = 3
STOP_TIMEOUT_S = 30.0


def up(
    context: Context,
    *,
    foreground: bool,
    keep: bool,
    module: GivenModule | None = None,
    configuration: GivenConfiguration | None = None,
) -> Iterator[Event | LogRecord]:
    """Start the stack and prove that it works; with `foreground` stay and yield its log, ending it at the end.

    `module` and `configuration` take the place of the project's own. Where the settings ask for its sources, those are built.

    Whatever interrupts this generator before `Ready`, nothing is left of the stack, unless `keep`.

    Raises: SandboxError of every kind.
    """
    yield from context.engine.prepare()
    yield from provide_envoy(context)
    module = module or (yield from _build_if_asked(context))
    deadline = Deadline(context.settings.timeout_s)
    run: Run | None = None
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(stack_lock(context.state, deadline))
            found = context.engine.find()
            if found.phase == "running":
                yield from _already(context, found, deadline, asked_for=module or configuration)
                return
            if found.phase != "stopped":
                yield Notice(text="cleaning up after a stack that crashed")
                yield from context.engine.stop(deadline=Deadline(STOP_TIMEOUT_S))
            prepared = prepare(context.project, context.settings, module, configuration)
            expected = Expected(
                version=prepared.resource.version,
                module=prepared.module_kind,
                injected=prepared.resource.injected,
                configured_by=prepared.configured_by,
            )
            for attempt in range(START_ATTEMPTS):
                endpoints, notices = context.engine.reserve(_wanted_ports(context, elsewhere=attempt > 0))
                yield from (Notice(text=notice) for notice in notices)
                run = _start(context, prepared, expected, endpoints)
                try:
                    seen = yield from _prove(context, run.events, endpoints, expected, deadline)
                    break
                except PortTakenError:
                    run.abort()
                    run = None
                    yield Notice(text="another program took one of the ports meanwhile: taking free ones")
            else:
                raise StackError("other programs keep taking the stack's ports", hint="sandbox doctor")  # noqa: TRY301 - ends the start
            _remember_ports(context, endpoints)
            run.adopt(release=not foreground)
            run = run if foreground else None
            held.close()
            ready_at = time.time()
            yield _ready(context, endpoints, expected, seen, deadline, envoy=prepared.envoy_version, already=False)
            if foreground:
                yield from context.engine.logs(services=(), since_s=ready_at, tail=None, follow=True)
                if _has_crashed(context):
                    raise StackError("the stack has crashed", hint="sandbox up")  # noqa: TRY301 - ends what is left of it
        except BaseException as error:  # before it is ready, under the lock: what another `up` starts must not be ended with it
            if run and keep and isinstance(error, StackError | RefusedError):
                run.adopt(release=True)
            elif run:
                run.abort()
            raise


def _has_crashed(context: Context) -> bool:
    """Whether what has ended was not ended by a `down`."""
    ending = Deadline(ENDING_S)
    while (phase := context.engine.find().phase) == "crashed" and not ending.over:
        time.sleep(0.1)
    return phase == "crashed"


def _build_if_asked(context: Context) -> Generator[Event, None, GivenModule | None]:
    if context.settings.module != SOURCE or context.engine.find().phase == "running":
        return None
    from sandbox.session.source import build_source

    return (yield from build_source(context))


def _start(context: Context, prepared: Prepared, expected: Expected, endpoints: Endpoints) -> Run:
    files = render_files(prepared, endpoints, context.project)
    check_bootstrap(prepared, files, context.project, context.state)
    write_console_token(context.state)
    services = launches(prepared, endpoints, context.settings, context.state)
    return context.engine.start(services, files, {**expected.labels(), **drift_labels(prepared, context.settings)})


def _prove(
    context: Context,
    next_events: Callable[[float], Sequence[EngineEvent]],
    endpoints: Endpoints,
    expected: Expected,
    deadline: Deadline,
    *,
    started: bool = False,
) -> Generator[Event, None, Seen]:
    for item in await_ready(next_events, context.engine, endpoints, expected, deadline, started=started):
        match item:
            case ServiceStarted():
                yield Step(name=item.service, detail=f"started, pid {item.pid}", elapsed_s=deadline.elapsed_s)
            case Seen():
                detail = f"{expected.sha256[:12]} is live in Envoy ({expected.label})"
                yield Step(name="filter", detail=detail, elapsed_s=deadline.elapsed_s)
                if item.token and item.token.verified:
                    life = item.token.expires_in_s
                    detail = f"{item.token.algorithm}, signature verified" + (f", {life:.0f} s left" if life else "")
                    yield Step(name="token", detail=detail, elapsed_s=deadline.elapsed_s)
                return item
            case _:
                yield item
    raise AssertionError("await_ready ends with proof or raises")


def _ready(
    context: Context,
    endpoints: Endpoints,
    expected: Expected,
    seen: Seen,
    deadline: Deadline,
    *,
    envoy: str,
    already: bool,
) -> Ready:
    return Ready(
        engine=context.engine.name,
        ingress_url=endpoints.host[INGRESS.name].url,
        bypass_url=endpoints.host[BYPASS.name].url,
        console_url=endpoints.host[CONSOLE_PORT.name].url,
        envoy_version=envoy,
        module=expected.label,
        module_sha256=expected.sha256,
        headers=seen.headers,
        token=seen.token,
        already=already,
        elapsed_s=deadline.elapsed_s,
    )


def _already(
    context: Context, found: StackState, deadline: Deadline, *, asked_for: GivenModule | GivenConfiguration | None
) -> Iterator[Event]:
    _, endpoints = running_stack(context)
    expected = _ask_expected(found, endpoints)
    yield from (Notice(text=difference) for difference in describe_drift(context, found, expected))
    if asked_for:
        yield Notice(text=f"the filter stays {expected.label}; to change that: sandbox swap")
    for service in found.services:
        if service.state in ("exited", "crash-looping", "paused"):
            word = "has" if service.state == "exited" else "is"
            raise StackError(f"a stack runs, but {service.name} {word} {service.state}", hint=f"sandbox restart {service.name}")
    watch = ServiceWatch(context.engine)
    for item in await_ready(watch.events, context.engine, endpoints, expected, deadline, started=True):
        if isinstance(item, Seen):
            yield _ready(context, endpoints, expected, item, deadline, envoy=version_of(found), already=True)


def _ask_expected(found: StackState, endpoints: Endpoints) -> Expected:
    with open_client(TIMEOUT_S) as client:
        return find_expected(found, read_status(client, endpoints)) or parse_expected(found.labels or {})


def _remember_ports(context: Context, endpoints: Endpoints) -> None:
    """Keep for the project what it was given; a port that was asked for by name is for this time."""
    given = {
        port.name: endpoints.host[port.name].port for port in PUBLISHED if getattr(context.settings, f"{port.name}_port") is None
    }
    write_json(context.state.ports, {**(load_json(context.state.ports) or {}), **given})


def _wanted_ports(context: Context, *, elsewhere: bool) -> list[WantedPort]:
    """Asked for by name: that one. Else the one that this project had last, else the default; `elsewhere`: any that is free."""
    remembered = load_json(context.state.ports) or {}
    wanted: list[WantedPort] = []
    for port in PUBLISHED:
        asked = getattr(context.settings, f"{port.name}_port")
        last = remembered.get(port.name)
        preferred = last if isinstance(last, int) and 0 < last < 1 << 16 else port.number
        number = asked or (0 if elsewhere else preferred)
        for other in wanted:
            if asked and other.exact and other.number == asked:
                raise ConfigError(
                    f"port {asked} cannot be both the {other.name} and the {port.name}",
                    hint=f"sandbox up --{port.name}-port {asked - 1}",
                )
        wanted.append(WantedPort(name=port.name, number=number, exact=asked is not None))
    return wanted


def down(context: Context, *, volumes: bool) -> Iterator[Event]:
    """End the stack, whatever state it is in; with `volumes` forget keys, ports and logs too."""
    began = Stopwatch()
    found = context.engine.find()
    folder_is_there = os.path.exists(context.state.root)  # noqa: PTH110 - before Python 3.14 the method raises in a closed folder
    if found.phase == "stopped" and not folder_is_there:
        yield Stopped(was_running=False, elapsed_s=began.elapsed_s)
        return
    # Not under the lock: an `up` that is under way holds it, and ends when its stack does.
    if found.endpoints:
        yield from context.engine.stop(deadline=Deadline(STOP_TIMEOUT_S))
    # An `up` that fails at its own deadline still has to abort.
    with stack_lock(context.state, Deadline(context.settings.timeout_s + STOP_TIMEOUT_S)):
        yield from context.engine.stop(deadline=Deadline(STOP_TIMEOUT_S))
        if volumes:
            context.engine.forget()
            remove_state(context.state)
    yield Stopped(was_running=found.phase != "stopped", elapsed_s=began.elapsed_s)


def restart(context: Context, services: tuple[str, ...]) -> Iterator[Event]:
    """End and start services (none named: all) and prove that the stack works again.

    Raises: StackError when none runs, or it does not come back.
    """
    deadline = Deadline(context.settings.timeout_s)
    with stack_lock(context.state, deadline):
        found, endpoints = running_stack(context)
        expected = _ask_expected(found, endpoints)
        for event in context.engine.restart(services or service_names(), deadline=deadline):
            if isinstance(event, ServiceStarted):
                yield Step(name=event.service, detail=f"started, pid {event.pid}", elapsed_s=deadline.elapsed_s)
        seen = yield from _prove(context, ServiceWatch(context.engine).events, endpoints, expected, deadline, started=True)
        yield from (Notice(text=difference) for difference in describe_drift(context, found, expected))
        yield _ready(context, endpoints, expected, seen, deadline, envoy=version_of(found), already=False)
