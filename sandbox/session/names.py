"""Names that a user types."""

import difflib
from collections.abc import Iterable

from sandbox.errors import ConfigError
from sandbox.stack import service_names


def check_services(names: Iterable[str]) -> tuple[str, ...]:
    """The names, if each is a service of the stack.

    Raises: ConfigError with the nearest name.
    """
    known = service_names()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"no service is called {name!r}", hint=hint)
    return tuple(names)
