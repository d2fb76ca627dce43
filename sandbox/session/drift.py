"""In what a running stack differs from what the settings and the project's files say now."""

import dataclasses
import hashlib
from collections.abc import Iterator

from sandbox.config import Settings
from sandbox.engines.base import StackState
from sandbox.errors import SandboxError
from sandbox.session.context import Context
from sandbox.session.expected import Expected
from sandbox.session.launch import Prepared, prepare
from sandbox.stack import ENVOY_VERSION, PUBLISHED
from sandbox.workspace import MODULE_KINDS

REMEDY = "to change that: sandbox down, then sandbox up"


def drift_labels(prepared: Prepared, settings: Settings) -> dict[str, str]:
    """What has to be kept with a stack for `describe_drift`, beside the labels of `Expected`."""
    return {"envoy": prepared.envoy_version, "workers": str(settings.workers), "bootstrap": _digest(prepared)}


def version_of(found: StackState) -> str:
    """Which Envoy a stack was started with; one that does not say so had no choice."""
    return (found.labels or {}).get("envoy", ENVOY_VERSION)


def _digest(prepared: Prepared) -> str:
    return hashlib.sha256(prepared.bootstrap.encode()).hexdigest()


def describe_drift(context: Context, found: StackState, expected: Expected) -> Iterator[str]:
    """A sentence for each difference that `up` and `restart` do not make good. `expected` is the filter that is to be live."""
    settings, labels = context.settings, found.labels or {}
    for port in PUBLISHED:
        asked = getattr(settings, f"{port.name}_port")
        real = found.endpoints.host[port.name].port if found.endpoints else None
        if asked not in (None, real):
            yield f"the {port.name} stays on port {real}; {REMEDY}"
    if settings.origins["envoy"] != "default" and version_of(found) != settings.envoy:
        yield f"Envoy stays at {version_of(found)}; {REMEDY}"
    is_asked_for = expected.module == settings.module if settings.module in MODULE_KINDS else not expected.is_shipped
    if settings.origins["module"] != "default" and not is_asked_for:
        yield f"the filter stays {expected.module}; {REMEDY}"
    if settings.origins["workers"] != "default" and labels.get("workers") != str(settings.workers):
        yield f"Envoy stays at {labels.get('workers')} workers; {REMEDY}"
    yield from _changed_files(context, found, expected)


def _changed_files(context: Context, found: StackState, expected: Expected) -> Iterator[str]:
    kind = expected.module if expected.is_shipped else MODULE_KINDS[0]
    try:
        prepared = prepare(context.project, dataclasses.replace(context.settings, module=kind, envoy=version_of(found)))
    except SandboxError as error:
        yield f"the stack runs what was there before: {error.message}"
        return
    if expected.is_shipped and prepared.resource.version != expected.version:
        yield f"{context.project.filter_yaml} or the filter's module has changed since this stack was started; {REMEDY}"
    if _digest(prepared) != (found.labels or {}).get("bootstrap"):
        yield f"{context.project.envoy_yaml} has changed since this stack was started; {REMEDY}"
