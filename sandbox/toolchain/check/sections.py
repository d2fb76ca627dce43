"""What is in each section of a Wasm module that matters to a host: a function for each, which reads the whole of it."""

from sandbox.toolchain.check.reader import Reader

MOST_ITEMS = 100_000
"""Of types, imports and exports. Go's largest modules have some hundreds."""
MOST_FUNCTIONS = 1_000_000
"""Source: V8, kV8MaxWasmFunctions."""

_FUNCTION = 0x60
_VALUES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
_LONG_REFERENCES = (0x63, 0x64)
_KINDS = ("func", "table", "memory", "global", "tag")


def read_types(part: Reader) -> list[str | None]:
    """The signature of each type; None for one that is no plain function, and for all behind it."""
    count = part.count(MOST_ITEMS)
    types: list[str | None] = []
    for _ in range(count):
        if part.byte() != _FUNCTION:
            break
        params, results = _values(part), _values(part)
        types.append(None if params is None or results is None else f"{params} -> {results}")
    else:
        part.expect_end()
    return [*types, *[None] * (count - len(types))]


def _values(part: Reader) -> str | None:
    words = [_value(part) for _ in range(part.count(MOST_ITEMS))]
    known = [word for word in words if word]
    return (" ".join(known) or "void") if len(known) == len(words) else None


def _value(part: Reader) -> str | None:
    """A type of a value; None for one that no proxy-wasm function has."""
    byte = part.byte()
    if byte in _LONG_REFERENCES:
        part.number(bits=35)  # signed, but only its length matters
    return _VALUES.get(byte)


def read_imports(part: Reader, types: list[str | None]) -> list[tuple[str, str, str, str | None, int]]:
    """Module, name, kind, signature, and of a memory the pages that it begins with."""
    imports = []
    for _ in range(part.count(MOST_ITEMS)):
        module, name, kind = part.text(), part.text(), _kind(part)
        signature, pages = None, 0
        if kind == "func":
            number = part.number()
            if number >= len(types):
                raise part.malformed(f"has {module}.{name} of a type that is not there")
            signature = types[number]
        elif kind == "table":
            _value(part)
            read_limits(part)
        elif kind == "memory":
            pages = read_limits(part)
        elif kind == "global":
            _value(part)
            part.byte()
        else:
            part.byte()
            part.number()
        imports.append((module, name, kind, signature, pages))
    part.expect_end()
    return imports


def _kind(part: Reader) -> str:
    number = part.byte()
    if number >= len(_KINDS):
        raise part.malformed(f"has something of the unknown kind {number}")
    return _KINDS[number]


def read_limits(part: Reader) -> int:
    """The least size of a memory or a table."""
    flags = part.byte()
    if flags > 0x0F:
        raise part.malformed(f"has limits of the unknown form {flags}")
    least = part.number(bits=64)
    if flags & 0x01:
        part.number(bits=64)
    if flags & 0x08:
        part.number()
    return least


def read_functions(part: Reader, types: int) -> "bytes | list[int]":
    """The type of each function."""
    count = part.count(MOST_FUNCTIONS)
    kinds: bytes | list[int]
    if part.left == count and max(part.data[part.at : part.end], default=0) < 0x80:
        kinds = part.taken(count)  # a byte each: nearly always, and much faster
    else:
        kinds = [part.number() for _ in range(count)]
    part.expect_end()
    if max(kinds, default=-1) >= types:
        raise part.malformed("has a function of a type that is not there")
    return kinds


def read_exports(part: Reader) -> list[tuple[str, str, int]]:
    """Name, kind and number of each."""
    exports = []
    names = set()
    for _ in range(part.count(MOST_ITEMS)):
        name, kind, number = part.text(), _kind(part), part.number()
        if name in names:
            raise part.malformed(f"exports {name} twice")
        names.add(name)
        exports.append((name, kind, number))
    part.expect_end()
    return exports


def read_code(part: Reader, functions: int) -> None:
    """See that the bodies are as many as the functions and fill the section; what is in them only a compiler can judge."""
    if part.count(MOST_FUNCTIONS) != functions:
        raise part.malformed(f"has not the code of {functions:,} functions")
    data, at, end = part.data, part.at, part.end
    for _ in range(functions):  # by hand: a method call for each of thousands would be half of all the time
        size = shift = 0
        while True:
            if at >= end or shift > 28:
                part.at = at
                raise part.malformed("ends within a function")
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        at += size
    part.at = min(at, end)
    if at > end:
        raise part.malformed("ends within a function")
    part.expect_end()


def read_names(part: Reader) -> None:
    """See that Envoy can read the names of functions, which it does itself and refuses a module over.

    Source: proxy-wasm-cpp-host, src/bytecode_util.cc, getFunctionNameIndex.
    """
    while part.left:
        kind = part.byte()
        names = part.part(part.number(), "name section")
        if kind != 1:
            continue
        for _ in range(names.count(MOST_FUNCTIONS)):
            names.number()
            names.taken(names.number())
        names.expect_end()
