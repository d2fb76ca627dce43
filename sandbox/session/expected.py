"""Which filter is meant to be live and what it injects: as a label of the stack, and looked for in a response."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sandbox.envoy.resource import Injected
from sandbox.observe.headers import Headers
from sandbox.workspace import MODULE_KINDS

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The filter's version as `version_text` has it, which build of it that is, and what it is configured to inject.

    `module` is one of `MODULE_KINDS`, or says for people where else it came from; `configured_by` says so of a configuration that
    is not the project's own.
    """

    version: str
    module: str
    injected: Injected
    configured_by: str = ""

    @property
    def is_shipped(self) -> bool:
        """Whether it is the token filter as it comes with the sandbox, of which is known what it does."""
        return self.module in MODULE_KINDS

    @property
    def sha256(self) -> str:
        """The module's content hash."""
        return self.version.partition("-")[0]

    @property
    def label(self) -> str:
        """Where it came from, in a few words."""
        return f"{self.module} build" if self.is_shipped else self.module

    def labels(self) -> dict[str, str]:
        """As what the engine keeps with the stack."""
        injected = {f"inject.{name}": str(value) for name, value in asdict(self.injected).items()}
        origin = {"filter.module": self.module, "filter.configured_by": self.configured_by}
        return {"filter.version": self.version, **origin, **injected}


def parse_expected(labels: Mapping[str, str]) -> Expected:
    """Turn `Expected.labels` back."""
    injected = Injected(
        where=labels["inject.where"],
        token_header=labels["inject.token_header"],
        marker_header=labels["inject.marker_header"],
        tick_s=_parse_seconds(labels.get("inject.tick_s", "")),
    )
    return Expected(
        version=labels["filter.version"],
        module=labels["filter.module"],
        injected=injected,
        configured_by=labels.get("filter.configured_by", ""),
    )


def parse_wanted(wanted: Mapping[str, Any] | None) -> Expected | None:
    """What the console says of the filter that Envoy took last; None where it knows of none."""
    if wanted is None:
        return None
    injected = Injected(
        where=wanted["inject"],
        token_header=wanted["token_header"],
        marker_header=wanted["marker_header"],
        tick_s=wanted["tick_s"],
    )
    return Expected(version=wanted["version"], module=wanted["origin"], injected=injected)


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
