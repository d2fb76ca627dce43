"""One line that `docker compose --progress json` says, parsed: Compose's own, and what a builder says meanwhile. No I/O.

Compose writes its own lines to stderr and a builder's to stdout; whoever wants both reads one pipe.
Source: recordings in tests/fixtures/docker; docker/compose v2.29.7 pkg/progress/json.go, v5.5.0 cmd/display/json.go;
moby/buildkit client/graph.go, SolveStatus.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

_USERINFO = re.compile(r"(\b[a-z][\w+.-]*://)[^/\s@\"']+@", re.IGNORECASE)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CLASSIC_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_V2_WORDS = {"Pulling", "Pulled", "Building", "Built"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSaid:
    """What becomes of an image (Compose 2 names its service instead): `Pulling`, `Pulled`, `Building`, `Built`, `Error`, …"""

    image: str
    word: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSaid:
    """A layer of an image that is pulled. `phase` is Docker's word: `Downloading`, `Extracting`, `Pull complete`, …"""

    image: str
    layer: str
    phase: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStep:
    """A step of a build: its state so far. `id` tells apart what has the same name."""

    id: str
    name: str
    under_way: bool
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOutput:
    """What the program of a step wrote; not always whole lines."""

    step: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDownload:
    """A layer of a base image that a build fetches. `id` is the layer's digest."""

    id: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSaid:
    """News of a build with BuildKit."""

    steps: tuple[BuildStep, ...]
    output: tuple[BuildOutput, ...]
    downloads: tuple[BuildDownload, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicStep:
    """A step of a build with the classic builder begins; lines that are no JSON are its output."""

    number: int
    count: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSaid:
    """Why Compose gives up: its last line."""

    message: str


Said = ImageSaid | LayerSaid | BuildSaid | ClassicStep | EndSaid


def parse_line(line: str) -> Said | None:
    """The line's meaning; None for what is none of these, containers and networks included."""
    text = clean(line).strip()
    if step := _CLASSIC_STEP.match(text):
        return ClassicStep(number=int(step[1]), count=int(step[2]), name=step[3])
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if value.get("error") is True:
        return EndSaid(message=_text(value, "message"))
    if value.keys() & {"vertexes", "statuses", "logs"}:
        return _parse_build(value)
    return _parse_resource(value)


def clean(text: str) -> str:
    """The text without the name and password of an address, and without what colours it or moves the cursor.

    The classic builder colours in a pipe, too.
    """
    return _USERINFO.sub(r"\1", _ESCAPE.sub("", text))


def _parse_resource(value: dict[str, Any]) -> Said | None:
    name, parent = _text(value, "id"), _text(value, "parent_id")
    if parent:
        return LayerSaid(
            image=parent.removeprefix("Image "),
            layer=name,
            phase=_text(value, "text"),
            done_bytes=_number(value, "current"),
            total_bytes=_number(value, "total") or None,
        )
    word = _text(value, "text") or _text(value, "status")
    if name.startswith("Image "):
        return ImageSaid(image=name.removeprefix("Image "), word=word, details=_text(value, "details"))
    if word in _V2_WORDS and " " not in name.removeprefix("Service "):
        return ImageSaid(image=name.removeprefix("Service "), word=word, details="")
    return None


def _parse_build(value: dict[str, Any]) -> BuildSaid:
    return BuildSaid(
        steps=tuple(
            BuildStep(
                id=_text(item, "digest"),
                name=_text(item, "name"),
                under_way="started" in item and "completed" not in item,
                error=_text(item, "error"),
            )
            for item in _items(value, "vertexes")
        ),
        output=tuple(BuildOutput(step=_text(item, "vertex"), text=_decode(item)) for item in _items(value, "logs")),
        downloads=tuple(
            BuildDownload(id=_text(item, "id"), done_bytes=_number(item, "current"), total_bytes=_number(item, "total"))
            for item in _items(value, "statuses")
            if _number(item, "total") and _text(item, "id").startswith("sha256:")
        ),
    )


def _items(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _decode(item: dict[str, Any]) -> str:
    try:
        return base64.b64decode(_text(item, "data")).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _number(value: dict[str, Any], name: str) -> int:
    found = value.get(name)
    return found if isinstance(found, int) and found > 0 else 0
