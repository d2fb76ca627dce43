"""How far something is, as events: a part of a bundle, or what is fetched."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sandbox.events.stack import Progress


def report(
    kind: Literal["fetch", "pack", "check", "load"], item: str, steps: Iterator[int], total_bytes: int | None
) -> Iterator[Progress]:
    """Do the steps, each of which is how many bytes are done; the first record is there before the first step."""
    record = Progress(kind=kind, item=item, detail="", done_bytes=None, total_bytes=total_bytes, finished=False)
    yield record
    for done_bytes in steps:
        record = replace(record, done_bytes=done_bytes)
        yield record
    yield replace(record, total_bytes=total_bytes or record.done_bytes, finished=True)
