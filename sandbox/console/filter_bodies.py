"""What is said and answered about the filter over HTTP."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.stack import MAX_ORIGIN_CHARS

SHA256 = re.compile(r"[0-9a-f]{64}")


class Version(BaseModel):
    """A version of the filter that Envoy took."""

    version: str = Field(description="As Envoy's `version_text`: SHA-256 of the module, a dash, 12 digits of its configuration")
    module_bytes: int
    origin: str = Field(examples=["tinygo"], description="Where it came from, for people")
    since_s: float = Field(description="When it went live last, seconds since the epoch")
    parked: bool = Field(description="Whether Envoy keeps its module compiled, so that going back takes a moment")


class Versions(BaseModel):
    """The newest last; that one is live."""

    versions: list[Version]


class Change(BaseModel):
    """What is to be live. What is not named stays as it is live now."""

    model_config = ConfigDict(extra="forbid")
    module: str | None = Field(None, description="SHA-256 of a module that was uploaded", pattern=f"^{SHA256.pattern}$")
    resource: str | None = Field(None, description="Another filter.yaml")
    configuration: str | None = Field(None, description="Another plugin configuration")
    module_origin: str = Field("", description="Where the module came from, for people", max_length=MAX_ORIGIN_CHARS)
    configured_by: str | None = Field(
        None,
        description="Where the configuration came from, for people; empty: it is the project's own",
        max_length=MAX_ORIGIN_CHARS,
    )


class Back(BaseModel):
    """Where to go back to."""

    model_config = ConfigDict(extra="forbid")
    version: str = Field("", description="How its version begins; empty: the last one that was live", max_length=80)


class Done(BaseModel):
    """What became of it."""

    outcome: str = Field(description="`live`, `unchanged` (it was live already), or `refused`: what was live still is")
    version: str
    before: str
    origin: str
    laid_at_s: float = Field(description="When Envoy was given it, seconds since the epoch: its log says from then on why not")
    elapsed_s: float


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """For the description of the API: bodies are read here, so that a wrong one gets an answer as all others do."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


MODULE_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/wasm": {"schema": {"type": "string"}}}}}
