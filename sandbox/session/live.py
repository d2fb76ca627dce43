"""The live filter, through the console: another one, an earlier one, and which there were."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import ConfigError, PreconditionError, SandboxError, StackError
from sandbox.events.status import FilterVersion
from sandbox.session.console import TIMEOUT_S, owner_headers
from sandbox.session.given import GivenConfiguration, GivenModule
from sandbox.stack import CONSOLE_PORT, Endpoints
from sandbox.workspace import State

if TYPE_CHECKING:
    import httpx2

ENVOY_TIMEOUT_S = 70.0
"""Longer than the console gives Envoy over a module."""
_PATH = "/api/filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Envoy said. `refused`: the filter that ran before runs on. `laid_at_s`: its log says from then on why (epoch, UTC)."""

    refused: bool
    unchanged: bool
    version: str
    before: str
    origin: str
    laid_at_s: float
    envoy_s: float


def list_versions(client: "httpx2.Client", endpoints: Endpoints) -> tuple[FilterVersion, ...]:
    """The filters that Envoy took, the newest last; none where the console does not say."""
    import httpx2

    try:
        answer = client.get(endpoints.host[CONSOLE_PORT.name].url + _PATH, timeout=TIMEOUT_S).raise_for_status().json()
        return tuple(FilterVersion(**version) for version in answer["versions"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):  # the last two: a console of another version
        return ()


class LiveFilter:
    """Changes the filter of a running stack."""

    def __init__(self, client: "httpx2.Client", endpoints: Endpoints, state: State) -> None:
        self._client = client
        self._url = endpoints.host[CONSOLE_PORT.name].url + _PATH
        self._headers = owner_headers(state)

    def change(self, module: GivenModule | None, configuration: GivenConfiguration | None) -> Verdict:
        """Make another module live, another configuration, or both; what is None stays.

        Raises: ConfigError for what can't be a filter; StackError when nobody could be asked.
        """
        change: dict[str, Any] = {}
        if configuration:
            change |= {"resource": configuration.resource, "configuration": configuration.configuration}
            change["configured_by"] = configuration.origin
        if module is not None:
            change |= {"module": module.sha256, "module_origin": module.origin}
            self._send("PUT", f"/modules/{module.sha256}", content=module.content)
        answer = self._send("POST", "", json=change, missing_is_fine=module is not None)
        if answer is None and module is not None:  # it was tidied away before its turn came
            self._send("PUT", f"/modules/{module.sha256}", content=module.content)
            answer = self._send("POST", "", json=change)
        return _verdict(answer)

    def roll_back(self, version: str) -> Verdict:
        """Make a version live again, named by how it begins; without a name the one that was live before.

        Raises: ConfigError when there is no such version; StackError when nobody could be asked.
        """
        return _verdict(self._send("POST", "/rollback", json={"version": version}))

    def _send(self, method: str, path: str, *, missing_is_fine: bool = False, **options: Any) -> Mapping[str, Any] | None:
        import httpx2

        try:
            answer = self._client.request(method, self._url + path, headers=self._headers, timeout=ENVOY_TIMEOUT_S, **options)
            told = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise StackError(f"the console does not answer: {type(error).__name__}", hint="sandbox restart console") from error
        if answer.is_success:
            return told if isinstance(told, dict) else {}
        if answer.status_code == 409 and missing_is_fine:
            return None
        raise _error(answer.status_code, str(told.get("error", told)), hint=str(told.get("hint") or "sandbox status"))


def _error(status: int, reason: str, *, hint: str) -> SandboxError:
    match status:
        case 400 | 413:
            return ConfigError(reason, hint="sandbox swap --help")
        case 422:
            return ConfigError(reason, hint=hint)
        case 401:
            return StackError(reason, hint="sandbox restart console")
        case 507:
            return PreconditionError(reason, hint=hint)
        case _:
            return StackError(reason, hint=hint)


def _verdict(answer: Mapping[str, Any] | None) -> Verdict:
    assert answer is not None
    return Verdict(
        refused=answer["outcome"] == "refused",
        unchanged=answer["outcome"] == "unchanged",
        version=answer["version"],
        before=answer["before"],
        origin=answer["origin"],
        laid_at_s=answer["laid_at_s"],
        envoy_s=answer["elapsed_s"],
    )
