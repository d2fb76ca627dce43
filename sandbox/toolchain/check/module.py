"""A Wasm module as its sections have it: read without looking into the code, as strictly as Envoy and V8 read the same."""

from dataclasses import dataclass, field

from sandbox.toolchain.check.reader import Reader, WasmError
from sandbox.toolchain.check.sections import (
    read_code,
    read_exports,
    read_functions,
    read_imports,
    read_limits,
    read_names,
    read_types,
)

MAGIC = b"\0asm"
_VERSION = b"\x01\0\0\0"
_COMPONENT = b"\x0d\0\x01\0"
_HEADER_BYTES = 8

# In the order that they must have. Source: WebAssembly 3.0, binary format, modules.
_SECTIONS = {
    1: "type section",
    2: "import section",
    3: "function section",
    4: "table section",
    5: "memory section",
    13: "tag section",
    6: "global section",
    7: "export section",
    8: "start section",
    9: "element section",
    12: "data count section",
    10: "code section",
    11: "data section",
}
_PLACES = {number: place for place, number in enumerate(_SECTIONS)}
_CUSTOM = 0

_FOREIGN = (
    (b"\x7fELF", "is a program of this machine"),
    (b"\x1f\x8b", "is compressed by gzip"),
    (b"PK\x03\x04", "is a zip archive"),
    (b"BC\xc0\xde", "is LLVM bitcode, not linked"),
    (b"!<arch>", "is an archive of object files"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself"),
    (b"(module", "is Wasm's text format"),
    (b"<", "is a page of HTML or XML"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Something the module wants from its host: `func`, `table`, `memory`, `global` or `tag`.

    `signature` is written as Envoy writes it, `i32 i64 -> i32`; None for what is no function, or has a type that is not read.
    """

    module: str
    name: str
    kind: str
    signature: str | None = None

    @property
    def full_name(self) -> str:
        """Module and name, as Envoy writes them."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Something the module shows its host; as `Import`."""

    name: str
    kind: str
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A whole module. `memory_pages` are those that its memory begins with, 64 KiB each; None: it has no memory.

    `custom` are the custom sections in order, names doubled where they are.
    """

    size_bytes: int
    code_bytes: int
    functions: int
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    memory_pages: int | None
    memory_imported: bool
    has_start: bool
    custom: tuple[tuple[str, bytes], ...] = field(repr=False)

    def section(self, name: str) -> bytes | None:
        """The first custom section of that name, which is the one that counts."""
        return next((content for own, content in self.custom if own == name), None)


def read_module(data: bytes) -> Module:
    """Read a module from the bytes of its file.

    Raises: WasmError, and nothing else, whatever the bytes are.
    """
    _check_header(data)
    parts, custom = _split(data)

    def part(number: int) -> Reader:
        return parts.get(number) or Reader(b"\0", 0, 1, _SECTIONS[number])  # an empty vector

    types = read_types(part(1))
    imports = read_imports(part(2), types)
    functions = read_functions(part(3), len(types))
    code = part(10)
    code_bytes = code.left if 10 in parts else 0
    if functions and 10 not in parts:
        raise WasmError("truncated", f"is cut off: it announces {len(functions):,} functions and has the code of none")
    read_code(code, len(functions))
    exported = read_exports(part(7))
    imported = [Import(module=module, name=name, kind=kind, signature=signature) for module, name, kind, signature, _ in imports]
    signatures = [item.signature for item in imported if item.kind == "func"]
    known = len(signatures)
    total = known + len(functions)
    for name, kind, index in exported:
        if kind == "func" and index >= total:
            raise part(7).malformed(f"exports {name} as function {index:,} of {total:,}")
    start = parts.get(8)
    if start and start.number() >= total:
        raise start.malformed("names a function that is not there")
    pages = [limit for *_, kind, _, limit in imports if kind == "memory"]
    own_pages = _memories(part(5))
    return Module(
        size_bytes=len(data),
        code_bytes=code_bytes,
        functions=len(functions),
        imports=tuple(imported),
        exports=tuple(
            Export(
                name=name,
                kind=kind,
                signature=None if kind != "func" else (signatures[index] if index < known else types[functions[index - known]]),
            )
            for name, kind, index in exported
        ),
        memory_pages=next(iter([*pages, *own_pages]), None),
        memory_imported=bool(pages),
        has_start=start is not None,
        custom=tuple(custom),
    )


def _check_header(data: bytes) -> None:
    if not data:
        raise WasmError("foreign", "is empty")
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            raise WasmError("truncated", f"is cut off after {len(data)} bytes")
        start = data[:64].lstrip()
        what = next((what for begin, what in _FOREIGN if start.startswith(begin)), "")
        raise WasmError("foreign", f"{what or 'is no WebAssembly'}: it begins with {data[:8]!r}, not {MAGIC!r}")
    version = data[len(MAGIC) : _HEADER_BYTES]
    if len(version) < len(_VERSION):
        raise WasmError("truncated", f"is cut off after {len(data)} bytes")
    if version == _COMPONENT:
        raise WasmError("component", "is a component (WASI 0.2), no core module")
    if version != _VERSION:
        raise WasmError("version", f"has version {int.from_bytes(version, 'little')} of the format; Envoy knows version 1")


def _split(data: bytes) -> tuple[dict[int, Reader], list[tuple[str, bytes]]]:
    """The sections by number, and the custom ones."""
    file = Reader(data, _HEADER_BYTES, len(data), "list of sections")
    parts: dict[int, Reader] = {}
    custom: list[tuple[str, bytes]] = []
    place = -1
    while file.left:
        begin = file.at
        number = file.byte()
        name = "custom section" if number == _CUSTOM else _SECTIONS.get(number, "")
        if not name:
            raise WasmError("malformed", f"is damaged: at byte {begin:,} is no section, but {number}")
        try:
            size = file.number()
        except WasmError:
            if file.left or (file.at > begin + 1 and data[-1] < 0x80):
                raise
            raise WasmError("truncated", f"is cut off: its {name}, at byte {begin:,}, has not even a size") from None
        if size > file.left:
            have = f"its {name}, at byte {begin:,}, should have {size:,} bytes, and {file.left:,} are left"
            raise WasmError("truncated", f"is cut off: {have}")
        part = file.part(size, name)
        if number == _CUSTOM:
            own = part.text()
            content = part.taken(part.left)
            if own == "name":
                read_names(Reader(content, 0, len(content), "name section"))
            custom.append((own, content))
            continue
        if _PLACES[number] <= place:
            raise WasmError("malformed", f"is damaged: its {name}, at byte {begin:,}, is not where it belongs")
        place = _PLACES[number]
        parts[number] = part
    return parts, custom


def _memories(part: Reader) -> list[int]:
    pages = [read_limits(part) for _ in range(part.count(most=100))]
    part.expect_end()
    return pages
