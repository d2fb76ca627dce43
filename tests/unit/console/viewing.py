"""What a viewer of the console's stream is told, read from its server-sent events."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from sandbox.console.viewers import Viewer

Told = tuple[str, dict[str, Any]]


def parse_events(text: bytes) -> list[Told]:
    """Name and data of each."""
    events = []
    for event in text.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


class Reading:
    """Reads until something has come, and keeps all."""

    def __init__(self, viewer: Viewer) -> None:
        self.texts: AsyncGenerator[bytes] = viewer.texts()
        self.told: list[Told] = []

    async def until(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first event from now on with that name and these fields."""
        while True:
            new = parse_events(await anext(self.texts))
            self.told += new
            for told, data in new:
                if told == name and fields.items() <= data.items():
                    return data

    def of(self, name: str) -> list[dict[str, Any]]:
        """All of that name so far."""
        return [data for told, data in self.told if told == name]
