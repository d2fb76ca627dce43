"""What each Envoy offers to a module and asks of it: the table that `python -m tools.host_calls` measures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ABIS = ("0.1.0", "0.2.0", "0.2.1")
ABI_EXPORT = "proxy_abi_version_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A function in one form, and where it has that form."""

    signature: str
    abis: tuple[str, ...]
    envoys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The table. `calls` are by module and name, `callbacks` by name; `envoys` are the measured versions, oldest first."""

    envoys: tuple[str, ...]
    calls: Mapping[str, tuple[Entry, ...]]
    callbacks: Mapping[str, tuple[Entry, ...]]


@cache
def load_offer() -> Offer:
    """Read the table, which is part of the package."""
    table = json.loads(Path(__file__).with_name("host_calls.json").read_text(encoding="utf-8"))
    envoys = tuple(table["versions"])

    def entries(rows: "list[dict[str, list[str] | str]]") -> tuple[Entry, ...]:
        return tuple(
            Entry(
                signature=str(row["signature"]),
                abis=tuple(abi.replace("_", ".") for abi in row["abi"]) if "abi" in row else ABIS,
                envoys=tuple(row["envoy"]) if "envoy" in row else envoys,
            )
            for row in rows
        )

    return Offer(
        envoys=envoys,
        calls={name: entries(rows) for name, rows in table["calls"].items()},
        callbacks={name: entries(rows) for name, rows in table["callbacks"].items()},
    )


def expected(entries: tuple[Entry, ...], abi: str, envoy: str) -> str | None:
    """The signature that a function has under that ABI in that Envoy; None where it is not known there."""
    return next((entry.signature for entry in entries if abi in entry.abis and envoy in entry.envoys), None)
