"""Run the checks: all at the same time, within one limit, whatever one of them does. Knows none of them by name."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

from sandbox.errors import SandboxError
from sandbox.events.status import Check
from sandbox.session.doctor.base import FAILED, CheckFunction, name_of
from sandbox.session.doctor.checks import CHECKS
from sandbox.session.doctor.facts import Facts, read_facts
from sandbox.session.doctor.redaction import redact_report
from sandbox.wait import Deadline

LIMIT_S = 6.0
"""For all checks together; each has shorter limits of its own."""


def run_doctor() -> Iterator[Check]:
    """Run all checks at the same time and yield them in their order. A check that crashes, or hangs, is a failed one."""
    facts = read_facts()
    deadline = Deadline(LIMIT_S)
    running = [(name_of(check), _start(check, facts)) for check in CHECKS]
    for name, answer in running:
        try:
            found = _settle(name, answer.get(timeout=deadline.remaining_s))
            yield replace(found, detail=redact_report(found.detail), fix=redact_report(found.fix))
        except queue.Empty:
            yield Check(name=name, state=FAILED, detail=f"no answer within {LIMIT_S:g} s", fix="sandbox doctor")


def _start(check: CheckFunction, facts: Facts) -> "queue.SimpleQueue[Check | Exception]":
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
