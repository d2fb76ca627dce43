"""Rules about what a module imports: each function has to be one that Envoy offers, in the form that Envoy has."""

from collections.abc import Iterator

from sandbox.toolchain.check.facts import Facts
from sandbox.toolchain.check.module import Import
from sandbox.toolchain.check.offer import Entry, expected
from sandbox.toolchain.check.report import OK, REFUSED, Finding, HostCall

_SHOWN = 5
_SDK = "use an SDK of proxy-wasm, and nothing that needs another host"
# Whose imports those of a module name are, and what to do.
_FOREIGN = (
    ("gojs", "built for a browser", "GOOS=wasip1 in place of GOOS=js"),
    ("go", "built for a browser", "GOOS=wasip1 in place of GOOS=js"),
    ("wasi:", "built for WASI 0.2", "build for wasip1 (wasm32-wasip1) in place of wasip2"),
    ("wbg", "made by wasm-bindgen, for a browser", "build for wasm32-wasip1, without wasm-bindgen"),
    ("__wbindgen", "made by wasm-bindgen, for a browser", "build for wasm32-wasip1, without wasm-bindgen"),
    ("a", "made by Emscripten, for a browser", "emcc -sSTANDALONE_WASM --no-entry"),
    ("wasi_snapshot_preview1", "not in this Envoy's part of WASI", "leave out what needs files, sockets or processes"),
    ("wasi_unstable", "not in this Envoy's part of WASI", "leave out what needs files, sockets or processes"),
)


def judge_calls(facts: Facts) -> Iterator[Finding]:
    """A finding for each import that Envoy would stumble over, up to a few; where there is none, how many there are."""
    problems: list[Finding] = []
    for item in facts.module.imports:
        if item.kind == "func":
            problems += _judge_call(facts, item)
        elif item.kind == "global":
            text = f"imports the variable {item.full_name}; Envoy has none"
            problems.append(Finding(topic="host calls", level=REFUSED, text=text, fix="link it as a whole, not as a library"))
        elif item.kind == "tag":
            text = f"imports the exception {item.full_name}: Envoy itself ends over it"
            problems.append(Finding(topic="host calls", level=REFUSED, text=text, fix="build it without exceptions"))
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        more = len(problems) - _SHOWN
        yield Finding(topic="host calls", level=REFUSED, text=f"and {more} more", fix="see all: sandbox check -o json")
    if not problems and facts.abi:
        count = len(list_calls(facts))
        yield Finding(topic="host calls", level=OK, text=f"{count}, all in Envoy {facts.envoy}" if count else "none")


def list_calls(facts: Facts) -> tuple[HostCall, ...]:
    """The imported functions; where the module says no ABI, none is known to be offered."""
    return tuple(
        HostCall(name=item.full_name, offered=bool(facts.abi) and not list(_judge_call(facts, item)))
        for item in facts.module.imports
        if item.kind == "func"
    )


def _judge_call(facts: Facts, item: Import) -> Iterator[Finding]:
    if not facts.abi:
        return  # there is one finding more important
    entries = facts.offer.calls.get(item.full_name, ())
    wanted = expected(entries, facts.abi, facts.envoy)
    if wanted is None:
        text, fix = _explain_missing(facts, item, entries)
    elif item.signature is not None and item.signature != wanted:
        text = f"imports {item.full_name} as ({item.signature}); Envoy has it as ({wanted})"
        fix = f"declare it as ABI {facts.abi} has it"
    else:
        return
    yield Finding(topic="host calls", level=REFUSED, text=text, fix=fix)


def _explain_missing(facts: Facts, item: Import, entries: tuple[Entry, ...]) -> tuple[str, str]:
    missing = f"imports {item.full_name}, which Envoy {facts.envoy} does not have"
    for entry in entries:
        if facts.abi in entry.abis:
            return f"{missing}; {_span(entry.envoys)} has it", f"Envoy {entry.envoys[0]}, or do without"
        return f"{missing} under ABI {facts.abi}, but under {', '.join(entry.abis)}", "an SDK of one ABI alone"
    for module, whose, fix in _FOREIGN:
        if item.module == module or (item.module.startswith(module) and not module.isalnum()):
            return f"{missing}: {whose}", fix
    if item.module == "env" and not item.name.startswith("proxy_"):
        return f"{missing}: undefined when it was linked", "define it, or link without --allow-undefined"
    return missing, _SDK


def _span(envoys: tuple[str, ...]) -> str:
    return f"Envoy {envoys[0]}" if len(envoys) == 1 else f"Envoy {envoys[0]} to {envoys[-1]}"
