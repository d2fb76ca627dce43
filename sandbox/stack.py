"""The stack as frozen values: which services there are, which ports they listen on, how each is found. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A place that a service listens on, by the name that envoy.yaml, settings and `status` give it.

    `number` is the port inside the stack. A published port is also the default on the host.
    """

    name: str
    number: int
    published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process (or container) of the stack."""

    name: str
    ports: tuple[Port, ...]


INGRESS = Port(name="ingress", number=10000, published=True)
BYPASS = Port(name="bypass", number=10001, published=True)
CONSOLE_PORT = Port(name="console", number=9901, published=True)
JWT_API_PORT = Port(name="jwt-api", number=8081, published=False)
UPSTREAM_PORT = Port(name="upstream", number=8082, published=False)

ENVOY = Service(name="envoy", ports=(INGRESS, BYPASS))
JWT_API = Service(name="jwt-api", ports=(JWT_API_PORT,))
UPSTREAM = Service(name="upstream", ports=(UPSTREAM_PORT,))
CONSOLE = Service(name="console", ports=(CONSOLE_PORT,))

ENGINE_NAMES = ("auto", "docker", "local")
"""What can be asked for; `auto` is the best at hand."""

ENVOY_VERSION = "1.40.0"
"""Of the wheel that the local engine runs and of the image that Docker runs, unless the settings ask for another."""

ENVOY_VERSIONS = {"1.36": "1.36.4", "1.37": "1.37.0", "1.38": "1.38.2", "1.39": "1.39.3", "1.40": ENVOY_VERSION}
"""Which version stands for a minor one: the newest whose wheel can run Wasm. That of 1.38.3 (Linux, x86-64) has no V8 in it."""

FILTER_NAME = "token_injector"
"""The HTTP filter in envoy.yaml and its resource in filter.yaml. The console asks Envoy for it by this name."""

PARKED_NAMES = ("parked_a", "parked_b")
"""The filters in envoy.yaml that keep modules compiled, and their resources. A project may do without."""

MAX_MODULE_BYTES = 64 * 1024 * 1024
"""Of a filter; a larger one is not loaded."""
MAX_ORIGIN_CHARS = 200
"""Of where a filter came from, for people."""

SERVICES = (ENVOY, JWT_API, UPSTREAM, CONSOLE)
PUBLISHED = tuple(port for service in SERVICES for port in service.ports if port.published)


def service_names() -> tuple[str, ...]:
    """Every service of the stack, Envoy first."""
    return tuple(service.name for service in SERVICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host:port`, as in a Host header."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The plain http URL, without a slash at its end."""
        return f"http://{self.authority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where each port of the stack is, by the port's name, as the stack itself and as the host sees it."""

    inside: Mapping[str, Address]
    host: Mapping[str, Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How the local engine starts one service.

    Either `argv` (a program) or `serve` (`module:function`, a Python server that is handed its listening socket).
    `listens` names the port of which it gets the socket. `shares` are modules that several servers need and that are slow to
    import: the engine imports them once, before it forks.
    """

    name: str
    argv: tuple[str, ...] = ()
    serve: str = ""
    listens: str = ""
    shares: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def shorten(version: str) -> str:
    """Of a filter's version as much as tells it from others: twelve digits of the module, and twelve of its configuration."""
    sha256, _, configuration = version.partition("-")
    return f"{sha256[:12]}-{configuration[:12]}"
