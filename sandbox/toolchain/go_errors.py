"""What Go says when it is not the filter's code that is wrong, but where modules come from, a cache, or a version."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.errors import BuildError, PreconditionError, SandboxError
from sandbox.toolchain.compilers import CACHE_HINT, Call
from sandbox.toolchain.find import GO_HINT

_MODULE = re.compile(r"([\w.~-]+(?:/[\w.~-]+)+@v[\w.+-]+):")
_PACKAGE = re.compile(r"(?:providing|provides) package ([^\s;]+)")
_CREDENTIALS = re.compile(r"(?<=//)[^/@,|]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A build that failed. `text` is what was said, `details` what of it is shown, `downloads` the modules that were asked for.

    `where` is the folder with the sources as the user would type it.
    """

    call: Call
    where: str
    text: str
    details: str
    downloads: tuple[str, ...]

    def go(self, command: str) -> str:
        """A command of Go's for the user to paste."""
        go = shlex.quote(self.call.go)
        return f"{go} {command}" if self.where == "." else f"{go} -C {self.where} {command}"


Explain = Callable[[Case, "re.Match[str]"], SandboxError]


def explain_go(case: Case) -> SandboxError | None:
    """What it means; None where the code itself does not compile."""
    for pattern, explain in _RULES:
        if match := re.search(pattern, case.text, re.MULTILINE):
            return explain(case, match)
    return None


def _no_space(case: Case, _: "re.Match[str]") -> SandboxError:
    folders = (case.call.environment.get(name, "") for name in ("TMPDIR", "GOCACHE", "GOMODCACHE"))
    hint = f"df -h {' '.join(map(shlex.quote, filter(None, folders)))}"
    return PreconditionError("no space is left for what the compiler writes", details=case.details, hint=hint)


def _no_cache(_: Case, match: "re.Match[str]") -> SandboxError:
    return PreconditionError(f"Go cannot write to its caches: {match[1]}", hint=CACHE_HINT)


def _newer_go(case: Case, match: "re.Match[str]") -> SandboxError:
    who, wanted, here = match.groups()
    hint = f"install Go {wanted}"
    if who == "go.mod":
        hint = f"{case.go(f'mod edit -go={here}')}, or {hint}"
    return PreconditionError(f"{who} asks for Go {wanted}, and here is Go {here}", hint=hint)


def _other_go(case: Case, match: "re.Match[str]") -> SandboxError:
    return PreconditionError(f"TinyGo {case.call.version} {match[0]}", hint=GO_HINT)


def _no_download(case: Case, _: "re.Match[str]") -> SandboxError:
    modules = sorted(set(_MODULE.findall(case.text))) or case.downloads
    which = modules[0] if modules else "the modules of the filter"
    more = f" and {len(modules) - 1} more" if len(modules) > 1 else ""
    proxy = _CREDENTIALS.sub("", case.call.environment.get("GOPROXY", ""))
    hint = (
        "GOPROXY=URL sandbox build, with a Go module proxy that your network lets you reach, or GOPROXY=direct; "
        f"or beforehand, with a network: {case.go('mod vendor')}"
    )
    return BuildError(f"{which}{more} cannot be downloaded with GOPROXY={proxy}", details=case.details, hint=hint)


def _mismatch(case: Case, match: "re.Match[str]") -> SandboxError:
    return BuildError(f"{match[1]} is not what go.sum says it is", details=case.details, hint=f"git diff {case.where}/go.sum")


def _not_tidy(case: Case, _: "re.Match[str]") -> SandboxError:
    packages = sorted(set(_PACKAGE.findall(case.text)))
    which = f": {', '.join(packages[:3])}{' …' if len(packages) > 3 else ''}" if packages else ""
    message = f"go.mod and go.sum lack something that the filter imports{which}"
    return BuildError(message, details=case.details, hint=case.go("mod tidy"))


def _vendor(case: Case, _: "re.Match[str]") -> SandboxError:
    return BuildError("the folder vendor/ is not what go.mod says", details=case.details, hint=case.go("mod vendor"))


def _no_sources(case: Case, _: "re.Match[str]") -> SandboxError:
    return BuildError(
        f"there is no Go filter in {case.where}",
        details=case.details,
        hint="sandbox new my-filter, or in sandbox.yaml: filter: {source: FOLDER}",
    )


_RULES: tuple[tuple[str, Explain], ...] = (
    (r"no space left on device", _no_space),
    (r"(?:failed to initialize build cache at|could not create module cache:|creating work dir:) (.*)", _no_cache),
    (r"(\S+) requires go >= (\S+) \(running go ([^;)\s]+)", _newer_go),
    (r"requires go version \S+ through [\d.]+, got \S+", _other_go),
    (r"^verifying (\S+): checksum mismatch", _mismatch),
    (r"^\S+\.go:\d+:\d+: (?:[\w./~-]+@v\S+: |module lookup disabled|invalid proxy URL|GOVCS disallows)", _no_download),
    (r": (?:Get|read|reading) \"?https?://|: git ls-remote ", _no_download),
    (r"missing go\.sum entry|no required module provides package|updates to go\.mod needed", _not_tidy),
    (r"inconsistent vendoring", _vendor),
    (r"^no Go files in|go\.mod file not found|cannot find main module|exclude all Go files in", _no_sources),
)
"""The first that is found. Source: Go 1.26 and TinyGo 0.41, each provoked; the tests provoke them again."""
