"""Rules about the functions that a module exports: what Envoy would call, and what follows from those that are missing."""

import difflib
from collections.abc import Iterator

from sandbox.toolchain.check.facts import Facts
from sandbox.toolchain.check.maker import GO, TINYGO
from sandbox.toolchain.check.offer import ABI_EXPORT, expected
from sandbox.toolchain.check.report import OK, REFUSED, WARNING, Finding

_CALLBACK = "proxy_on_"
_ALLOCATE = ("malloc", "proxy_on_memory_allocate")
_STREAMS = ("proxy_on_request_", "proxy_on_response_", "proxy_on_downstream_", "proxy_on_upstream_", "proxy_on_new_connection")
# What a module asks for with a host call, and in which callback it would get it.
_ANSWERS = (
    ("env.proxy_set_tick_period_milliseconds", "proxy_on_tick", "a timer that it sets will never fire"),
    ("env.proxy_http_call", "proxy_on_http_call_response", "it never sees an answer to its HTTP calls"),
    ("env.proxy_grpc_call", "proxy_on_grpc_receive", "it never sees an answer to its gRPC calls"),
    ("env.proxy_grpc_stream", "proxy_on_grpc_receive", "it never sees a message of its gRPC streams"),
    ("env.proxy_register_shared_queue", "proxy_on_queue_ready", "it never hears of an item in its queue"),
)
_TO_INIT = "move what main() registers to init(): Envoy never calls main()"


def judge_callbacks(facts: Facts) -> Iterator[Finding]:
    """All about them; the last finding lists those that Envoy will call."""
    wrong = list(_judge_signatures(facts))
    yield from wrong
    if not any(name in facts.exports for name in _ALLOCATE):
        text = "exports neither malloc nor proxy_on_memory_allocate: Envoy can hand it nothing"
        yield Finding(topic="callbacks", level=REFUSED, text=text, fix="build it with an SDK of proxy-wasm, which exports it")
    missing = list(_judge_missing(facts)) if facts.abi else []
    yield from missing
    called = called_by_envoy(facts)
    if called and not wrong:
        names = ", ".join(name.removeprefix("proxy_") for name in called)
        yield Finding(topic="callbacks", level=OK, text=f"{len(called)}: {names}")


def called_by_envoy(facts: Facts) -> tuple[str, ...]:
    """The exported callbacks that the Envoy in question knows, in their order."""
    return tuple(name for name in facts.exports if name.startswith("proxy_") and name not in _ALLOCATE and _wanted(facts, name))


def _wanted(facts: Facts, name: str) -> str | None:
    """The signature that Envoy wants; None for a function that it does not look for."""
    entries = facts.offer.callbacks.get(name, ())
    return expected(entries, facts.abi, facts.envoy) if facts.abi else None


def _judge_signatures(facts: Facts) -> Iterator[Finding]:
    for name, signature in facts.exports.items():
        if name in ("main", "__main_void") and "_initialize" not in facts.exports:
            continue
        if name == "proxy_on_memory_allocate" and "malloc" in facts.exports:
            continue
        if name == "_start" and "_initialize" in facts.exports:
            continue
        wanted = _wanted(facts, name)
        if wanted and signature and signature != wanted:
            text = f"exports {name} as ({signature}); Envoy wants ({wanted}) under ABI {facts.abi}"
            fix = f"an SDK for ABI {facts.abi}" if name.startswith(_CALLBACK) else "do not export it, or in this form"
            yield Finding(topic="callbacks", level=REFUSED, text=text, fix=fix)


def _judge_missing(facts: Facts) -> Iterator[Finding]:
    exports = facts.exports
    own = [name for name in exports if name.startswith(_CALLBACK) and name not in _ALLOCATE]
    for name in own:
        if name in facts.offer.callbacks:
            continue
        close = difflib.get_close_matches(name, facts.offer.callbacks.keys() - exports.keys(), n=1, cutoff=0.9)
        if close:
            text = f"exports {name}, which Envoy never calls"
            yield Finding(topic="callbacks", level=WARNING, text=text, fix=f"did you mean {close[0]}?")
    if not own:
        names = [name for name in exports if not name.startswith(ABI_EXPORT) and name not in _ALLOCATE]
        text = f"exports only {', '.join(names)}: Envoy has nothing to call" if names else "exports no callback"
        is_go = facts.made_by in (GO, TINYGO)
        fix = "registered in main()? move it to init()" if is_go or "_initialize" in names else "export proxy_on_…"
        yield Finding(topic="callbacks", level=WARNING, text=text, fix=fix)
        return
    if "proxy_on_context_create" not in exports:
        text = "no proxy_on_context_create: it is not told which contexts there are"
        yield Finding(topic="callbacks", level=WARNING, text=text, fix="export it, as every SDK does")
    if not any(name.startswith(_STREAMS) for name in own):
        text = "no callback for requests, responses or connections: it changes nothing of them"
        yield Finding(topic="callbacks", level=WARNING, text=text, fix="export proxy_on_request_headers, for one")
    for call, callback, consequence in _ANSWERS:
        if facts.imports(call) and callback not in exports:
            text = f"no {callback}: {consequence}"
            yield Finding(topic="callbacks", level=WARNING, text=text, fix=f"export {callback}")


def judge_registration(facts: Facts) -> Iterator[Finding]:
    """What was registered in `main()` of a reactor never is. The exports are the SDK's and look all right.

    Source: Go 1.26 and TinyGo 0.41 with the proxy-wasm Go SDK of 2026-01: Go names every function in its own tables; TinyGo drops
    what nothing calls, which is then all of the filter and all that it calls of the SDK.
    """
    if "_initialize" not in facts.exports or b"proxy-wasm-go-sdk/proxywasm" not in facts.data:
        return
    names = facts.module.section("name") or b""
    if facts.made_by == GO and b"main.init.0" not in facts.data:
        text = "package main has no init(): what it registers in main() is never registered"
    elif facts.made_by == TINYGO and b"proxywasm/internal." in names and not _has_own_code(names):
        text = "nothing of the filter's own code is left in it, as if it were registered in main()"
    else:
        return
    yield Finding(topic="callbacks", level=WARNING, text=text, fix=_TO_INIT)


def _has_own_code(names: bytes) -> bool:
    return any(trace in names for trace in (b"main.", b"proxywasm.", b"proxywasm/types."))
