"""`swap` and `rollback`: another filter in the running Envoy, proven by its word and by requests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.engines.base import Engine
from sandbox.errors import ConfigError, NotTakenError
from sandbox.events.filter import Swapped
from sandbox.events.stack import Notice
from sandbox.events.verb import Event
from sandbox.session.console import TIMEOUT_S, read_status
from sandbox.session.context import Context, open_client, running_stack
from sandbox.session.given import GivenConfiguration, GivenModule, load_configuration, load_module
from sandbox.session.light_probe import LightProbe
from sandbox.session.live import LiveFilter, Verdict
from sandbox.stack import ENVOY
from sandbox.wait import Deadline, Stopwatch

if TYPE_CHECKING:
    from sandbox.session.build import Choice

LOGS_HINT = "sandbox logs --filter"
LOG_S = 2.0
"""How long the reason may take to be in Envoy's log."""
LOOK_EVERY_S = 0.05


def swap(
    context: Context, *, module: Path | None, configuration: Path | None, toolchain: "Choice | None" = None
) -> Iterator[Event]:
    """Make the module of a file live, the configuration of a file, or both; with neither, the project's own, built anew.

    Raises: ConfigError for what can't be a filter; RefusedError when Envoy would not take it, NotTakenError when it did not: then
    the filter that was live is live; StackError when no stack runs.
    """
    if toolchain and (module or configuration):
        raise ConfigError(
            "--toolchain is for the project's own filter, which is built where nothing else is named", hint="sandbox swap"
        )
    given = load_configuration(configuration) if configuration else None
    version = running_envoy(context)
    loaded = load_module(module, envoy=version) if module else None
    if not (loaded or given):
        from sandbox.session.source import build_source, own_configuration

        loaded = yield from build_source(context, toolchain=toolchain, envoy=version)
        given = own_configuration(context.project)
    yield from swap_in(context, loaded, given)


def running_envoy(context: Context) -> str:
    """The version of the Envoy that runs, as `1.40.0`.

    Raises: StackError when no stack runs.
    """
    from sandbox.session.drift import version_of

    found, endpoints = running_stack(context)
    with open_client(TIMEOUT_S) as client:
        status = read_status(client, endpoints)
    return str((status.envoy.get("version") if status else None) or version_of(found))


def swap_in(context: Context, module: GivenModule | None, configuration: GivenConfiguration | None) -> Iterator[Event]:
    """As `swap`, of what was read already."""
    hint = (
        LOGS_HINT
        if configuration
        else f"sandbox swap FILE.wasm --config FILE, where filter.yaml is another filter's; {LOGS_HINT}"
    )
    yield from _prove(context, lambda live: live.change(module, configuration), hint=hint)


def roll_back(context: Context, *, version: str) -> Iterator[Event]:
    """Make an earlier filter live again, by how its version begins; without one the one that was live before.

    Raises: ConfigError when there is none; as `swap`.
    """
    yield from _prove(context, lambda live: live.roll_back(version))


def _prove(context: Context, change: Callable[[LiveFilter], Verdict], *, hint: str = LOGS_HINT) -> Iterator[Event]:
    _, endpoints = running_stack(context)
    begun = Stopwatch()
    with open_client(TIMEOUT_S) as client, LightProbe(endpoints) as probe:
        try:
            verdict = change(LiveFilter(client, endpoints, context.state))
        except KeyboardInterrupt:
            yield Notice(
                text="Envoy may have the filter already, and takes it all the same then: sandbox status; sandbox rollback"
            )
            raise
        if verdict.refused:
            raise NotTakenError(
                f"Envoy refused the filter: {_find_reason(context.engine, verdict)}",
                details=f"{verdict.before[:12]} serves on",
                hint=hint,
            )
        probed = probe.see_once()
    if not probed.is_passed:
        seen = f"HTTP {probed.first_status}" if probed.first_status else "no answer"
        yield Notice(text=f"it is live, but a request through it got {seen}: sandbox logs --filter; sandbox rollback")
    yield Swapped(
        version=verdict.version,
        before=verdict.before,
        origin=verdict.origin,
        unchanged=verdict.unchanged,
        envoy_s=verdict.envoy_s,
        probed=probed,
        elapsed_s=begun.elapsed_s,
    )


def _find_reason(engine: Engine, verdict: Verdict) -> str:
    """Envoy's own words: they can be a moment late."""
    from sandbox.observe.envoy_log import refusal

    patience = Deadline(LOG_S)
    while True:
        records = engine.logs(services=(ENVOY.name,), since_s=verdict.laid_at_s, tail=None, follow=False)
        reason = refusal([record.line for record in records])
        if reason or patience.over:
            return reason or "its log does not say why"
        time.sleep(LOOK_EVERY_S)
