"""Write tiny Wasm modules, right and wrong ones, without a compiler. Knows the format and nothing of proxy-wasm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADER = b"\0asm\x01\0\0\0"
TYPES, IMPORTS, FUNCTIONS, TABLES, MEMORIES, GLOBALS, EXPORTS, START, ELEMENTS, CODE, DATA, DATA_COUNT = range(1, 13)
FUNCTION, TABLE, MEMORY, GLOBAL, TAG = range(5)
_VALUES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the module, by its export's name; not exported where that is empty.

    `signature` is as Envoy prints it: `i32 i64 -> i32`, `void -> void`. `body` is its instructions without the last `end`;
    none: it answers zeros.
    """

    name: str
    signature: str = "void -> void"
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A function that the module wants from its host."""

    module: str
    name: str
    signature: str = "void -> void"


def write_module(
    functions: Sequence[Function] = (),
    imports: Sequence[Import] = (),
    *,
    memory: bool = True,
    pages: int = 2,
    start: int | None = None,
    other_exports: Iterable[tuple[str, int, int]] = (),
    extra: bytes = b"",
) -> bytes:
    """A module; functions are numbered with the imported ones first.

    `pages` are those of its memory, `start` is the number of the function to run at once, `other_exports` are names with kind
    and number, `extra` are bytes after the last section.
    """
    wanted = [*(item.signature for item in imports), *(item.signature for item in functions)]
    types = list(dict.fromkeys(wanted))
    exported = [(item.name, FUNCTION, len(imports) + at) for at, item in enumerate(functions) if item.name]
    exported += [("memory", MEMORY, 0)] if memory else []
    exported += other_exports
    return b"".join(
        (
            HEADER,
            section(TYPES, vector(_signature(item) for item in types)),
            section(
                IMPORTS,
                vector(
                    text(item.module) + text(item.name) + bytes([FUNCTION]) + number(types.index(item.signature))
                    for item in imports
                ),
            ),
            section(FUNCTIONS, vector(number(types.index(item.signature)) for item in functions)),
            section(MEMORIES, vector([b"\0" + number(pages)])) if memory else b"",
            section(EXPORTS, vector(text(name) + bytes([kind]) + number(at) for name, kind, at in exported)),
            section(START, number(start)) if start is not None else b"",
            section(CODE, vector(_code(item) for item in functions)),
            extra,
        )
    )


def section(number_: int, content: bytes) -> bytes:
    """A section by its number, 0 for a custom one."""
    return bytes([number_]) + number(len(content)) + content


def custom(name: str, content: bytes) -> bytes:
    """A custom section."""
    return section(0, text(name) + content)


def number(value: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def text(value: str) -> bytes:
    """A name: its length, then UTF-8."""
    return number(len(value.encode())) + value.encode()


def vector(items: Iterable[bytes]) -> bytes:
    """How many, then one after the other."""
    items = list(items)
    return number(len(items)) + b"".join(items)


def call(function: int, *arguments: int) -> bytes:
    """Instructions: call it with these i32 constants, each below 64; what it returns stays on the stack."""
    return b"".join(b"\x41" + bytes([value]) for value in arguments) + b"\x10" + number(function)


DROP = b"\x1a"
TRAP = b"\0"
ONE = b"\x41\x01"
"""Instructions: push 1, which is true to those who ask for an answer."""


def _split(signature: str) -> tuple[list[str], list[str]]:
    params, _, results = signature.partition(" -> ")
    return [word for word in params.split() if word != "void"], [word for word in results.split() if word != "void"]


def _signature(signature: str) -> bytes:
    return b"\x60" + b"".join(vector(bytes([_VALUES[word]]) for word in side) for side in _split(signature))


_ZERO = {"i32": b"\x41\0", "i64": b"\x42\0", "f32": b"\x43" + bytes(4), "f64": b"\x44" + bytes(8)}


def _code(function: Function) -> bytes:
    body = function.body
    if body is None:
        body = b"".join(_ZERO[word] for word in _split(function.signature)[1])
    content = number(0) + body + b"\x0b"
    return number(len(content)) + content
