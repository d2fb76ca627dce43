"""What the command line hands to the supervisor: frozen, and as JSON in the run folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.files import write_json
from sandbox.stack import Address, Endpoints, Launch

FORMAT = 1
"""Of plan.json and instance.json; a higher number was written by a newer sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One stack to run. `sockets` gives the descriptor of the listening socket by the name of its port."""

    services_root: str
    logs: str
    crashes: str
    endpoints: Endpoints
    launches: tuple[Launch, ...]
    sockets: Mapping[str, int]
    labels: Mapping[str, str]


def write_plan(path: Path, plan: Plan) -> None:
    """Write `plan` for the supervisor."""
    write_json(path, {"format": FORMAT, **asdict(plan)})


def load_plan(path: Path) -> Plan:
    """Read what `write_plan` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    value.pop("format")
    launches = tuple(_launch(item) for item in value.pop("launches"))
    return Plan(endpoints=parse_endpoints(value.pop("endpoints")), launches=launches, **value)


def _launch(item: dict[str, Any]) -> Launch:
    environment = tuple((name, text) for name, text in item.pop("environment"))
    return Launch(argv=tuple(item.pop("argv")), shares=tuple(item.pop("shares")), environment=environment, **item)


def parse_endpoints(value: Mapping[str, Any]) -> Endpoints:
    """Turn what `asdict` made of `Endpoints` back."""
    return Endpoints(
        inside={name: Address(**item) for name, item in value["inside"].items()},
        host={name: Address(**item) for name, item in value["host"].items()},
    )
