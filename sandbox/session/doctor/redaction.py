"""How folders and foreign words are told in a bug report: without secrets, home folders and names of people."""

import os
import pwd
import re
import shlex
from pathlib import Path

from sandbox.observe.redact import redact
from sandbox.workspace import named_state_folder

SHORTEST_SECRET = 8
_TOLD = re.compile(r"^(SANDBOX|DOCKER)_|PROXY|TOKEN|SECRET|PASS|KEY|CREDENTIAL", re.IGNORECASE)
"""Variables whose values may be secret, or name machines and people."""


def redact_report(text: str) -> str:
    """`text` without tokens, values from the environment and the settings, the home folder and the user's name."""
    text = redact(text)
    text = re.sub(r""", not (['"]).*\1""", "", text)
    told = {name: value for name, value in os.environ.items() if value and _TOLD.search(name)}
    for name, value in sorted(told.items(), key=lambda item: -len(item[1])):
        text = text.replace(f"{name}={value}", name)
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"${name}")
    home = str(Path("~").expanduser())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    user = _user()
    return re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", "$USER", text) if user else text


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def shown(folder: Path) -> str:
    """The folder for a reader: below the variable, where one names it."""
    named = named_state_folder()
    return str(Path("$SANDBOX_STATE_DIR", folder.relative_to(named))) if named and folder.is_relative_to(named) else str(folder)


def pasteable(folder: Path) -> str:
    """The folder for a shell, without the home folder's name."""
    named = named_state_folder()
    if named and folder.is_relative_to(named):
        return '"$SANDBOX_STATE_DIR"/' + shlex.quote(str(folder.relative_to(named)))
    home = Path("~").expanduser()
    if folder.is_relative_to(home):
        return "~/" + shlex.quote(str(folder.relative_to(home)))
    return shlex.quote(str(folder))
