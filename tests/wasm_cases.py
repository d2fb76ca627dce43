"""Small modules made by hand, right ones and bad ones, with what is to be said of them. Envoy is asked, and so is `check`."""

from dataclasses import dataclass

from tools.wasm_writer import (
    DROP,
    EXPORTS,
    FUNCTIONS,
    HEADER,
    IMPORTS,
    MEMORIES,
    MEMORY,
    ONE,
    TAG,
    TYPES,
    Function,
    Import,
    call,
    custom,
    number,
    section,
    text,
    vector,
    write_module,
)

ABI = Function(name="proxy_abi_version_0_2_1")
OLD_ABI = Function(name="proxy_abi_version_0_1_0")
MALLOC = Function(name="malloc", signature="i32 -> i32")
CREATE = Function(name="proxy_on_context_create", signature="i32 i32 -> void")
START = Function(name="proxy_on_vm_start", signature="i32 i32 -> i32", body=ONE)
CONFIGURE = Function(name="proxy_on_configure", signature="i32 i32 -> i32", body=ONE)
HEADERS = Function(name="proxy_on_request_headers", signature="i32 i32 i32 -> i32")
TICK = Function(name="proxy_on_tick", signature="i32 -> void")
LEAST = (ABI, MALLOC)
FILTER = (*LEAST, CREATE, START, CONFIGURE, HEADERS)

LOG = Import(module="env", name="proxy_log", signature="i32 i32 i32 -> i32")
SET_TICK = Import(module="env", name="proxy_set_tick_period_milliseconds", signature="i32 -> i32")
EXIT = Import(module="wasi_snapshot_preview1", name="proc_exit", signature="i32 -> void")
ADVISE = Import(module="wasi_snapshot_preview1", name="fd_advise", signature="i32 i64 i64 i32 -> i32")
GOOD = write_module(FILTER)


def producers(field: str, name: str, version: str) -> bytes:
    """A `producers` section that names one tool or language."""
    return custom("producers", vector([text(field) + vector([text(name) + text(version)])]))


def with_import(description: bytes) -> bytes:
    """The least module, with one import that is no function: `description` are its kind and type."""
    return GOOD[:8] + b"".join(
        (
            section(TYPES, vector([b"\x60\0\0", b"\x60\x01\x7f\x01\x7f"])),
            section(IMPORTS, vector([text("env") + text("thing") + description])),
            section(FUNCTIONS, vector([number(0), number(1)])),
            section(MEMORIES, vector([b"\0\x02"])),
            section(EXPORTS, vector([text(ABI.name) + b"\0\0", text("malloc") + b"\0\1", text("memory") + bytes([MEMORY, 0])])),
            section(10, vector([b"\2\0\x0b", b"\4\0\x41\0\x0b"])),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A module; `refused` is whether the Envoy that is installed refuses it, or ends over it, and `said` is part of why."""

    module: bytes
    refused: bool = True
    said: str = ""


CASES = {
    "a filter": Case(module=GOOD, refused=False),
    "the least": Case(module=write_module(LEAST), refused=False),
    "under the old ABI": Case(module=write_module([OLD_ABI, MALLOC, CREATE]), refused=False),
    "two ABIs": Case(module=write_module([*LEAST, OLD_ABI, HEADERS]), refused=False),
    "with host calls": Case(module=write_module(FILTER, [LOG, SET_TICK, EXIT]), refused=False),
    "a reactor": Case(module=write_module([*FILTER, Function(name="_initialize")]), refused=False),
    "a program that returns": Case(module=write_module([*FILTER, Function(name="_start")], [EXIT]), refused=False),
    "a program beside a reactor": Case(
        module=write_module([*FILTER, Function(name="_initialize"), Function(name="_start", signature="i32 -> void")]),
        refused=False,
    ),
    "main without a reactor": Case(module=write_module([*FILTER, Function(name="main")]), refused=False),
    "memory of 1 GiB": Case(module=write_module(FILTER, pages=16_384), refused=False),
    "an imported memory": Case(module=with_import(b"\2\0\1"), refused=False),
    "an imported table": Case(module=with_import(b"\1\x70\0\1"), refused=False),
    "producers that can't be read": Case(module=write_module(FILTER, extra=custom("producers", b"\xff")), refused=False),
    "no memory, no call": Case(module=write_module(FILTER, memory=False), refused=False),
    # no module, or half of one
    "empty": Case(module=b"", said="is empty"),
    "random bytes": Case(module=bytes(range(100, 200)), said="is no WebAssembly"),
    "text": Case(module=b"(module)", said="is Wasm's text format"),
    "a component": Case(module=b"\0asm\x0d\0\1\0", said="is a component"),
    "another version": Case(module=b"\0asm\2\0\0\0", said="has version 2"),
    "the magic alone": Case(module=HEADER[:4], said="is cut off after 4 bytes"),
    "cut off in a section": Case(module=GOOD[:-3], said="is cut off: its code section"),
    "cut off before the code": Case(module=GOOD[: GOOD.index(b"memory\x02\0") + 8], said="is cut off: it announces 6 functions"),
    "a byte too many": Case(module=GOOD + b"\0", said="is cut off"),
    "an unknown section": Case(module=GOOD + section(60, b""), said="is no section, but 60"),
    "sections in a wrong order": Case(module=GOOD + section(TYPES, vector([])), said="is not where it belongs"),
    "names that can't be read": Case(module=GOOD + custom("name", b"\1\2\1\0"), said="is damaged: its name section"),
    "a name exported twice": Case(module=write_module([*FILTER, MALLOC]), said="exports malloc twice"),
    "an export of nothing": Case(module=write_module(FILTER, other_exports=[("f", 0, 99)]), said="as function 99 of 6"),
    # no filter
    "a header": Case(module=HEADER, said="says no proxy-wasm ABI"),
    "no ABI": Case(module=write_module([MALLOC, CREATE]), said="says no proxy-wasm ABI"),
    "an ABI to come": Case(
        module=write_module([MALLOC, Function(name="proxy_abi_version_0_3_0")]), said="0.3.0; Envoy knows 0.1.0"
    ),
    "an ABI that is a memory": Case(
        module=write_module([MALLOC], other_exports=[(ABI.name, MEMORY, 0)]), said="says no proxy-wasm"
    ),
    "no malloc": Case(module=write_module([ABI, CREATE]), said="exports neither malloc nor"),
    # exports and imports that do not fit
    "a callback in another form": Case(
        module=write_module([*FILTER, Function(name="proxy_on_tick")]), said="proxy_on_tick as (void"
    ),
    "headers of the old ABI": Case(
        module=write_module([*LEAST, Function(name=HEADERS.name, signature="i32 i32 -> i32")]), said="under ABI 0.2.1"
    ),
    "malloc in another form": Case(module=write_module([ABI, Function(name="malloc")]), said="exports malloc as (void -> void)"),
    "main of a reactor in another form": Case(
        module=write_module([*FILTER, Function(name="_initialize"), Function(name="main")]), said="exports main as"
    ),
    "an unknown host call": Case(
        module=write_module(FILTER, [Import(module="env", name="proxy_dance")]), said="env.proxy_dance, which Envoy"
    ),
    "a host call of the old ABI": Case(
        module=write_module(FILTER, [Import(module="env", name="proxy_continue_request", signature="void -> i32")]),
        said="under ABI 0.2.1, but under 0.1.0",
    ),
    "a host call of a browser": Case(
        module=write_module(FILTER, [Import(module="gojs", name="runtime.now")]), said="for a browser"
    ),
    "a host call in another form": Case(
        module=write_module(FILTER, [Import(module="env", name="proxy_log")]),
        said="imports env.proxy_log as (void -> void); Envoy has it as (i32 i32 i32 -> i32)",
    ),
    "an imported variable": Case(module=with_import(b"\3\x7f\0"), said="imports the variable env.thing"),
    "an imported exception": Case(module=with_import(bytes([TAG]) + b"\0\0"), said="imports the exception env.thing"),
    # what would go wrong at once
    "memory of more than 1 GiB": Case(module=write_module(FILTER, pages=16_385), said="begins with 1.0 GiB"),
    "no memory, and a call": Case(
        module=write_module([*FILTER, Function(name="_initialize", body=call(0, 2, 0, 5) + DROP)], [LOG], memory=False),
        said="shows Envoy no memory: the first host call",
    ),
    "Go's program": Case(
        module=write_module([*FILTER, Function(name="_start", body=call(0, 0))], [EXIT])
        + producers("processed-by", "Go cmd/compile", "go1.26.6"),
        said="its _start ends in proc_exit",
    ),
    "TinyGo's program": Case(
        module=write_module([*FILTER, Function(name="_start", body=call(0, 0))], [EXIT])
        + producers("processed-by", "TinyGo", "0.41.1"),
        said="its _start ends in proc_exit",
    ),
}
