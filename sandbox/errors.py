"""The errors a user can meet, and the exit code of each. Imports nothing.

SandboxError          1   failed
├── ConfigError       2   usage, settings, envoy.yaml, a file that is not what it should be
├── PreconditionError 3   something on this machine is missing or taken: Envoy, a port, a folder
├── BuildError        4   the filter does not build
├── StackError        5   the stack did not start, or stopped
└── RefusedError      6   Envoy refused the filter

70 is a bug of ours, 130 is Ctrl-C; neither is an error of this tree.
"""


class SandboxError(Exception):
    """What happened, why, and what to do about it.

    `message` is one line. `details` are further lines (a log's tail). `hint` is a command or a setting that can be pasted.
    """

    exit_code = 1

    def __init__(self, message: str, *, details: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.hint = hint


class ConfigError(SandboxError):
    """A flag, a setting or a file says something that cannot be."""

    exit_code = 2


class PreconditionError(SandboxError):
    """This machine lacks something, or something else holds it."""

    exit_code = 3


class BuildError(SandboxError):
    """The filter does not build. `details` are what the compiler said."""

    exit_code = 4


class StackError(SandboxError):
    """The stack did not start, or it ended."""

    exit_code = 5


class RefusedError(SandboxError):
    """Envoy refused the filter."""

    exit_code = 6


class NotTakenError(RefusedError):
    """A running Envoy refused another filter; the details say which one serves on."""
