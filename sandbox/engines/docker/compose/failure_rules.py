"""What Docker is known to say when something fails, and what that means for a user of ours. Data, and no I/O.

Source: recordings in tests/fixtures/docker, and for what they lack: moby/moby issues 23971 (pools), Docker Desktop's
file sharing and port messages (docker/for-mac), Docker Engine 28 and 29 release notes (port messages).
"""

import re
from dataclasses import dataclass

from sandbox.errors import ConfigError, PreconditionError, SandboxError, StackError

ELSEWHERE = "sandbox bundle load FILE, or sandbox up --engine local"
MIRROR = f"SANDBOX_REGISTRY=mirror.example.org sandbox up, or {ELSEWHERE}"
SHARE = "share its folder with Docker's virtual machine (colima start --mount FOLDER; in Docker Desktop: File sharing)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is meant where `pattern` is found. `says` and `hint` may name its groups, less a final digit, and `{image}`."""

    pattern: re.Pattern[str]
    says: str
    hint: str
    kind: type[SandboxError] = PreconditionError


def _rule(pattern: str, says: str, hint: str, kind: type[SandboxError] = PreconditionError) -> Rule:
    return Rule(pattern=re.compile(pattern, re.IGNORECASE), says=says, hint=hint, kind=kind)


_UNREACHABLE = (
    r"(?:no such host|temporary failure in name resolution|name or service not known|server misbehaving|network is unreachable"
    r"|no route to host|connection refused|connection reset by peer|i/o timeout|tls handshake timeout|client\.timeout exceeded"
    r"|context deadline exceeded|proxyconnect)"
)

PORT = re.compile(
    r"(?:listen tcp[46]?|bind for|bind host port(?: for)?|exposing port tcp) (?:[\d.]+|\[[\da-f:]*\]|):(?P<port>\d+)"
    r".*(?:already in use|already allocated)",
    re.IGNORECASE,
)
"""A published port that somebody else has."""

RULES: tuple[Rule, ...] = (
    # What the user set.
    _rule(r"empty compose file", "compose.yaml is empty", "git checkout compose.yaml", ConfigError),
    _rule(
        r"unknown operating system or architecture|does not match the specified platform",
        "no image fits the platform that is asked for",
        "unset DOCKER_DEFAULT_PLATFORM",
        ConfigError,
    ),
    # The engine itself.
    _rule(
        r"permission denied while trying to connect",
        "this user may not use the engine's socket",
        "sudo usermod -aG docker $USER && newgrp docker",
    ),
    _rule(
        r"cannot connect to the docker daemon|failed to connect to the docker api|error during connect|dial unix \S+: connect: ",
        "Docker's engine does not answer any more, or does not run",
        "docker info, or sandbox up --engine local",
    ),
    _rule(
        r"requires? docker engine v?(?P<needed>\d+)|client version \S+ is too new",
        "this Docker Engine is too old for compose.yaml",
        "install a newer one (https://docs.docker.com/engine/install/), or sandbox up --engine local",
    ),
    _rule(
        r"no space left on device|disk quota exceeded",
        "Docker has no disk space left",
        "docker system df, then docker system prune",
    ),
    _rule(
        r"non-overlapping ipv4 address pool|predefined address pools have been fully subnetted|available predefined network",
        "Docker has no address range left for one more network",
        'docker network prune, or more "default-address-pools" in /etc/docker/daemon.json, or sandbox up --engine local',
    ),
    _rule(
        r"bind source path does not exist: (?P<path>.+)|mounts denied:\s*the paths? (?P<path2>\S+)"
        r"|creating mount source path '(?P<path3>[^']+)'|error mounting \"(?P<path4>[^\"]+)\".*mount a directory onto a file",
        "Docker's engine does not see {path}, which the stack mounts",
        f"{SHARE}, or sandbox up --engine local",
    ),
    _rule(PORT.pattern, "port {port} is taken", "docker ps, then sandbox up with another port"),
    _rule(
        r"cannot expose privileged port (?P<port>\d+)",
        "this Docker may not publish port {port}: it runs without root",
        "sandbox up with ports from 1024 on",
    ),
    # Images.
    _rule(
        r"toomanyrequests|429 too many requests|pull rate limit",
        "{image} cannot be pulled: the registry has counted too many downloads from this network (rate limit)",
        f"docker login, or {MIRROR}",
    ),
    _rule(
        r"no matching manifest for (?P<platform>[\w/]+)",
        "{image} cannot be pulled: there is none for this machine's platform ({platform})",
        MIRROR,
    ),
    _rule(r"no match for platform in manifest", "{image} cannot be pulled: there is none for this machine's platform", MIRROR),
    _rule(
        r"x509: |tls: failed to verify certificate|certificate signed by unknown authority",
        "{image} cannot be pulled: Docker does not trust the registry's certificate, as where a proxy opens TLS",
        f"give the proxy's CA to Docker (docs/docker.md), or {ELSEWHERE}",
    ),
    _rule(
        r"pull access denied|access to the resource is denied|authentication required|insufficient_scope"
        r"|: (?:denied|unauthorized)\b|^(?:denied|unauthorized)\b|401 unauthorized|403 forbidden|no basic auth credentials",
        "{image} cannot be pulled: the registry does not have it, or wants a login",
        f"docker login, or {MIRROR}",
    ),
    _rule(
        r"manifest unknown|manifest for \S+ not found|name unknown|repository \S+ not found"
        r"|failed to resolve source metadata for \S+ \S+: not found",
        "{image} cannot be pulled: the registry does not have it",
        MIRROR,
    ),
    _rule(
        r"no such image: (?P<missing>\S+)",
        "Docker does not have the image {missing}, and was told not to pull it",
        f"sandbox up --pull missing, or {ELSEWHERE}",
    ),
    _rule(
        rf"(?:lookup (?P<host>[\w.-]+)|https?://(?P<host2>[^/\"\s]+)).*?(?P<why>{_UNREACHABLE})",
        "{image} cannot be pulled: the registry {host} cannot be reached ({why})",
        MIRROR,
    ),
    _rule(
        r"(?:unexpected|received) .*status.*(?P<status>5\d\d [\w ]+)",
        "{image} cannot be pulled: the registry answers with {status}",
        f"sandbox up, once more, or {MIRROR}",
    ),
    # The model, and the containers.
    _rule(
        r"(?:validating|failed to parse) \S*?(?P<file>[^/\s]+\.ya?ml): (?P<problem>.+)|error while interpolating (?P<problem2>.+)"
        r"|(?P<problem3>service \S+ (?:depends on|refers to|has neither) .+)|(?P<problem4>invalid compose project.*)"
        r"|(?:^|: )(?P<problem5>yaml: .+)",
        "compose.yaml: {problem}",
        "docker compose config",
        ConfigError,
    ),
    _rule(
        r"container (?P<name>\S+) (?P<how>exited \(\d+\)|is unhealthy)",
        "the container {name} {how}",
        "sandbox logs (and sandbox up --keep leaves the stack for a look)",
        StackError,
    ),
)

BUILD_RULES: tuple[Rule, ...] = (
    _rule(
        r"certificate_verify_failed|certificate verify failed|self-signed certificate|sslcertverificationerror",
        "packages cannot be fetched: a certificate is not trusted, as where a proxy opens TLS",
        "SANDBOX_CA_BUNDLE=/path/ca.pem sandbox up",
    ),
    _rule(r"no space left on device", "Docker has no disk space left", "docker system df, then docker system prune"),
    _rule(
        rf"(?:failed to establish a new connection: (?:\[errno -?\d+\] )?)?(?P<why>{_UNREACHABLE}|read timed out)",
        "packages cannot be fetched: the index cannot be reached ({why})",
        f"PIP_INDEX_URL=https://mirror.example.org/simple sandbox up, or {ELSEWHERE}",
    ),
    _rule(
        r"no matching distribution found for (?P<package>\S+)",
        "the index does not have {package}, or cannot be reached",
        f"PIP_INDEX_URL=https://mirror.example.org/simple sandbox up, or {ELSEWHERE}",
    ),
)
"""What the program of a build's step says: package installers, that is."""
