"""What the rules look at: a module that could be read, the Envoy in question, and what that offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.toolchain.check.maker import find_maker
from sandbox.toolchain.check.module import Module
from sandbox.toolchain.check.offer import ABI_EXPORT, ABIS, Offer, load_offer

LOAD_S = 0.03
LOAD_S_PER_CODE_MB = 1.2
"""Of V8's compiler on two cores. Source: `--mode validate` of Envoy 1.40: Go's 1.85 MB of code 2.4 s, TinyGo's 0.13 MB 0.2 s,
a module without code 0.04 s; docs/rationale.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`exports` are the exported functions by name. `maker` is the compiler's name and version."""

    module: Module
    data: bytes = field(repr=False)
    envoy: str
    offer: Offer
    abi: str | None
    maker: tuple[str, str] | None
    exports: Mapping[str, str | None]

    @property
    def made_by(self) -> str:
        """The compiler's name; empty where nobody knows."""
        return self.maker[0] if self.maker else ""

    @property
    def load_s(self) -> float:
        """How long Envoy will take to compile it, roughly."""
        return LOAD_S + LOAD_S_PER_CODE_MB * self.module.code_bytes / 1e6

    def imports(self, name: str) -> bool:
        """Whether it imports that function."""
        return any(item.full_name == name for item in self.module.imports)


def read_facts(module: Module, data: bytes, envoy: str) -> Facts:
    """Gather them."""
    exports = {item.name: item.signature for item in module.exports if item.kind == "func"}
    known = {f"{ABI_EXPORT}{abi.replace('.', '_')}": abi for abi in ABIS}
    return Facts(
        module=module,
        data=data,
        envoy=envoy,
        offer=load_offer(),
        abi=next((known[name] for name in exports if name in known), None),  # Envoy, too, takes the first
        maker=find_maker(module, data),
        exports=exports,
    )
