"""The compiled filters of a project, by their hashes. Says what is there, not whether it is right."""

import contextlib
import hashlib

from sandbox.workspace import MODULE_KINDS, Project


def hash_modules(project: Project) -> dict[str, str]:
    """SHA-256 of each compiled filter that can be read, by its kind."""
    hashes = {}
    for kind in MODULE_KINDS:
        with contextlib.suppress(OSError):
            hashes[kind] = hashlib.sha256(project.module(kind).read_bytes()).hexdigest()
    return hashes
