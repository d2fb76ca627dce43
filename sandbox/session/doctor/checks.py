"""The registry: every check, in the order in which they are told. A new one is entered here."""

from sandbox.session.doctor.base import CheckFunction
from sandbox.session.doctor.machine import check_cpu, check_envoy, check_proxy, check_python, check_system
from sandbox.session.doctor.project import check_filter, check_sandbox, check_settings
from sandbox.session.doctor.stack import (
    check_bypass_port,
    check_console_port,
    check_ingress_port,
    check_stack,
    check_state_folder,
)
from sandbox.session.doctor.tools import check_docker, check_go, check_tinygo

CHECKS: tuple[CheckFunction, ...] = (
    check_sandbox,
    check_settings,
    check_system,
    check_cpu,
    check_python,
    check_envoy,
    check_filter,
    check_go,
    check_tinygo,
    check_docker,
    check_ingress_port,
    check_bypass_port,
    check_console_port,
    check_state_folder,
    check_proxy,
    check_stack,
)
