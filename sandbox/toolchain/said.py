"""A build that failed as an error: what went wrong in a line, then the compiler's own lines, with paths that lead there."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import BuildError, SandboxError
from sandbox.toolchain.compilers import Call
from sandbox.toolchain.go_errors import Case, explain_go

MAX_LINES = 40
MAX_LINE_CHARS = 1000
_DOWNLOADING = "go: downloading "
_PLACE = re.compile(r"(?<![\w./-])((?:\.{1,2}/)*[\w@+.-][\w@+./-]*\.\w+)(?=[:(]\d)")
_GO_ERROR = re.compile(r"[^\s:][^:]*\.go:\d+(?::\d+)?: (?!too many errors)")
_TOO_MANY = ": too many errors"
_FAILED = "--- FAIL: "
_NOT_BUILT = "[build failed]"


def explain(call: Call, returncode: int, lines: Sequence[str], *, seen_from: Path) -> SandboxError:
    """Why a build failed. Paths are as the user sees them, who is in `seen_from`."""
    said = _point_all(call, lines, seen_from)
    if call.toolchain == "command":
        name = call.command[-1].strip().splitlines()[0]
        return BuildError(f"the build command {_ended(returncode)}: {name}", details="\n".join(_last(said)))
    return _explain_go(call, lines, said, seen_from) or BuildError(_count(said, returncode), details="\n".join(_first(said)))


def explain_tests(call: Call, lines: Sequence[str], *, seen_from: Path) -> SandboxError:
    """Why `go test` failed, as `explain`."""
    said = _point_all(call, lines, seen_from)
    failed = any(line.lstrip().startswith(_FAILED) for line in said)
    error = None if failed else _explain_go(call, lines, said, seen_from)
    if error is None:
        what = "fail" if failed or not any(line.endswith(_NOT_BUILT) for line in said) else "do not compile"
        message = f"its tests {what}, so it is not swapped in"
        hint = f"cd {shlex.quote(shown(call.folder, seen_from))} && go test ./..."
        error = BuildError(message, details="\n".join(_last(said)), hint=hint)
    return error


def _point_all(call: Call, lines: Sequence[str], seen_from: Path) -> list[str]:
    return [point(line[:MAX_LINE_CHARS], call.folder, seen_from) for line in lines if not line.startswith(_DOWNLOADING)]


def _explain_go(call: Call, lines: Sequence[str], said: Sequence[str], seen_from: Path) -> SandboxError | None:
    return explain_go(
        Case(
            call=call,
            where=shlex.quote(shown(call.folder, seen_from)),
            text="\n".join(said),
            details="\n".join(_first(said)),
            downloads=tuple(line.removeprefix(_DOWNLOADING).replace(" ", "@") for line in lines if line.startswith(_DOWNLOADING)),
        )
    )


def point(line: str, folder: Path, seen_from: Path) -> str:
    """A compiler's line; each place in it that is relative to `folder` leads there from elsewhere, too."""
    if folder == seen_from:
        return line

    def replace(match: "re.Match[str]") -> str:
        path = Path(os.path.normpath(folder / match[1]))
        return shown(path, seen_from) if os.path.isfile(path) else match[0]  # noqa: PTH113 - the method raises in a closed folder

    return _PLACE.sub(replace, line)


def shown(path: Path, seen_from: Path) -> str:
    """Relative where it is below the folder that the user is in."""
    try:
        return str(path.relative_to(seen_from))
    except ValueError:
        return str(path)


def _count(said: Sequence[str], returncode: int) -> str:
    if returncode < 0:
        return f"the compiler {_ended(returncode)}"
    count = sum(1 for line in said if _GO_ERROR.match(line))
    if not count:
        return "the filter does not compile"
    more = "more than " if any(line.endswith(_TOO_MANY) for line in said) else ""
    return f"the filter does not compile: {more}{count} error{'s' if count > 1 else ''}"


def _ended(returncode: int) -> str:
    return f"was ended by signal {-returncode}" if returncode < 0 else f"failed with exit code {returncode}"


def _first(said: Sequence[str]) -> list[str]:
    left = len(said) - MAX_LINES
    return [*said[:MAX_LINES], f"… {left} more lines"] if left > 0 else list(said)


def _last(said: Sequence[str]) -> list[str]:
    left = len(said) - MAX_LINES
    return [f"… {left} lines before", *said[left:]] if left > 0 else list(said)
