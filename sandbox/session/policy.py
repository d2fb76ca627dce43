"""What becomes of a filter that crashes: the failure policy of its configuration."""

import contextlib
from functools import lru_cache

from sandbox.errors import ConfigError
from sandbox.session.context import Context
from sandbox.workspace import RUN_FILTER_YAML


def read_policy(context: Context) -> str | None:
    """The failure policy of the filter that runs, else of the one that would; None when nobody knows."""
    for path in (context.state.run / RUN_FILTER_YAML, context.state.mounts / RUN_FILTER_YAML, context.project.filter_yaml):
        with contextlib.suppress(OSError, ConfigError):
            return _policy_of(path.read_text(encoding="utf-8", errors="replace"), str(path))
    return None


@lru_cache(maxsize=1)
def _policy_of(text: str, name: str) -> str:
    from sandbox.envoy.resource import read_failure_policy

    return read_failure_policy(text, name)
