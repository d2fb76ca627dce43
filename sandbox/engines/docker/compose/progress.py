"""How far images are, from what `docker compose` says line by line. No I/O."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from sandbox.engines.docker.compose.said import BuildSaid, ClassicStep, ImageSaid, LayerSaid, Said, parse_line
from sandbox.events.stack import Progress

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_DOWNLOADED = {"Verifying Checksum", "Download complete", "Extracting", "Pull complete"}
_COMPLETE = {"Pull complete", "Already exists"}


@dataclass(slots=True)
class _Layer:
    done_bytes: int = 0
    total_bytes: int | None = None
    complete: bool = False


@dataclass(slots=True)
class _Item:
    latest: Progress
    layers: dict[str, _Layer] = field(default_factory=dict)


class ProgressReader:
    """Reads one run of compose, or several after each other."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}

    def read(self, line: str) -> Progress | None:
        """What this line changes; None where that is nothing. An item that fails is not finished, and heard of no more."""
        said = parse_line(line)
        if isinstance(said, ImageSaid):
            return self._take_image(said)
        item = self._item_of(said)
        if item is None:
            return None
        before = item.latest
        match said:
            case LayerSaid():
                _take_layer(item.layers, said)
                done = sum(layer.complete for layer in item.layers.values())
                item.latest = _counted(item, f"{done} of {len(item.layers)} layers")
            case BuildSaid():
                for download in said.downloads:
                    item.layers[download.id] = _Layer(download.done_bytes, download.total_bytes)
                begun = [step.name for step in said.steps if step.under_way and not step.name.startswith("[internal]")]
                item.latest = _counted(item, _DIGEST.sub("", begun[-1]) if begun else before.detail)
            case ClassicStep():
                item.latest = replace(before, detail=f"[{said.number}/{said.count}] {said.name}")
        return item.latest if item.latest != before else None

    def _take_image(self, said: ImageSaid) -> Progress | None:
        match said.word:
            case "Pulling" | "Building" if said.image not in self._items:
                kind: Literal["pull", "build"] = "pull" if said.word == "Pulling" else "build"
                begun = Progress(kind=kind, item=said.image, detail="", done_bytes=None, total_bytes=None, finished=False)
                self._items[said.image] = _Item(begun)
                return begun
            case "Pulled" | "Built" if item := self._items.pop(said.image, None):
                return replace(item.latest, finished=True)
            case "Pulling" | "Building" | "Pulled" | "Built":
                return None
            case _:
                self._items.pop(said.image, None)
                return None

    def _item_of(self, said: Said | None) -> _Item | None:
        """What the line is about. A builder does not name the image: it is the first that is being built."""
        if isinstance(said, LayerSaid):
            return self._items.get(said.image)
        if isinstance(said, BuildSaid | ClassicStep):
            return next((item for item in self._items.values() if item.latest.kind == "build"), None)
        return None


def _take_layer(layers: dict[str, _Layer], said: LayerSaid) -> None:
    """Only while a layer is downloaded its numbers are those of the download."""
    layer = layers.setdefault(said.layer, _Layer())
    layer.total_bytes = layer.total_bytes or said.total_bytes
    layer.complete = layer.complete or said.phase in _COMPLETE
    if said.phase == "Downloading":
        layer.done_bytes = max(layer.done_bytes, said.done_bytes)
    elif said.phase in _DOWNLOADED:
        layer.done_bytes = layer.total_bytes or layer.done_bytes


def _counted(item: _Item, detail: str) -> Progress:
    known = [(layer.done_bytes, layer.total_bytes) for layer in item.layers.values() if layer.total_bytes]
    return replace(
        item.latest,
        detail=detail,
        done_bytes=sum(done for done, _ in known) if known else None,
        total_bytes=sum(total for _, total in known) if known else None,
    )
