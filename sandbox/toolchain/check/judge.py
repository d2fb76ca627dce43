"""Judge a module: what it is, and whether Envoy would take it. Pure, in about a millisecond, and right as far as can be seen.

What code does when it runs nobody sees here: a module that traps, refuses its configuration or has invalid instructions is
only found by Envoy.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from sandbox.toolchain.check.callbacks import called_by_envoy, judge_callbacks, judge_registration
from sandbox.toolchain.check.calls import judge_calls, list_calls
from sandbox.toolchain.check.facts import Facts, read_facts
from sandbox.toolchain.check.module import read_module
from sandbox.toolchain.check.reader import Kind, WasmError
from sandbox.toolchain.check.report import OK, REFUSED, Finding, ModuleReport, worst
from sandbox.toolchain.check.shape import judge_abi, judge_load, judge_memory, judge_start

Rule = Callable[[Facts], Iterator[Finding]]
_OF_MODULES: tuple[Rule, ...] = (judge_abi, judge_start, judge_registration, judge_memory, judge_load)
_OF_VERSIONS: tuple[Rule, ...] = (judge_callbacks, judge_calls)
"""Those that can say one thing of one Envoy and another of another."""

_FIXES: dict[Kind, str] = {
    "foreign": "give the .wasm file that the compiler wrote",
    "component": "build a core module: wasm32-wasip1 in place of wasm32-wasip2",
    "version": "build it with a compiler of today",
    "truncated": "build or copy it again",
    "malformed": "build or copy it again",
}


def judge(data: bytes, envoy: str) -> ModuleReport:
    """Judge the bytes of a file for a measured version of Envoy, as in `1.40`."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        module = read_module(data)
    except WasmError as error:
        return _no_module(data, envoy, sha256, error)
    facts = read_facts(module, data, envoy)
    toolchain = " ".join(facts.maker).strip() if facts.maker else None
    begin = [Finding(topic="format", level=OK, text=f"WebAssembly, {len(data):,} bytes, SHA-256 {sha256[:12]}")]
    if toolchain:
        begin.append(Finding(topic="made by", level=OK, text=toolchain))
    of_module, of_version = _apply(_OF_MODULES, facts), _apply(_OF_VERSIONS, facts)
    return ModuleReport(
        level=worst([*of_module, *of_version]),
        envoy=envoy,
        accepted_by=() if worst(of_module) == REFUSED else _accepting(facts),
        size_bytes=len(data),
        sha256=sha256,
        abi=facts.abi,
        toolchain=toolchain,
        code_bytes=module.code_bytes,
        load_s=round(facts.load_s, 2),
        callbacks=called_by_envoy(facts),
        host_calls=list_calls(facts),
        findings=(*begin, *of_module, *of_version),
    )


def _no_module(data: bytes, envoy: str, sha256: str, error: WasmError) -> ModuleReport:
    return ModuleReport(
        level=REFUSED,
        envoy=envoy,
        accepted_by=(),
        size_bytes=len(data),
        sha256=sha256,
        abi=None,
        toolchain=None,
        code_bytes=0,
        load_s=None,
        callbacks=(),
        host_calls=(),
        findings=(Finding(topic="format", level=REFUSED, text=error.text, fix=_FIXES[error.kind]),),
    )


def _apply(rules: tuple[Rule, ...], facts: Facts) -> list[Finding]:
    return [finding for rule in rules for finding in rule(facts)]


def _accepting(facts: Facts) -> tuple[str, ...]:
    """The measured versions in which nothing speaks against the module."""
    versions = facts.offer.envoys
    return tuple(envoy for envoy in versions if worst(_apply(_OF_VERSIONS, replace(facts, envoy=envoy))) != REFUSED)
