"""The loop of `dev`: build what was saved, swap it in, and begin anew as soon as there is something newer."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from sandbox.errors import ConfigError, NotTakenError, SandboxError, StackError
from sandbox.events.dev import CycleDone, CycleFailed, CycleOvertaken, DevEvent
from sandbox.events.filter import BuiltModule, Swapped
from sandbox.events.stack import Notice, Ready
from sandbox.session.build import Choice, build, recipe_of
from sandbox.session.console import TIMEOUT_S, find_expected, read_status
from sandbox.session.context import Context, open_client, running_stack
from sandbox.session.dev.beside import Beside, Seen
from sandbox.session.dev.sources import Snapshot, Sources
from sandbox.session.dev.watcher import Watcher
from sandbox.session.given import GivenModule
from sandbox.session.lifecycle import up
from sandbox.session.source import given_module, own_configuration, warn
from sandbox.session.swap import running_envoy, swap_in
from sandbox.toolchain.go_test import run_tests
from sandbox.toolchain.process import BuildCancelledError
from sandbox.wait import Stopwatch

FIRST = "first build"

Outcome = Literal["live", "failed", "overtaken"]
"""Of a cycle; `overtaken`: something newer was saved before it could be live."""


@dataclass(frozen=True, slots=True)
class _Changed:
    """Something may have been saved."""


@dataclass(frozen=True, slots=True)
class _Beside:
    """Something to be shown came from beside."""

    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    """Work in a thread is over: with a value, or with an error."""

    value: Any = None
    error: BaseException | None = None


class Dev:
    """Follows the sources of a project's filter. `toolchain` as `build` has it; `test` runs `go test` between build and swap.

    Raises: ConfigError when there is no `go test` for it.
    """

    def __init__(
        self, context: Context, *, toolchain: Choice | None, test: bool, logs: bool = False, exchanges: bool = False
    ) -> None:
        self._context = context
        self._toolchain = toolchain
        self._test = test
        recipe = recipe_of(context)
        if test and recipe.command:
            raise ConfigError("--test runs `go test`, and this filter is built by a command", hint="sandbox dev")
        self._recipe = recipe
        self._sources = Sources(folder=recipe.source, filter_yaml=context.project.filter_yaml, output=recipe.output)
        self._live: GivenModule | None = None
        self._envoy: str | None = None
        self._inbox: queue.SimpleQueue[DevEvent | _Beside | _Changed | _Finished] = queue.SimpleQueue()
        self._beside = Beside(context, logs=logs, exchanges=exchanges, put=lambda seen: self._inbox.put(_Beside(seen)))

    def run(self) -> Iterator[DevEvent]:
        """Start the stack if none runs, bring the filter up to its sources, then follow them without an end.

        Whatever fails is told as `CycleFailed`, and tried again at the next save.
        """
        watcher = Watcher(
            self._sources,
            changed=lambda: self._inbox.put(_Changed()),
            tell=lambda text: self._inbox.put(Notice(text=text)),
        )
        with watcher, contextlib.closing(self._beside):
            tried: Snapshot | None = None
            live: Snapshot | None = None
            while True:
                snapshot = self._sources.read()
                changed = self._sources.changed(tried or {}, snapshot)
                if tried is None or changed:
                    build_it = live is None or not self._sources.is_only_configured(live, snapshot)
                    names = (FIRST,) if tried is None else changed
                    outcome = yield from self._cycle(names, build_it=build_it, snapshot=snapshot)
                    tried = tried if outcome == "overtaken" else snapshot
                    live = snapshot if outcome == "live" else live
                if tried == self._sources.read():
                    yield from self._wait()

    def _wait(self) -> Iterator[DevEvent]:
        while not isinstance(item := self._next(), _Changed):
            if not isinstance(item, _Finished):
                yield item

    def _next(self) -> DevEvent | _Changed | _Finished:
        item = self._inbox.get()
        if isinstance(item, _Beside):
            self._beside.shown()
            return item.seen
        return item

    def _cycle(self, changed: tuple[str, ...], *, build_it: bool, snapshot: Snapshot) -> Generator[DevEvent, None, Outcome]:
        """Bring live what was saved."""
        begun = Stopwatch()
        done = CycleDone(changed=changed, built=None, test_s=None, swapped=None, elapsed_s=0.0)
        try:
            module = None if build_it else self._live
            if module is None:
                built = yield from self._work(self._build, snapshot)
                yield from warn(built)
                module, done = given_module(built, self._recipe.source), replace(done, built=built)
                if self._test:
                    test_s = yield from self._work(lambda cancelled: run_tests(self._recipe, cancelled=cancelled), snapshot)
                    done = replace(done, test_s=test_s)
            swapped = yield from self._put_live(module)
            yield replace(done, swapped=swapped, elapsed_s=begun.elapsed_s)
        except BuildCancelledError:
            yield CycleOvertaken(saved=self._sources.changed(snapshot, self._sources.read()))
            return "overtaken"
        except SandboxError as error:
            serving = "" if isinstance(error, NotTakenError) else self._serving()
            yield CycleFailed(changed=changed, message=error.message, details=error.details, hint=error.hint, serving=serving)
            return "failed"
        return "live"

    def _build(self, cancelled: threading.Event) -> BuiltModule:
        events = build(self._context, toolchain=self._toolchain, envoy=self._find_envoy(), cancelled=cancelled)
        [built] = [event for event in events if isinstance(event, BuiltModule)]
        return built

    def _find_envoy(self) -> str | None:
        """For which Envoy it is judged: the one that runs, if one does."""
        if self._envoy is None:
            with contextlib.suppress(StackError):
                self._envoy = running_envoy(self._context)
        return self._envoy

    def _work(self, work: Callable[[threading.Event], Any], snapshot: Snapshot) -> Generator[DevEvent, None, Any]:
        """Do it in a thread; what is saved meanwhile cancels it.

        Raises: what `work` raises; BuildCancelledError.
        """
        cancelled = threading.Event()

        def run() -> None:
            try:
                self._inbox.put(_Finished(value=work(cancelled)))
            except BaseException as error:  # raised again where it is waited for
                self._inbox.put(_Finished(error=error))

        thread = threading.Thread(target=run, name="build")
        try:
            thread.start()
            while not isinstance(item := self._next(), _Finished):
                if not isinstance(item, _Changed):
                    yield item
                elif self._sources.read() != snapshot:
                    cancelled.set()
        finally:
            cancelled.set()
            if thread.ident is not None:
                thread.join()
        if self._sources.read() != snapshot:
            raise BuildCancelledError
        if item.error:
            raise item.error
        return item.value

    def _put_live(self, module: GivenModule) -> Generator[DevEvent, None, Swapped | None]:
        """Swap it in, or start a stack with it; None where that was started.

        Always with the module: what is live may be another one by now.
        """
        swapped = None
        started = self._live is None and (yield from self._start(module))
        if not started:
            for event in swap_in(self._context, module, own_configuration(self._context.project)):
                if not isinstance(event, Swapped):
                    yield event
                    continue
                swapped = event
                if self._live and not event.unchanged and not event.before.startswith(self._live.sha256):
                    yield Notice(text=f"another filter was live, and is not any more: {event.before[:12]}; sandbox rollback")
        self._live = module
        self._beside.start()
        return swapped

    def _start(self, module: GivenModule) -> Generator[DevEvent, None, bool]:
        """Start a stack, if none runs; whether that was done."""
        if self._context.engine.find().phase == "running":
            return False
        started = False
        for event in up(self._context, foreground=False, keep=False, module=module):
            started = started or (isinstance(event, Ready) and not event.already)  # else somebody else was quicker
            yield event
        return started

    def _serving(self) -> str:
        try:
            found, endpoints = running_stack(self._context)
        except StackError:
            return ""
        with open_client(TIMEOUT_S) as client:
            expected = find_expected(found, read_status(client, endpoints))
        return f"{expected.sha256[:12]} ({expected.label})" if expected else ""
