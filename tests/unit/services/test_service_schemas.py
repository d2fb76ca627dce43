"""Both services against their own OpenAPI descriptions: schemathesis asks, every answer must be a described one."""

from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

import services.jwt_api.app
import services.jwt_api.settings
import services.upstream.app
import services.upstream.settings

# Every path takes every method (`unsupported_method`), any status can be asked for, one limit is a product of two.
EXCUSED = {
    "/status/{code}": [not_a_server_error, positive_data_acceptance],
    "/stream/{lines}": [positive_data_acceptance],
}
BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

jwt_api = schemathesis.openapi.from_asgi(
    "/openapi.json",
    services.jwt_api.app.create_app(services.jwt_api.settings.Settings(allowed_hosts=("localhost", "testserver"))),
)
upstream = schemathesis.openapi.from_asgi(
    "/openapi.json", services.upstream.app.create_app(services.upstream.settings.Settings())
)


@jwt_api.parametrize()
@BOUNDED
def test_the_jwt_api_answers_as_described(case: Case[Any]) -> None:
    case.call_and_validate()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        pass

    monkeypatch.setattr("services.upstream.routes.asyncio", SimpleNamespace(sleep=sleep))


@upstream.parametrize()
@BOUNDED
@pytest.mark.usefixtures("_no_pauses")
def test_the_upstream_answers_as_described(case: Case[Any]) -> None:
    case.call_and_validate(excluded_checks=[unsupported_method, *EXCUSED.get(case.path, ())])
