"""What is in a bundle, as its first member says it. No I/O."""

import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.bundle import Bundled, BundlePart

FORMAT = 1
"""Of the archive and of its manifest; a higher number was written by a newer sandbox."""
MAX_MEMBERS = 100
MAX_MEMBER_BYTES = 16 << 30
Kind = Literal["wheel", "module", "image"]
_KINDS = ("wheel", "module", "image")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?")
_PRINTABLE = re.compile(r"[\x20-\x7e]{0,500}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of the archive. `about` is what the engine of an image said of it, and its `use`."""

    kind: Kind
    name: str
    size: int
    sha256: str
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was packed, where and by whom; the members in their order. `platform` is as Docker writes it."""

    sandbox: str
    envoy: str
    platform: str
    members: tuple[Member, ...]


def this_platform() -> str:
    """This machine's system and processor."""
    machine = platform.machine().lower()
    return f"{sys.platform}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def render_manifest(manifest: Manifest) -> bytes:
    """The manifest's text."""
    return json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1).encode()


def parse_manifest(text: bytes, file: str) -> Manifest:
    """Read what `render_manifest` wrote; `file` is for messages.

    Raises: ConfigError when it is none; PreconditionError when a newer sandbox wrote it.
    """
    try:
        value = json.loads(text)
        number, by = value["format"], str(value.get("sandbox", "?"))[:40]
        newer = isinstance(number, int) and number > FORMAT
        manifest = None if newer else _manifest(value)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        told = f"{file} is no bundle: its manifest does not say what it should"
        raise ConfigError(told, hint="sandbox bundle save FILE") from error
    if manifest is None:
        raise PreconditionError(f"{file} was made by a newer sandbox ({by!r})", hint="git pull && make up")
    return manifest


def _manifest(value: Mapping[str, Any]) -> Manifest:
    members = tuple(_member(item) for item in value["members"])
    if value["format"] != FORMAT or not len({member.name for member in members}) == len(members) <= MAX_MEMBERS:
        raise ValueError(value)
    return Manifest(**{name: _text(value[name]) for name in ("sandbox", "envoy", "platform")}, members=members)


def _member(item: Mapping[str, Any]) -> Member:
    about = {_text(key): _text(value) for key, value in item["about"].items()}
    size = item["size"]
    if item["kind"] not in _KINDS or type(size) is not int or not 0 <= size <= MAX_MEMBER_BYTES:
        raise ValueError(item)
    name = _text(item["name"], _NAME)
    return Member(kind=item["kind"], name=name, size=size, sha256=_text(item["sha256"], _SHA256), about=about)


def _text(value: Any, pattern: re.Pattern[str] = _PRINTABLE) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(value)
    return value


def describe(manifest: Manifest, file: str, outcomes: Mapping[str, str], *, total_bytes: int, elapsed_s: float) -> Bundled:
    """The record of a bundle that was written or read; `outcomes` by the members' names."""
    return Bundled(
        file=file,
        platform=manifest.platform,
        sandbox_version=manifest.sandbox,
        envoy_version=manifest.envoy,
        parts=tuple(
            BundlePart(name=member.about.get("name", member.name), size_bytes=member.size, outcome=outcomes[member.name])
            for member in manifest.members
        ),
        total_bytes=total_bytes,
        elapsed_s=elapsed_s,
    )
