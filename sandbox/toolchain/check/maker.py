"""Which compiler made a module: from its `producers` section, and where that was stripped, from what compilers leave behind."""

import contextlib
import re

from sandbox.toolchain.check.module import Module
from sandbox.toolchain.check.reader import Reader, WasmError

GO = "Go"
TINYGO = "TinyGo"
RUST = "Rust"
ASSEMBLYSCRIPT = "AssemblyScript"
_TOOLS = {"TinyGo": TINYGO, "Go cmd/compile": GO, "rustc": RUST}
"""By their names in `processed-by`, the more telling ones first: TinyGo and Rust name clang, too, or LLVM."""

_MOST = 1000
_GO_BUILD = re.compile(rb"Go buildinf:.{0,64}?go(\d+\.\d+[\w.]*)", re.DOTALL)
_TRACES = (
    (TINYGO, b"//go:wasmexport function called before runtime initialization"),
    (TINYGO, b"tinygo_"),
    (GO, b"Go buildinf:"),
    (RUST, b"/rustc/"),
    (ASSEMBLYSCRIPT, "~lib/rt".encode("utf-16-le")),
)


def find_maker(module: Module, data: bytes) -> tuple[str, str] | None:
    """The compiler and its version, which may be empty."""
    fields = read_producers(module.section("producers") or b"")
    tools = dict(fields.get("processed-by", ()))
    for tool, name in _TOOLS.items():
        if tool in tools:
            return name, tools[tool].removeprefix("go").split(" ")[0]
    if tools:
        return next(iter(tools.items()))
    if any(item.full_name == "env.abort" for item in module.imports):
        return ASSEMBLYSCRIPT, ""
    trace = next((name for name, trace in _TRACES if trace in data), None)
    version = _GO_BUILD.search(data) if trace == GO else None
    return (trace, version[1].decode() if version else "") if trace else None


def read_producers(content: bytes) -> dict[str, list[tuple[str, str]]]:
    """The fields with their names and versions; as many as can be read.

    Source: WebAssembly/tool-conventions, ProducersSection.md.
    """
    reader = Reader(content, 0, len(content), "producers section")
    fields: dict[str, list[tuple[str, str]]] = {}
    with contextlib.suppress(WasmError):
        for _ in range(reader.count(_MOST)):
            values = fields.setdefault(reader.text(), [])
            for _ in range(reader.count(_MOST)):
                values.append((reader.text(), reader.text()))
    return fields
