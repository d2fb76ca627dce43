"""`check`: read the file of a module, whatever is at its path, and judge it. Asks no Envoy and changes nothing."""

from pathlib import Path

from sandbox.errors import ConfigError
from sandbox.stack import ENVOY_VERSION
from sandbox.toolchain.check.judge import judge
from sandbox.toolchain.check.offer import load_offer
from sandbox.toolchain.check.report import ModuleReport
from sandbox.toolchain.module_file import read_module_file


def check(file: Path, *, envoy: str | None) -> ModuleReport:
    """Judge a module for an Envoy, as `1.38` or `1.38.2`; None is the one that the sandbox runs.

    Raises: ConfigError when the file can't be read, or nobody has measured that Envoy.
    """
    return check_bytes(read_module_file(file), envoy=envoy)


def check_bytes(module: bytes, *, envoy: str | None) -> ModuleReport:
    """As `check`, of a module that was read already.

    Raises: ConfigError when nobody has measured that Envoy.
    """
    return judge(module, _measured(envoy or ENVOY_VERSION))


def nearest(version: str) -> str:
    """The measured Envoy that says most about this one: itself, or the newest."""
    known = load_offer().envoys
    minor = ".".join(version.split(".")[:2])
    return minor if minor in known else known[-1]


def _measured(version: str) -> str:
    known = load_offer().envoys
    minor = ".".join(version.split(".")[:2])
    if minor not in known:
        raise ConfigError(
            f"what Envoy {version} offers is not known, only that of {', '.join(known)}",
            hint=f"sandbox check --envoy {known[-1]} FILE",
        )
    return minor
