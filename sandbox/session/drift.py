"""In what a running stack differs from what the settings and the project's files say now."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping

from sandbox.config import Settings
from sandbox.engines.base import StackState
from sandbox.errors import SandboxError
from sandbox.session.context import Context
from sandbox.session.expected import parse_expected
from sandbox.session.launch import Prepared, prepare
from sandbox.stack import PUBLISHED

REMEDY = "to change that: sandbox down, then sandbox up"


def drift_labels(prepared: Prepared, settings: Settings) -> dict[str, str]:
    """What has to be kept with a stack for `describe_drift`, beside the labels of `Expected`."""
    return {"workers": str(settings.workers), "bootstrap": _digest(prepared)}


def _digest(prepared: Prepared) -> str:
    return hashlib.sha256(prepared.bootstrap.encode()).hexdigest()


def describe_drift(context: Context, found: StackState) -> Iterator[str]:
    """A sentence for each difference that `up` and `restart` do not make good."""
    settings, labels = context.settings, found.labels or {}
    expected = parse_expected(labels)
    for port in PUBLISHED:
        asked = getattr(settings, f"{port.name}_port")
        real = found.endpoints.host[port.name].port if found.endpoints else None
        if asked not in (None, real):
            yield f"the {port.name} stays on port {real}; {REMEDY}"
    if settings.origins["module"] != "default" and expected.module != settings.module:
        yield f"the filter stays {expected.module}'s build; {REMEDY}"
    if settings.origins["workers"] != "default" and labels.get("workers") != str(settings.workers):
        yield f"Envoy stays at {labels.get('workers')} workers; {REMEDY}"
    yield from _changed_files(context, labels)


def _changed_files(context: Context, labels: Mapping[str, str]) -> Iterator[str]:
    expected = parse_expected(labels)
    try:
        prepared = prepare(context.project, dataclasses.replace(context.settings, module=expected.module))
    except SandboxError as error:
        yield f"the stack runs what was there before: {error.message}"
        return
    if prepared.resource.version != expected.version:
        yield f"{context.project.filter_yaml} or the filter's module has changed since this stack was started; {REMEDY}"
    if _digest(prepared) != labels.get("bootstrap"):
        yield f"{context.project.envoy_yaml} has changed since this stack was started; {REMEDY}"
