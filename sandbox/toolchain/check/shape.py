"""Rules about a module as such: its ABI, how it is started, its memory, how long it takes to load."""

import re
from collections.abc import Iterator

from sandbox.toolchain.check.facts import Facts
from sandbox.toolchain.check.maker import ASSEMBLYSCRIPT, GO, RUST, TINYGO
from sandbox.toolchain.check.offer import ABI_EXPORT, ABIS
from sandbox.toolchain.check.report import OK, REFUSED, WARNING, Finding

MAX_MEMORY_PAGES = 16_384
"""Of 64 KiB: 1 GiB. Source: seen at Envoy 1.40; one more is `Failed to create new Wasm instance`."""
LONG_LOAD_S = 5.0
TINYGO_EXITS = (0, 41)
_SDKS = "https://github.com/proxy-wasm/spec#sdks"
_REACTORS = {
    GO: "go build -buildmode=c-shared, and registration in init()",
    TINYGO: "tinygo build -target=wasip1 -buildmode=c-shared, and registration in init()",
    RUST: 'crate-type = ["cdylib"], and registration in _initialize (the macro proxy_wasm::main!)',
    ASSEMBLYSCRIPT: "asc --exportStart _initialize",
}
_REACTOR = "clang -mexec-model=reactor, or the like of your compiler"


def judge_abi(facts: Facts) -> Iterator[Finding]:
    """The module has to say which ABI it speaks."""
    if facts.abi:
        yield Finding(topic="ABI", level=OK, text=f"proxy-wasm {facts.abi}")
        return
    said = [name for name in facts.exports if name.startswith(ABI_EXPORT)]
    if said:
        others = ", ".join(name.removeprefix(ABI_EXPORT).replace("_", ".") for name in said)
        text = f"speaks proxy-wasm {others}; Envoy knows {', '.join(ABIS)}"
    elif facts.module.section("linking") is not None:
        text = "says no proxy-wasm ABI: it is an object file, not linked"
    else:
        text = f"says no proxy-wasm ABI: it exports no function {ABI_EXPORT}…"
    yield Finding(topic="ABI", level=REFUSED, text=text, fix=f"build it with an SDK of proxy-wasm: {_SDKS}")


def judge_start(facts: Facts) -> Iterator[Finding]:
    """Envoy calls `_initialize`, else `_start`, and meanwhile refuses `proc_exit`; a start section it does not know of."""
    module, exports = facts.module, facts.exports
    fix = _REACTORS.get(facts.made_by, _REACTOR)
    if module.has_start and any(item.kind == "func" for item in module.imports) and not module.memory_imported:
        text = "has a start section, which runs before Envoy knows the memory: a host call from there ends Envoy itself"
        yield Finding(topic="start", level=WARNING, text=text, fix=_REACTORS[ASSEMBLYSCRIPT])
    if "_initialize" in exports:
        yield Finding(topic="start", level=OK, text="a reactor: Envoy calls _initialize")
    elif "_start" in exports:
        exits = facts.imports("wasi_snapshot_preview1.proc_exit") or facts.imports("wasi_unstable.proc_exit")
        if exits and _ends_in_exit(facts):
            text = "a program: its _start ends in proc_exit, which Envoy refuses (restricted_callback)"
            yield Finding(topic="start", level=REFUSED, text=text, fix=fix)
        elif exits:
            text = "a program: if its _start ends in proc_exit, Envoy refuses it (restricted_callback)"
            yield Finding(topic="start", level=WARNING, text=text, fix=fix)
        else:
            yield Finding(topic="start", level=OK, text="a program: Envoy calls _start")
    elif facts.maker and not module.has_start:
        text = "exports neither _initialize nor _start: nothing sets its variables before the first callback"
        yield Finding(topic="start", level=WARNING, text=text, fix=fix)


def _ends_in_exit(facts: Facts) -> bool:
    """Whether that compiler has every program call `proc_exit` at its end: Go always, TinyGo since some version before 0.41.

    Source: seen with Go 1.26 and TinyGo 0.41; TinyGo 0.31 does not.
    """
    name, version = facts.maker or ("", "")
    major_minor = re.match(r"(\d+)\.(\d+)", version)
    return name == GO or (
        name == TINYGO and major_minor is not None and (int(major_minor[1]), int(major_minor[2])) >= TINYGO_EXITS
    )


def judge_memory(facts: Facts) -> Iterator[Finding]:
    """Envoy and module talk through the module's memory."""
    module = facts.module
    pages = module.memory_pages
    calls = any(item.kind == "func" for item in module.imports)
    if pages is None or not (module.memory_imported or any(item.kind == "memory" for item in module.exports)):
        text = "shows Envoy no memory" + (": the first host call would end Envoy itself" if calls else "")
        yield Finding(topic="memory", level=REFUSED if calls else WARNING, text=text, fix="export it under the name of memory")
    elif pages > MAX_MEMORY_PAGES:
        text = f"begins with {pages * 65_536 / (1 << 30):.1f} GiB of memory; Envoy gives at most 1"
        yield Finding(topic="memory", level=REFUSED, text=text, fix="lower the initial memory in the linker's flags")


def judge_load(facts: Facts) -> Iterator[Finding]:
    """Envoy compiles on its main thread, traffic goes on meanwhile."""
    text = f"Envoy compiles it in about {facts.load_s:.1g} s ({facts.module.code_bytes:,} bytes of code)"
    if facts.load_s < LONG_LOAD_S:
        yield Finding(topic="load time", level=OK, text=text)
    else:
        fix = "leave out what brings much code, as fmt and encoding/json do" if facts.made_by == GO else "optimize for size"
        yield Finding(topic="load time", level=WARNING, text=f"{text}, and its admin does not answer meanwhile", fix=fix)
