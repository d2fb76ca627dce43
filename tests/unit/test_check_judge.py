"""What is said of a module that can be read; whether Envoy really does so is asked in tests/e2e/test_check.py."""

import pytest
from wasm_cases import ADVISE, CONFIGURE, CREATE, EXIT, FILTER, GOOD, LEAST, LOG, SET_TICK, START, TICK, producers

from sandbox.toolchain.check.judge import judge
from sandbox.toolchain.check.offer import load_offer
from sandbox.toolchain.check.report import ModuleReport
from sandbox.view.check import render_report
from tools.host_calls import CALLED, SPECIFIED, WASI
from tools.wasm_writer import Function, Import, custom, write_module

GO = producers("processed-by", "Go cmd/compile", "go1.26.6")
TINYGO = producers("processed-by", "TinyGo", "0.41.1")
INITIALIZE = Function(name="_initialize")
SDK = b"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/internal.proxyOnTick"


def warnings(report: ModuleReport) -> list[tuple[str, str]]:
    return [(finding.text, finding.fix) for finding in report.findings if finding.level == "warning"]


def only(data: bytes) -> tuple[str, str]:
    report = judge(data, "1.40")
    assert report.level == "warning", report.findings
    [warning] = warnings(report)
    return warning


def test_a_good_one():
    report = judge(GOOD, "1.40")
    assert (report.level, report.abi, report.toolchain, report.reason) == ("ok", "0.2.1", None, None)
    assert report.callbacks == (
        "proxy_on_context_create",
        "proxy_on_vm_start",
        "proxy_on_configure",
        "proxy_on_request_headers",
    )
    assert report.accepted_by == load_offer().envoys
    assert [finding.topic for finding in report.findings] == ["format", "ABI", "load time", "callbacks", "host calls"]


def test_a_timer_that_never_fires():
    text, fix = only(write_module(FILTER, [SET_TICK]))
    assert text == "no proxy_on_tick: a timer that it sets will never fire"
    assert fix == "export proxy_on_tick"
    assert judge(write_module([*FILTER, TICK], [SET_TICK]), "1.40").level == "ok"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("proxy_http_call", "no proxy_on_http_call_response: it never sees an answer to its HTTP calls"),
        ("proxy_grpc_call", "no proxy_on_grpc_receive: it never sees an answer to its gRPC calls"),
        ("proxy_register_shared_queue", "no proxy_on_queue_ready: it never hears of an item in its queue"),
    ],
)
def test_calls_without_the_callback_of_their_answer(call: str, said: str):
    [entry] = load_offer().calls[f"env.{call}"]
    assert only(write_module(FILTER, [Import(module="env", name=call, signature=entry.signature)]))[0] == said


def test_nothing_but_initialize():
    text, fix = only(write_module([*LEAST, INITIALIZE], extra=GO))
    assert text == "exports only _initialize: Envoy has nothing to call"
    assert fix == "registered in main()? move it to init()"


def test_no_context_create():
    assert only(write_module([*FILTER[:2], *FILTER[3:]]))[0].startswith("no proxy_on_context_create")


def test_no_callback_of_a_stream():
    assert only(write_module([*LEAST, CREATE, START, CONFIGURE]))[0].startswith("no callback for requests")


def test_a_slip_of_the_pen():
    slip = Function(name="proxy_on_response_header", signature="i32 i32 i32 -> i32")
    text, fix = only(write_module([*FILTER, slip]))
    assert text == "exports proxy_on_response_header, which Envoy never calls"
    assert fix == "did you mean proxy_on_response_headers?"


@pytest.mark.parametrize(
    ("extra", "warned"),
    [
        (GO + custom("x", SDK), True),
        (GO + custom("x", SDK + b"\0main.init.0\0main.main"), False),
        (TINYGO + custom("name", b"\7\x60" + SDK.ljust(96)), True),
        (TINYGO + custom("name", b"\7\x7f" + (SDK + b" token/proxywasm.LogInfo").ljust(127)), False),
        (TINYGO + custom("name", b"\7\x7f" + (SDK + b" (*main.plugin).OnTick").ljust(127)), False),
        (TINYGO + custom("x", SDK), False),  # stripped: nobody knows
    ],
    ids=range(6),
)
def test_what_main_registers_is_never_registered(extra: bytes, warned: bool):
    data = write_module([*FILTER, INITIALIZE], extra=extra)
    if warned:
        assert only(data)[1] == "move what main() registers to init(): Envoy never calls main()"
    else:
        assert judge(data, "1.40").level == "ok"


@pytest.mark.parametrize(
    ("extra", "level", "fix"),
    [
        (GO, "refused", "go build -buildmode=c-shared"),
        (TINYGO, "refused", "tinygo build -target=wasip1 -buildmode=c-shared"),
        (producers("processed-by", "TinyGo", "0.31.1"), "warning", "tinygo build"),
        (producers("processed-by", "rustc", "1.80.0"), "warning", "cdylib"),
        (b"", "warning", "-mexec-model=reactor"),
    ],
)
def test_a_program(extra: bytes, level: str, fix: str):
    report = judge(write_module([*FILTER, Function(name="_start")], [EXIT], extra=extra), "1.40")
    [finding] = [finding for finding in report.findings if finding.topic == "start"]
    assert (report.level, finding.level) == (level, level)
    assert "restricted_callback" in finding.text
    assert fix in finding.fix


def test_a_start_section():
    text, fix = only(write_module([*FILTER, Function(name="")], [LOG], start=7))
    assert text.startswith("has a start section")
    assert fix == "asc --exportStart _initialize"


def test_nothing_to_start():
    assert only(write_module(FILTER, extra=GO))[0].startswith("exports neither _initialize nor _start")


@pytest.mark.parametrize(
    ("module", "name", "said", "fix"),
    [
        ("wasi_snapshot_preview1", "sock_open", "not in this Envoy's part of WASI", "leave out"),
        ("wasi:cli/exit@0.2.0", "exit", "built for WASI 0.2", "wasm32-wasip1"),
        ("gojs", "runtime.wasmExit", "built for a browser", "GOOS=wasip1"),
        ("__wbindgen_placeholder__", "x", "made by wasm-bindgen", "without wasm-bindgen"),
        ("env", "memcpy", "undefined when it was linked", "--allow-undefined"),
        ("env", "proxy_redis_call", "which Envoy 1.40 does not have", "SDK of proxy-wasm"),
        ("other", "f", "which Envoy 1.40 does not have", "SDK of proxy-wasm"),
    ],
)
def test_where_a_missing_host_call_comes_from(module: str, name: str, said: str, fix: str):
    reason = judge(write_module(FILTER, [Import(module=module, name=name)]), "1.40").reason
    assert reason
    assert f"imports {module}.{name}" in reason.text
    assert said in reason.text
    assert fix in reason.fix


def test_many_missing_host_calls_are_counted():
    report = judge(write_module(FILTER, [LOG, *(Import(module="x", name=f"f{at}") for at in range(9))]), "1.40")
    texts = [finding.text for finding in report.findings if finding.level == "refused"]
    assert len(texts) == 6
    assert texts[-1] == "and 4 more"
    assert [call.offered for call in report.host_calls] == [True, *[False] * 9]


def test_versions_of_envoy():
    data = write_module(FILTER, [ADVISE])
    assert judge(data, "1.40").accepted_by == ("1.39", "1.40")
    old = judge(data, "1.36")
    assert (old.level, old.accepted_by) == ("refused", ("1.39", "1.40"))
    assert old.reason
    assert old.reason.fix == "Envoy 1.39, or do without"


def test_code_that_takes_long():
    large = Function(name="large", body=b"\x01" * 5_000_000)
    text, fix = only(write_module([*FILTER, large]))
    assert text.startswith("Envoy compiles it in about 6 s (5,000,")
    assert fix == "optimize for size"


def test_the_table_is_whole():
    """What the specifications have is there, but for two that no Envoy has; so are the versions and the ABIs that differ."""
    offer = load_offer()
    names = {f"env.proxy_{name}" for name in SPECIFIED.split()} | {f"wasi_snapshot_preview1.{name}" for name in WASI.split()}
    assert names - offer.calls.keys() == {"wasi_snapshot_preview1.proc_raise"}
    assert set(CALLED.split()) - offer.callbacks.keys() == {"proxy_on_grpc_create_initial_metadata"}
    [level] = offer.calls["env.proxy_get_log_level"]
    assert (level.abis, level.envoys) == (("0.2.1",), offer.envoys)
    assert {entry.signature for entry in offer.callbacks["proxy_on_request_headers"]} == {"i32 i32 -> i32", "i32 i32 i32 -> i32"}
    since = {entry.envoys for entries in offer.calls.values() for entry in entries}
    assert since == {offer.envoys, ("1.39", "1.40")}


def test_what_is_shown():
    shown = render_report(judge(write_module(FILTER, [SET_TICK]), "1.40")).plain.splitlines()
    assert "! callbacks   no proxy_on_tick: a timer that it sets will never fire" in shown
    assert "              → export proxy_on_tick" in shown
    assert shown[-1] == "nothing speaks against it in Envoy 1.40, nor in 1.36, 1.37, 1.38, 1.39"


def test_names_of_others_are_not_obeyed():
    shown = render_report(judge(write_module(FILTER, [Import(module="\x1b[2J", name="[red]")]), "1.40")).plain
    assert "\x1b" not in shown
    assert "imports \\x1b[2J.[red], which Envoy" in shown
