"""What matters of all that `docker compose` said until it failed. No I/O."""

import re
from collections.abc import Sequence

from sandbox.engines.docker.compose.said import BuildSaid, ClassicStep, EndSaid, ImageSaid, clean, parse_line

_BASE = re.compile(r"failed to resolve source metadata for (\S+?): |FROM (\S+)")


class Heard:
    """Listens to whole lines. `culprit` is the step of a build that failed, or empty."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.culprit = ""
        self._end = ""
        self._plain: list[str] = []
        self._failed_step = ""
        self._outputs: dict[str, str] = {}
        self._failed_image = ""
        self._open_images: dict[str, None] = {}
        for line in lines:
            self._take(line)

    @property
    def reason(self) -> str:
        """Compose's last words, or everything that is no JSON."""
        return self._end or "\n".join(self._plain)

    @property
    def output(self) -> str:
        """What the program of the culprit wrote."""
        return clean(self._outputs.get(self._failed_step, "")) if self._failed_step else "\n".join(self._plain)

    @property
    def image(self) -> str:
        """Which one failed, if that was said or there was only one under way."""
        base = _BASE.search(f"{self.reason}\n{self.culprit}") if self.culprit else None
        alone = next(iter(self._open_images)) if len(self._open_images) == 1 else ""
        return (base[1] or base[2] if base else "") or self._failed_image or alone or "an image"

    @property
    def built(self) -> str:
        """Which one was being built."""
        return next(iter(self._open_images), "an image")

    def _take(self, line: str) -> None:
        match parse_line(line):
            case EndSaid(message=message):
                self._end = message
            case ImageSaid() as said:
                self._take_image(said)
            case BuildSaid() as said:
                self._take_build(said)
            case ClassicStep() as step:
                self.culprit, self._plain = f"[{step.number}/{step.count}] {step.name}", []
            case None if not line.lstrip().startswith(("{", "---> ")):  # the second: how the classic builder is getting on
                self._plain.append(clean(line).rstrip())

    def _take_image(self, said: ImageSaid) -> None:
        match said.word:
            case "Pulling" | "Building":
                self._open_images[said.image] = None
            case "Error":
                self._failed_image = said.image
            case _:
                self._open_images.pop(said.image, None)

    def _take_build(self, said: BuildSaid) -> None:
        for piece in said.output:
            self._outputs[piece.step] = self._outputs.get(piece.step, "") + piece.text
        for step in said.steps:
            if step.error:
                self._failed_step, self.culprit = step.id, step.name
