"""Which filter is meant to be live and what it injects: as a label of the stack, and looked for in a response."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sandbox.envoy.resource import Injected
from sandbox.observe.headers import Headers

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The filter's version as `version_text` has it, which build of it that is, and what it is configured to inject."""

    version: str
    module: str
    injected: Injected

    @property
    def sha256(self) -> str:
        """The module's content hash."""
        return self.version.partition("-")[0]

    def labels(self) -> dict[str, str]:
        """As what the engine keeps with the stack."""
        injected = {f"inject.{name}": str(value) for name, value in asdict(self.injected).items()}
        return {"filter.version": self.version, "filter.module": self.module, **injected}


def parse_expected(labels: Mapping[str, str]) -> Expected:
    """Turn `Expected.labels` back."""
    injected = Injected(
        where=labels["inject.where"],
        token_header=labels["inject.token_header"],
        marker_header=labels["inject.marker_header"],
        tick_s=_parse_seconds(labels.get("inject.tick_s", "")),
    )
    return Expected(version=labels["filter.version"], module=labels["filter.module"], injected=injected)


def _parse_seconds(text: str) -> float | None:
    """None for what an older sandbox did not write."""
    try:
        return float(text)
    except ValueError:
        return None


def read_headers(raw: list[tuple[bytes, bytes]]) -> Headers:
    """Headers as httpx2 has them raw; bytes that are no UTF-8 become surrogates."""
    return tuple((name.decode("latin-1").lower(), value.decode(errors="surrogateescape")) for name, value in raw)


def injected_headers(response: "httpx2.Response", injected: Injected) -> Headers:
    """The filter's headers, where its configuration says they go: on the response, or in the request that the echo shows."""
    pairs = read_headers(response.headers.raw)
    if injected.where == "request":
        try:
            pairs = tuple((str(name), str(value)) for name, value in response.json()["headers"])
        except (ValueError, KeyError, TypeError):
            pairs = ()
    ours = {injected.marker_header, injected.token_header}
    return tuple((name, value) for name, value in pairs if name in ours)
