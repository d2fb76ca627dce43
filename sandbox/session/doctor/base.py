"""What a check is: a function `check_*` from the facts to one of three states. No check itself, and nothing that runs one."""

from collections.abc import Callable

from sandbox.events.status import Check
from sandbox.session.doctor.facts import Facts

OK, WARNING, FAILED = "ok", "warning", "failed"

CheckFunction = Callable[[Facts], Check]


def name_of(check: CheckFunction) -> str:
    """`check_state_folder` is the check `state folder`."""
    return check.__name__.removeprefix("check_").replace("_", " ")


def overall(checks: list[Check]) -> str:
    """The worst state among them."""
    return max((check.state for check in checks), key=(OK, WARNING, FAILED).index)
