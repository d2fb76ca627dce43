"""What is in a bundle, and what became of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePart:
    """One thing in a bundle. `outcome` is what became of it: `packed`, `loaded`, `here already`, or why it was left."""

    name: str
    size_bytes: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle was written, or what this machine can use of one is in its place."""

    file: str
    platform: str
    sandbox_version: str
    envoy_version: str
    parts: tuple[BundlePart, ...]
    total_bytes: int
    elapsed_s: float
