"""envoy.yaml as an engine needs it: the same file with each known address replaced by the one that the service really has."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.errors import ConfigError
from sandbox.stack import BYPASS, FILTER_NAME, INGRESS, JWT_API, UPSTREAM, Address

ANY_INTERFACE = "0.0.0.0"  # noqa: S104 - of a container, of which only named ports are published
_LISTENERS = (INGRESS.name, BYPASS.name)
_CLUSTERS = (UPSTREAM.name, JWT_API.name)


def load_yaml(text: str, name: str) -> dict[str, Any]:
    """Parse a YAML mapping.

    Raises: ConfigError with the line and column of what is wrong.
    """
    import yaml

    # libyaml's loader, where PyYAML was built with it, is ten times as fast; its dumper too.
    loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(text, Loader=loader)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{where}: {getattr(error, 'problem', None) or error}", hint=f"open {name} at that line") from error
    if not isinstance(value, dict):
        what = "is empty" if value is None else f"must be a mapping, not a {type(value).__name__}"
        raise ConfigError(f"{name} {what}", hint=f"git checkout {name}")
    return value


def dump_yaml(value: Mapping[str, Any]) -> bytes:
    """Write YAML in the order of the mapping."""
    import yaml

    dumper: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return bytes(yaml.dump(value, Dumper=dumper, sort_keys=False, encoding="utf-8"))


def place_addresses(text: str, addresses: Mapping[str, Address], name: str) -> bytes:
    """Put `addresses` (by port name) in place of those of the listeners and clusters of the same name.

    What the file names beyond them stays as it is.

    Raises: ConfigError when the file is no bootstrap, or lacks a listener, a cluster or the filter that the stack needs.
    """
    bootstrap = load_yaml(text, name)
    resources = bootstrap.get("static_resources")
    if not isinstance(resources, dict):
        raise ConfigError(f"{name} has no static_resources", hint=f"git diff {name}")
    listeners = _by_name(resources.get("listeners"))
    clusters = _by_name(resources.get("clusters"))
    for kind, wanted, found in (("listener", _LISTENERS, listeners), ("cluster", _CLUSTERS, clusters)):
        for missing in set(wanted) - set(found):
            raise ConfigError(f"{name} has no {kind} named {missing!r}, which the sandbox needs", hint=f"git diff {name}")
    if FILTER_NAME not in _discovered_filters(listeners[INGRESS.name]):
        message = f"{name}: listener {INGRESS.name} has no filter named {FILTER_NAME!r} with config_discovery"
        raise ConfigError(f"{message}, which the sandbox needs", hint=f"git diff {name}")
    for listener in _LISTENERS:
        _place(listeners[listener].get("address"), _to_bind(addresses[listener]), f"{name}: listener {listener}")
    for cluster in _CLUSTERS:
        for address in _endpoint_addresses(clusters[cluster]):
            _place(address, addresses[cluster], f"{name}: cluster {cluster}")
    return b"# Made by sandbox from " + name.encode() + b"; edit that one.\n" + dump_yaml(bootstrap)


def _by_name(items: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(items, list):
        return {}
    return {str(item.get("name")): item for item in items if isinstance(item, dict)}


def _discovered_filters(listener: Mapping[str, Any]) -> list[str]:
    try:
        return [
            item["name"]
            for chain in listener["filter_chains"]
            for network_filter in chain["filters"]
            for item in network_filter["typed_config"].get("http_filters", ())
            if "config_discovery" in item
        ]
    except (AttributeError, KeyError, TypeError):
        return []


def _endpoint_addresses(cluster: Mapping[str, Any]) -> Iterator[Any]:
    try:
        for locality in cluster["load_assignment"]["endpoints"]:
            for endpoint in locality["lb_endpoints"]:
                yield endpoint["endpoint"]["address"]
    except (KeyError, TypeError):
        yield None


def _to_bind(address: Address) -> Address:
    """Where a listener listens that others find there: known by a name, it is alone in a container, on all of its interfaces."""
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return Address(host=ANY_INTERFACE, port=address.port)
    return address


def _place(holder: Any, address: Address, where: str) -> None:
    try:
        socket_address = holder["socket_address"]
        socket_address["address"], socket_address["port_value"] = address.host, address.port
    except (KeyError, TypeError):
        raise ConfigError(f"{where} has no socket_address") from None
