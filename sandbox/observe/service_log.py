"""A line of a service's log, by the format of that service."""

from functools import lru_cache

from sandbox.observe.envoy_log import parse_envoy_line
from sandbox.observe.log_line import LogLine, parse_service_line
from sandbox.stack import ENVOY


@lru_cache(maxsize=8)  # whoever chooses a line and whoever shows it ask one after the other
def parse_line(service: str, text: str) -> LogLine:
    """Parse a line that this service wrote; never raises."""
    return (parse_envoy_line if service == ENVOY.name else parse_service_line)(text)
