"""Parked filters: ECDS resources on a listener that nobody can reach, which keep modules compiled that were live.

Going back to a module that is alive anywhere in Envoy takes 0.1 s, where compiling Go's takes two. What is parked must not be
noticed: it gets a VM id of its own, so that it shares no data, and Envoy neither ticks it nor lets it call anybody.
"""

from sandbox.envoy.bootstrap import dump_yaml, load_yaml

_IDLE = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
"""A filter that does nothing without a policy."""

# Source: the callbacks and host calls of the ABI (toolchain/check/host_calls.json). Left out: ticks, whatever leaves Envoy, and
# what would be counted or queued where others see it.
_ALLOWED = (
    *("_initialize", "_start", "main", "__main_void", "malloc", "proxy_on_memory_allocate", "proxy_validate_configuration"),
    *("proxy_on_vm_start", "proxy_on_configure", "proxy_on_context_create", "proxy_on_done", "proxy_on_log", "proxy_on_delete"),
    *("proxy_log", "proxy_get_log_level", "proxy_get_property", "proxy_set_property", "proxy_get_configuration"),
    *("proxy_get_buffer_bytes", "proxy_get_buffer_status", "proxy_get_current_time_nanoseconds"),
    *("proxy_set_tick_period_milliseconds", "proxy_set_effective_context", "proxy_done", "proxy_call_foreign_function"),
    *("proxy_get_shared_data", "proxy_set_shared_data", "proxy_register_shared_queue", "proxy_resolve_shared_queue"),
    *("proxy_define_metric", "proxy_get_metric"),
    *("args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_time_get", "clock_res_get", "random_get"),
    *(
        "fd_close",
        "fd_fdstat_get",
        "fd_fdstat_set_flags",
        "fd_prestat_get",
        "fd_prestat_dir_name",
        "fd_read",
        "fd_seek",
        "fd_write",
    ),
    *("poll_oneoff", "proc_exit", "sched_yield"),
)


def render_idle(name: str) -> bytes:
    """Nothing is parked at the place of that name."""
    return _render(name, "idle", {"@type": _IDLE})


def render_parked(name: str, text: str, version: str) -> bytes:
    """Park at the place of that name the filter of which `text` is the resource, as `resource.render_filter` made it."""
    [item] = load_yaml(text, name)["resources"]
    typed = item["typed_config"]
    config = typed["config"]
    config["name"] = name
    config["vm_config"]["vm_id"] = name
    config["capability_restriction_config"] = {"allowed_capabilities": {name: {} for name in _ALLOWED}}
    return _render(name, version, typed)


def _render(name: str, version: str, typed: dict[str, object]) -> bytes:
    resource = {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": name, "typed_config": typed}
    return dump_yaml({"version_info": version, "resources": [resource]})
