"""Why Docker failed, in our words and with the way on, from what it said. No I/O."""

import re
from collections.abc import Sequence

from sandbox.engines.docker.compose.failure_rules import BUILD_RULES, PORT, RULES, Rule
from sandbox.engines.docker.compose.heard import Heard
from sandbox.errors import SandboxError, StackError

TAIL_LINES = 20
BUILD_HINT = "mend what it names; to see it whole: docker compose build"
GENERAL_HINT = "sandbox doctor, or sandbox up --engine local"


def explain(lines: Sequence[str], *, doing: str) -> SandboxError:
    """The error that these lines of `docker compose`, or of the engine, mean. `doing` is a verb: Docker could not …"""
    heard = Heard(lines)
    if found := _first(RULES, heard.reason):
        return _apply(*found, heard)
    if heard.culprit:
        return _explain_build(heard)
    said = [line.strip() for line in heard.reason.splitlines() if line.strip()]
    last = said[-1] if said else "it does not say why"
    return StackError(f"Docker could not {doing}: {last}", details=_tail(heard.reason), hint=GENERAL_HINT)


def taken_port(lines: Sequence[str]) -> int | None:
    """The published port that somebody else has, if that is why it failed."""
    found = PORT.search(Heard(lines).reason)
    return int(found["port"]) if found else None


def _first(rules: Sequence[Rule], text: str) -> tuple[Rule, re.Match[str]] | None:
    return next(((rule, found) for rule in rules if (found := rule.pattern.search(text))), None)


def _apply(rule: Rule, found: re.Match[str], heard: Heard) -> SandboxError:
    names = {name.rstrip("0123456789"): value.strip() for name, value in found.groupdict().items() if value}
    names.setdefault("image", heard.image)
    return rule.kind(rule.says.format_map(names), details=_tail(heard.reason), hint=rule.hint.format_map(names))


def _explain_build(heard: Heard) -> SandboxError:
    details = _tail(heard.output) or _tail(heard.reason)
    if found := _first(BUILD_RULES, heard.output):
        why = _apply(*found, heard)
        return type(why)(f"building {heard.built} failed: {why.message}", details=details, hint=why.hint)
    return StackError(f"building {heard.built} failed at {heard.culprit}", details=details, hint=BUILD_HINT)


def _tail(text: str) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-TAIL_LINES:])
