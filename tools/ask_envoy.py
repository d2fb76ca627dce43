"""Ask a real Envoy what it thinks of a Wasm module: `--mode validate` with the module in a listener, 0.05 s for a small one."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 60.0
_TYPES = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Envoy did. `said` are its log lines of level error and above; `returncode` is negative where it crashed."""

    returncode: int
    said: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether Envoy took it."""
        return self.returncode == 0

    @property
    def crashed(self) -> bool:
        """Whether Envoy itself ended over it."""
        return self.returncode < 0


def ask_envoy(program: Path, module: bytes) -> Verdict:
    """Have Envoy load a module and start it; no plugin configuration, so one that insists on some is refused."""
    with tempfile.TemporaryDirectory() as folder:
        file, bootstrap = Path(folder, "module.wasm"), Path(folder, "envoy.json")
        file.write_bytes(module)
        bootstrap.write_text(json.dumps(_bootstrap(file)), encoding="utf-8")
        command = (program, "--mode", "validate", "--config-path", bootstrap, "--log-level", "error", "--log-format", "%v")
        done = subprocess.run(
            (*command, "--disable-hot-restart"), cwd=folder, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    return Verdict(returncode=done.returncode, said=tuple(said))


def _bootstrap(module: Path) -> dict[str, Any]:
    wasm = {
        "@type": f"{_TYPES}.http.wasm.v3.Wasm",
        "config": {
            "name": "asked",
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}},
        },
    }
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "asked",
        "route_config": {},
        "http_filters": [
            {"name": "asked", "typed_config": wasm},
            {"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}},
        ],
    }
    listener = {
        "name": "asked",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener]}}
