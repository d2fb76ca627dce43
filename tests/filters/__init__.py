"""Filters for tests. `deeds` does to requests and responses what its configuration says; see deeds/main.go."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from sandbox.stack import FILTER_NAME
from sandbox.toolchain.find import find_go

HERE = Path(__file__).resolve().parent
_BUILD = ("build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=")

SOON = "0.002s"
"""The shortest pause before a VM that trapped is loaded anew. With one of 1 ms Envoy 1.40 itself crashes at that moment."""


def build_deeds(folder: Path) -> Path:
    """Compile the filter into a file of `folder` that is named after its content; Go keeps what it compiled before."""
    go = find_go()
    assert go, "the tests' own filter needs Go"
    out = folder / "deeds.new"
    environment = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [go.program, *_BUILD, "-o", out, "."], cwd=HERE / "deeds", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out.rename(folder / f"{hashlib.sha256(out.read_bytes()).hexdigest()}.wasm")


def deed(side: str, verb: str, *arguments: str | bytes) -> str:
    """One line of the filter's configuration; an argument may hold any byte."""
    words = (word.encode() if isinstance(word, str) else word for word in arguments)
    return " ".join((side, verb, *(quote_from_bytes(word, safe=":/") for word in words)))


def render_deeds(
    module: Path, *lines: str, policy: str = "FAIL_RELOAD", backoff: str = "", name: str = FILTER_NAME
) -> dict[str, Any]:
    """The filter's ECDS resource; `version_info` depends on all of it, so that Envoy says whether it has it."""
    config: dict[str, Any] = {
        "name": name,
        "root_id": name,
        "failure_policy": policy,
        "vm_config": {
            "vm_id": name,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(module)}},
        },
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "\n".join(lines)},
    }
    if backoff:
        config["reload_config"] = {"backoff": {"base_interval": backoff}}
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config},
    }
    text = json.dumps(resource, sort_keys=True)
    version = f"{module.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return {"version_info": version, "resources": [resource]}


def put_deeds(resource: dict[str, Any], path: Path) -> str:
    """Swap the resource in, as Envoy wants it, by a rename; return its version."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(resource))
    beside.rename(path)
    return str(resource["version_info"])
