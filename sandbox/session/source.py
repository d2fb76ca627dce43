"""The project's own filter, built from its sources, as something that can be given to Envoy."""

from collections.abc import Generator, Iterator
from pathlib import Path

from sandbox.envoy.resource import render_filter
from sandbox.events.filter import BuiltModule
from sandbox.events.stack import Notice
from sandbox.events.verb import Event
from sandbox.session.build import Choice, build, recipe_of
from sandbox.session.context import Place
from sandbox.session.given import GivenConfiguration, GivenModule, read_configuration
from sandbox.toolchain.module_file import read_module_file
from sandbox.workspace import Project


def build_source(
    place: Place, *, toolchain: Choice | None = None, envoy: str | None = None
) -> Generator[Event, None, GivenModule]:
    """Build it.

    Raises: BuildError, PreconditionError, ConfigError; RefusedError when Envoy would not take it.
    """
    built: BuiltModule | None = None
    for event in build(place, toolchain=toolchain, envoy=envoy):
        if isinstance(event, BuiltModule):
            built = event
        yield event
    assert built, "a build ends with a module, or raises"
    yield from warn(built)
    return given_module(built, recipe_of(place).source)


def warn(built: BuiltModule) -> Iterator[Notice]:
    """Tell what `check` has against a module that Envoy would take."""
    if built.problem:
        yield Notice(text=f"{built.problem}{' → ' if built.fix else ''}{built.fix}")


def own_configuration(project: Project) -> GivenConfiguration:
    """The project's filter.yaml.

    Raises: ConfigError.
    """
    text = read_configuration(project.filter_yaml)
    render_filter(text, "", str(project.filter_yaml), modules_folder="")
    return GivenConfiguration(resource=text, configuration=None, origin="")


def given_module(built: BuiltModule, source: Path) -> GivenModule:
    """A module that was built, and looked at, as it is given to Envoy."""
    maker = "its own build" if built.toolchain == "command" else f"{built.toolchain} {built.version}"
    return GivenModule(content=read_module_file(Path(built.path)), sha256=built.sha256, origin=f"{source.name}/, {maker}")
