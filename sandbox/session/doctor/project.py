"""Checks of what the user works on: the sandbox and its project, the settings, the compiled filters. Not of what runs."""

import json
from pathlib import Path

from sandbox import __version__
from sandbox.config import foreign_variables
from sandbox.events.status import Check
from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.facts import Facts
from sandbox.session.doctor.redaction import pasteable
from sandbox.session.modules import hash_modules
from sandbox.workspace import HOME, MODULE_KINDS

REINSTALL_HINT = "git pull && make up"


def check_sandbox(facts: Facts) -> Check:
    """Which sandbox this is, and which project it works on."""
    root = facts.project.root
    return Check(name="sandbox", state=OK, detail=f"{__version__}, project {'that came with it' if root == HOME else root}")


def check_settings(facts: Facts) -> Check:
    """Which settings are not the default; their names and origins, never their values. And which variables only look like one."""
    origins = facts.settings.origins if facts.settings else {}
    changed = [f"{key} (from {Path(origin).name})" for key, origin in origins.items() if origin != "default"]
    foreign = foreign_variables()
    ignored = f"; not ours, so ignored: {', '.join(foreign)}" if foreign else ""
    return Check(name="settings", state=OK, detail=(", ".join(changed) or "all default") + ignored)


def check_filter(facts: Facts) -> Check:
    """Whether the compiled modules are the ones that their manifest describes. Only the one that `up` takes is needed."""
    project = facts.project
    root = project.prebuilt.parent.parent
    fix = f"git -C {pasteable(root)} checkout filter/prebuilt" if (root / ".git").exists() else REINSTALL_HINT
    asked = facts.settings.module if facts.settings else ""
    wanted = asked if asked in MODULE_KINDS else MODULE_KINDS[0]
    hashes = hash_modules(project)
    try:
        manifest = {item["file"]: item["sha256"] for item in json.loads(project.manifest_json.read_bytes())}
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        state = WARNING if wanted in hashes else FAILED
        return Check(name="filter", state=state, detail=f"manifest.json {why}: nothing says which modules are right", fix=fix)
    wrong = {kind: "is missing" for kind in MODULE_KINDS if kind not in hashes}
    wrong |= {kind: "differs from manifest.json" for kind in hashes if manifest.get(project.module(kind).name) != hashes[kind]}
    if wrong:
        state = FAILED if wanted in wrong else WARNING
        detail = ", ".join(f"{project.module(kind).name} {why}" for kind, why in wrong.items())
        return Check(name="filter", state=state, detail=detail, fix=fix)
    detail = ", ".join(f"{kind} {sha256[:12]}" for kind, sha256 in hashes.items())
    return Check(name="filter", state=OK, detail=f"{detail}, as in manifest.json")
