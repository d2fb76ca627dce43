"""`new`: where a project may go, what it never does to what is there, and that its files agree with the sandbox's own."""

import json
import os
import re
import stat
from pathlib import Path

import pytest
import yaml
from doctors import as_somebody_else
from typer.testing import CliRunner

import sandbox
from sandbox.cli.main import app
from sandbox.cli.new import Language
from sandbox.config import load_settings
from sandbox.envoy.resource import render_filter
from sandbox.errors import ConfigError, PreconditionError
from sandbox.session import new_files
from sandbox.session.new import MAX_NAME_CHARS, new
from sandbox.session.new_files import render_project
from sandbox.workspace import HOME, LANGUAGES, SOURCE, Project, find_project

ROOT = Path(__file__).resolve().parents[2]
every_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user is."""
    monkeypatch.delenv("SANDBOX_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder; None is a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def names(folder: Path) -> list[str]:
    """What is in a folder itself."""
    return sorted(path.name for path in folder.iterdir())


# Where it goes


@every_language
def test_a_folder_that_is_not_there(language: str, here: Path):
    made = new("mine", language=language)
    project = here / "mine"
    files = {name: content for name, content in tree(project).items() if content is not None}
    assert files == render_project("mine", language)
    assert (made.folder, made.files) == (str(project), tuple(sorted(files)))
    assert made.next_commands == ("cd mine", "sandbox up", "sandbox dev")
    assert names(here) == ["mine"]
    assert find_project(project / "filter").root == project
    assert load_settings(Project(root=project).settings_yaml, {}, {}).module == SOURCE


def test_files_and_folders_have_the_users_modes(here: Path):
    before = os.umask(0o027)
    try:
        new("mine", language="go")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (here / "mine", *(here / "mine").rglob("*"))}
    assert modes == {0o750, 0o640}


@pytest.mark.parametrize("named", ["empty", "empty/", "empty/.", ".", "../empty"])
def test_an_empty_folder_stays_the_same_one(named: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    folder = here / "empty"
    folder.mkdir(mode=0o700)
    if not named.startswith("empty"):
        monkeypatch.chdir(folder)
    before = folder.stat()
    made = new(named, language="c")
    assert tree(folder).keys() >= {"sandbox.yaml", "filter/filter.c"}
    assert (folder.stat().st_ino, folder.stat().st_mode) == (before.st_ino, before.st_mode)
    assert made.next_commands[0] == (f"cd {named}" if named.startswith("empty") else "sandbox up")
    assert names(here) == ["empty"]


def test_links_on_the_way_are_followed_and_the_last_is_not(here: Path):
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    assert new("link/mine", language="go").folder == str(here / "real" / "mine")
    for target in ("real", "nowhere"):
        (here / "mine").symlink_to(target)
        with pytest.raises(ConfigError, match="mine is a link"):
            new("mine", language="go")
        assert os.readlink(here / "mine") == target
        (here / "mine").unlink()
    assert names(here / "real") == ["mine"]


def test_nothing_is_ever_overwritten(here: Path):
    folder = here / "mine"
    folder.mkdir()
    for name in "abcdefg":
        (folder / name).write_text(name)
    before = tree(here)
    with pytest.raises(ConfigError) as caught:
        new("mine", language="go")
    assert caught.value.message == f"{folder} is not empty: it has a, b, c, d, e and 2 more"
    with pytest.raises(ConfigError, match="mine/a is there, and no folder"):
        new("mine/a", language="go")
    with pytest.raises(ConfigError, match=r"cannot make a folder in .*/mine/a: Not a directory"):
        new("mine/a/b", language="go")
    assert tree(here) == before


@pytest.mark.parametrize("name", ["my filter", "-x", ".x", "ä", "x\n", "$(x)", "a" * (MAX_NAME_CHARS + 1), ""])
def test_names_that_cannot_be(name: str, here: Path):
    with pytest.raises(ConfigError) as caught:
        new(name, language="go")
    assert "cannot be the name of a project" in caught.value.message
    assert caught.value.hint == "sandbox new my-filter"
    assert names(here) == []


def test_a_name_of_the_greatest_length(here: Path):
    name = "a" * MAX_NAME_CHARS
    new(name, language="go")
    assert (here / name / "README.md").read_text().startswith(f"# {name}\n")


def test_folders_on_the_way_are_not_made(here: Path):
    with pytest.raises(ConfigError) as caught:
        new("a b/mine", language="go")
    assert (caught.value.message, caught.value.hint) == (f"there is no folder {here}/a b", f"mkdir -p '{here}/a b'")
    (here / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"cannot make a folder in .*loop"):
        new("loop/mine", language="go")
    with pytest.raises(ConfigError, match="cannot be the name"):
        new("/", language="go")


def test_a_folder_that_is_closed(short: Path):
    """Root may write everywhere, so it is somebody else who tries."""
    short.chmod(0o755)
    code = """
import os, sys
from sandbox.errors import SandboxError
from sandbox.session.new import new
drop()
try:
    new(sys.argv[1] + "/mine", language="go")
except SandboxError as error:
    print(error.exit_code, error, error.hint)
"""
    said = as_somebody_else(code, str(short))
    assert said.strip() == f"3 cannot make {short}/mine: Permission denied ls -ld {short}; df -h {short}"


def test_a_folder_that_was_removed(here: Path):
    (here / "gone").mkdir()
    os.chdir(here / "gone")
    (here / "gone").rmdir()
    with pytest.raises(PreconditionError, match="the folder that you are in is gone"):
        new("mine", language="go")


@pytest.mark.parametrize("empty", [False, True], ids=["new", "empty"])
@pytest.mark.parametrize(
    ("error", "seen"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left"), PreconditionError)]
)
def test_whatever_interrupts_it_leaves_nothing(
    empty: bool, error: BaseException, seen: type, here: Path, monkeypatch: pytest.MonkeyPatch
):
    if empty:
        (here / "mine").mkdir()
    real, opened = Path.open, []

    def full(path: Path, mode: str = "r", **options: object):
        if "x" in mode:
            opened.append(path)
            if len(opened) == 9:
                raise error
        return real(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(seen):
        new("mine", language="assemblyscript")
    assert tree(here) == ({"mine": None} if empty else {})


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_who_comes_meanwhile_keeps_what_is_theirs(kind: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    real = Path.rename

    def late(path: Path, target: Path):
        folder = target if kind == "folder" else target.parent
        folder.mkdir(exist_ok=True)
        (folder / "theirs" if kind == "folder" else target).write_text("theirs")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(ConfigError, match="mine was made by somebody else meanwhile"):
        new("mine", language="go")
    assert tree(here) == ({"mine": None, "mine/theirs": b"theirs"} if kind == "folder" else {"mine": b"theirs"})


@pytest.mark.parametrize("kind", ["file", "link"])
def test_who_comes_meanwhile_into_an_empty_folder(kind: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    """A link in the way does not lead out of the folder."""
    (here / "mine").mkdir()
    (here / "elsewhere").mkdir()
    monkeypatch.setattr("sandbox.session.new._is_there", lambda _: True)
    path = here / "mine" / ("sandbox.yaml" if kind == "file" else "filter")
    path.write_text("theirs") if kind == "file" else path.symlink_to(here / "elsewhere")
    with pytest.raises(ConfigError, match="mine was made by somebody else meanwhile"):
        new("mine", language="go")
    assert names(here / "elsewhere") == []
    assert names(here / "mine") == [path.name]
    assert kind == "link" or path.read_text() == "theirs"


def test_the_next_commands_lead_to_this_project(here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "a b").mkdir()
    monkeypatch.setenv("SANDBOX_PROJECT", str(ROOT))
    made = new("a b/mine", language="go")
    assert made.next_commands == ("cd 'a b/mine'", "unset SANDBOX_PROJECT", "sandbox up", "sandbox dev")


def test_the_command_line(here: Path):
    assert tuple(Language) == LANGUAGES
    done = CliRunner().invoke(app, ["new", "mine"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"✔ a filter in Go: {here}/mine"
    assert "  filter/main.go" in lines
    assert lines[-4:] == ["next:", "  cd mine", "  sandbox up", "  sandbox dev"]
    done = CliRunner().invoke(app, ["new", "other", "--lang", "c", "-o", "json"])
    made = json.loads(done.stdout)
    assert (made["language"], made["folder"]) == ("c", f"{here}/other")
    assert "filter/filter.c" in made["files"]
    assert CliRunner().invoke(app, ["new", "third", "--lang", "cobol"]).exit_code == 2
    assert CliRunner().invoke(app, ["new", "mine"]).exit_code == 2
    assert names(here) == ["mine", "other"]


# What is in it


@every_language
def test_envoys_files_are_the_sandboxs_own(language: str):
    files = render_project("mine", language)
    for name in ("envoy/envoy.yaml", "compose.yaml"):
        assert files[name] == (HOME / name).read_bytes()
    text = files["envoy/xds/filter.yaml"].decode()
    mine, ours = yaml.safe_load(text), yaml.safe_load((HOME / "envoy/xds/filter.yaml").read_text())
    configuration = mine["resources"][0]["typed_config"]["config"].pop("configuration")["value"]
    ours["resources"][0]["typed_config"]["config"].pop("configuration")
    assert mine == ours
    assert "hello from my filter" in configuration
    assert (language == "go") == configuration.startswith("{")
    assert render_filter(text, "0" * 64, "filter.yaml", modules_folder="m").injected.marker_header == "x-wasm-filter"


def test_a_filter_yaml_that_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("envoy/envoy.yaml", "compose.yaml", "envoy/xds/filter.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x: y\n")
    monkeypatch.setattr(new_files, "HOME", tmp_path)
    with pytest.raises(ConfigError, match="does not end in a plugin configuration"):
        render_project("mine", "go")
    (tmp_path / "compose.yaml").unlink()
    with pytest.raises(PreconditionError, match=r"cannot read .*compose.yaml: No such file"):
        render_project("mine", "go")


@every_language
def test_nothing_of_the_templates_shows(language: str):
    files = render_project("mine", language)
    assert not [name for name in files if name.startswith("dot-") or "/dot-" in name or name == "configuration.yaml"]
    assert {".editorconfig", ".gitignore", ".vscode/settings.json", ".github/workflows/filter.yaml"} <= files.keys()
    assert not [name for name, content in files.items() if b"__NAME__" in content or b"__VERSION__" in content]
    text = files["README.md"].decode()
    assert f"version {sandbox.__version__}." in text
    linked = re.findall(r"\]\((?!http)([^)]+)\)", text) + re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(linked) >= 5
    assert [name for name in linked if not any(file.startswith(name) for file in files)] == []


@every_language
def test_what_editors_and_ci_read_can_be_read(language: str):
    files = {name: content.decode() for name, content in render_project("mine", language).items()}
    for name in (".vscode/settings.json", ".vscode/extensions.json", ".vscode/tasks.json"):
        assert json.loads(re.sub(r"^\s*//.*$", "", files[name], flags=re.MULTILINE))
    [job] = yaml.safe_load(files[".github/workflows/filter.yaml"])["jobs"].values()
    installs = [step["run"] for step in job["steps"] if "pip install" in step.get("run", "")]
    assert len(installs) == 1
    assert f"=={sandbox.__version__}'" in installs[0]


def test_gos_modules_are_those_of_the_shipped_filter():
    def modules(text: str) -> set[tuple[str, str]]:
        return set(re.findall(r"^(?:\t|require )(\S+/\S+ v\S+)|^(go .*)$", text, re.MULTILINE))

    mine = {name: content.decode() for name, content in render_project("mine", "go").items()}
    own = (ROOT / "filter/go.mod").read_text()
    assert modules(mine["filter/go.mod"]) == modules(own)
    assert len(modules(own)) == 4
    assert mine["filter/go.sum"] == (ROOT / "filter/go.sum").read_text()


def test_zig_is_the_one_that_is_tested():
    def hashes(text: str) -> str:
        return text[text.index("ziglang==") :]

    mine = render_project("mine", "c")["filter/requirements.txt"].decode()
    assert hashes((ROOT / "requirements/dev.txt").read_text()).startswith(hashes(mine))
    assert mine.count("--hash=sha256:") >= 5


def test_assemblyscript_is_pinned_without_addresses():
    files = render_project("mine", "assemblyscript")
    lock = json.loads(files["package-lock.json"])
    wanted = json.loads(files["package.json"])["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert lock["packages"][""]["devDependencies"] == wanted
    locked = {name: item for name, item in lock["packages"].items() if name}
    assert {f"node_modules/{name}" for name in wanted} <= locked.keys()
    assert all(item["integrity"].startswith("sha512-") and "resolved" not in item for item in locked.values())
    assert b"://" not in re.sub(rb'"url": "[^"]*"', b"", files["package-lock.json"])
    assert b"npm ci --ignore-scripts" in files["package.json"]
