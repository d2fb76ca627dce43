"""Reading Wasm: what is in a module, what can be wrong with one, and that no bytes whatever do any harm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasm_cases import EXIT, FILTER, GOOD, LOG, producers

from sandbox.toolchain.check.judge import judge
from sandbox.toolchain.check.maker import find_maker
from sandbox.toolchain.check.module import Module, read_module
from sandbox.toolchain.check.reader import WasmError
from sandbox.workspace import HOME, Project
from tools.wasm_writer import CODE, EXPORTS, HEADER, TYPES, Function, Import, custom, number, section, text, vector, write_module

TINYGO = Project(root=HOME).module("tinygo").read_bytes()


def test_what_is_in_a_module():
    wide = Import(module="env", name="f", signature="i64 f32 f64 -> void")
    data = write_module([*FILTER, Function(name="")], [LOG, wide], pages=3, start=8, extra=custom("hello", b"world"))
    module = read_module(data)
    assert [(item.full_name, item.kind, item.signature) for item in module.imports] == [
        ("env.proxy_log", "func", "i32 i32 i32 -> i32"),
        ("env.f", "func", "i64 f32 f64 -> void"),
    ]
    assert [(item.name, item.kind, item.signature) for item in module.exports][-2:] == [
        ("proxy_on_request_headers", "func", "i32 i32 i32 -> i32"),
        ("memory", "memory", None),
    ]
    assert (module.functions, module.memory_pages, module.memory_imported, module.has_start) == (7, 3, False, True)
    assert module.section("hello") == b"world"
    assert module.section("hullo") is None


def test_an_import_that_is_exported_again_has_its_signature():
    module = read_module(write_module(imports=[LOG], other_exports=[("log", 0, 0)]))
    assert module.exports[-1].signature == "i32 i32 i32 -> i32"


def test_types_that_no_filter_needs_are_not_in_the_way():
    structure = b"\x5f\x01\x7f\0"
    content = vector([b"\x60\0\0", b"\x60\1\x64\1\1\x63\x70", structure, b"\x60\0\0"])
    functions = section(3, vector([b"\0", b"\1", b"\3"]))
    exports = section(EXPORTS, vector(text(name) + bytes([0, at]) for at, name in enumerate("abc")))
    bodies = section(CODE, vector([b"\2\0\x0b"] * 3))
    module = read_module(HEADER + section(TYPES, content) + functions + exports + bodies)
    assert [item.signature for item in module.exports] == ["void -> void", None, None]


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_a_module_that_is_cut_off_anywhere(size: int):
    """At the border of two sections it can be a module of its own, which then is no filter."""
    try:
        module = read_module(GOOD[:size])
    except WasmError as error:
        assert error.kind == ("foreign" if size == 0 else "truncated")
        assert "is empty" in error.text or "is cut off" in error.text
    else:
        assert module.functions == 0
        assert judge(GOOD[:size], "1.40").level == "refused"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x7fELF\2\1\1", "is a program of this machine: it begins with b'\\x7fELF"),
        (b"\x1f\x8b\x08", "is compressed by gzip"),
        (b"\n<!doctype html>", "is a page of HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        (HEADER + b"\1\x80\x80\x80\x80\x10", "its list of sections, at byte 14, has a number that is too large"),
        (HEADER + b"\1\x80\x80\x80\x80\x80\0", "has a number that is too long"),
        (HEADER + section(TYPES, number(200_000) + bytes(200_000)), "has 200,000 items; at most 100,000 are read"),
        (HEADER + section(TYPES, number(7)), "announces 7 items and has 0 bytes"),
        (HEADER + section(TYPES, vector([b"\x60\0\0"]) + b"\0"), "its type section, at byte 14, has 1 bytes too many"),
        (HEADER + section(2, vector([text("a") + text("b") + b"\x09"])), "something of the unknown kind 9"),
        (HEADER + section(2, vector([text("a") + text("b") + b"\0\5"])), "has a.b of a type that is not there"),
        (HEADER + section(2, vector([b"\1\xff" + text("b") + b"\0\0"])), "has a name that is no UTF-8"),
        (HEADER + section(3, vector([b"\0"])), "a function of a type that is not there"),
        (HEADER + section(5, vector([b"\x70\1"])), "has limits of the unknown form 112"),
        (HEADER + section(8, number(0)), "names a function that is not there"),
        (HEADER + section(CODE, vector([b"\2\0\x0b"])), "has not the code of 0 functions"),
        (GOOD.replace(b"\4\0\x41\0\x0b", b"\5\0\x41\0\x0b"), "ends within a function"),
        (HEADER + section(0, b""), "its custom section, at byte 10, ends too early"),
        (HEADER + section(0, b"\1\xff"), "has a name that is no UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: bytes, said: str):
    with pytest.raises(WasmError) as caught:
        read_module(data)
    assert said in caught.value.text


def read(data: bytes) -> Module | None:
    try:
        return read_module(data)
    except WasmError as error:
        assert error.text
        assert error.kind
        return None


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, headed: bool):
    read(HEADER + data if headed else data)


@given(st.lists(st.tuples(st.integers(0, 14), st.binary(max_size=40)), max_size=6))
def test_sections_with_anything_in_them(sections: list[tuple[int, bytes]]):
    data = HEADER + b"".join(section(kind, content) for kind, content in sections)
    read(data)
    report = judge(data, "1.40")
    assert (report.level == "refused") == bool(report.reason)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_module(data: st.DataObject):
    """A few bytes of a filter are changed, taken away or doubled; most that matters is in its first and last kilobytes."""
    base = data.draw(st.sampled_from([GOOD, write_module(FILTER, [LOG, EXIT]), TINYGO[:1800], TINYGO]))
    damaged = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(damaged), 2000)) | st.integers(max(0, len(damaged) - 2000), len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    report = judge(bytes(damaged), "1.38")
    assert all(finding.text for finding in report.findings)


@pytest.mark.parametrize(
    ("extra", "maker"),
    [
        (producers("processed-by", "Go cmd/compile", "go1.26.6"), ("Go", "1.26.6")),
        (producers("processed-by", "rustc", "1.80.0 (051478957 2024-07-21)"), ("Rust", "1.80.0")),
        (producers("processed-by", "Debian clang", "14.0.6"), ("Debian clang", "14.0.6")),
        (producers("language", "C99", ""), None),
        (custom("x", b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\x08go1.25.3"), ("Go", "1.25.3")),
        (custom("x", b"//go:wasmexport function called before runtime initialization"), ("TinyGo", "")),
        (custom("x", b"/rustc/051478957/library"), ("Rust", "")),
        (custom("x", "~lib/rt/itcms".encode("utf-16-le")), ("AssemblyScript", "")),
        (b"", None),
    ],
)
def test_who_made_it(extra: bytes, maker: tuple[str, str] | None):
    data = write_module(FILTER, extra=extra)
    assert find_maker(read_module(data), data) == maker


def test_tinygo_names_clang_too():
    assert find_maker(read_module(TINYGO), TINYGO) == ("TinyGo", "0.41.1")


def test_assemblyscript_by_its_abort():
    abort = Import(module="env", name="abort", signature="i32 i32 i32 i32 -> void")
    data = write_module(FILTER, [abort])
    assert find_maker(read_module(data), data) == ("AssemblyScript", "")
