"""How far a part of a bundle is, as events."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sandbox.events import Progress


def report(
    kind: Literal["pack", "check", "load"], item: str, steps: Iterator[int], total_bytes: int | None
) -> Iterator[Progress]:
    """Do the steps, each of which is how many bytes are done; the first record is there before the first step."""
    record = Progress(kind=kind, item=item, detail="", done_bytes=None, total_bytes=total_bytes, finished=False)
    yield record
    for done_bytes in steps:
        record = replace(record, done_bytes=done_bytes)
        yield record
    yield replace(record, total_bytes=total_bytes or record.done_bytes, finished=True)
