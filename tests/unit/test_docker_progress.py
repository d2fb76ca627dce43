"""What Docker says line by line, and how far the images are by it. The lines are real ones, except those that fit nowhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import names, recorded

from sandbox.engines.docker.compose.progress import ProgressReader
from sandbox.engines.docker.compose.said import BuildSaid, ClassicStep, EndSaid, ImageSaid, LayerSaid, parse_line
from sandbox.events.stack import Progress

ONE, TWO, BUILT = "127.0.0.1:5999/sample/one:1", "127.0.0.1:5999/sample/two:1", "recorded/one:1"


def read(name):
    reader = ProgressReader()
    return [progress for line in recorded(name) if (progress := reader.read(line))]


def details(name):
    said = [progress.detail for progress in read(name)]
    return [detail for number, detail in enumerate(said) if number == 0 or said[number - 1] != detail]


def test_a_pull_begins_without_sizes_and_ends_with_all_bytes():
    of_one = [progress for progress in read("pull") if progress.item == ONE]
    begin = Progress(kind="pull", item=ONE, detail="", done_bytes=None, total_bytes=None, finished=False)
    assert of_one[0] == begin
    assert of_one[-1].finished
    assert of_one[-1].detail == "3 of 3 layers"
    assert of_one[-1].done_bytes == of_one[-1].total_bytes
    assert 4_220_000 < of_one[-1].total_bytes < 4_230_000
    assert [progress.finished for progress in of_one].count(True) == 1


def test_bytes_only_grow():
    for item in (ONE, TWO):
        done = [progress.done_bytes or 0 for progress in read("pull") if progress.item == item]
        assert done == sorted(done)
        assert all(p.done_bytes <= p.total_bytes for p in read("pull") if p.done_bytes is not None)


def test_what_is_here_already_has_no_size():
    assert {(p.item, p.finished, p.total_bytes) for p in read("pull-again")} == {
        (item, finished, None) for item in (ONE, TWO) for finished in (False, True)
    }


def test_a_build_goes_through_its_steps():
    seen = details("build-buildkit")
    assert seen[0] == ""
    assert seen[1].endswith(" 1/3] FROM docker.io/library/python:3.13-slim-trixie")  # of either stage
    assert seen[2:6] == [
        "[packages 2/3] COPY compose.yaml /build/",
        "[packages 3/3] RUN echo one && sleep 0.3 && echo two",
        "[stage-1 2/3] COPY --from=packages /build /build",
        "[stage-1 3/3] RUN echo three",
    ]
    assert read("build-buildkit")[-1].finished


def test_the_classic_builder_has_steps_too():
    assert details("build-classic")[:3] == [
        "",
        "[1/7] FROM python:3.13-slim-trixie AS packages",
        "[2/7] COPY compose.yaml /build/",
    ]
    assert [(p.item, p.finished) for p in read("build-classic")][-1] == (BUILT, True)


def test_what_a_build_downloads_is_counted():
    last = read("build-pulls-buildkit")[-1]
    assert (last.kind, last.item, last.finished) == ("build", BUILT, True)
    assert last.done_bytes == last.total_bytes > 4_220_000
    assert "[1/2] FROM 127.0.0.1:5999/sample/one:1" in details("build-pulls-buildkit")


@pytest.mark.parametrize("name", [name for name in names() if "fails" in name or name.startswith("build-base")])
def test_nothing_that_fails_is_finished(name):
    assert not any(progress.finished for progress in read(name))


@pytest.mark.parametrize("name", ["up", "up-again", "down"])
def test_containers_and_networks_are_nobodys_progress(name):
    assert read(name) == []


def test_an_image_that_was_pulled_can_be_pulled_again():
    reader = ProgressReader()
    for _ in range(2):
        seen = [progress for line in recorded("pull-again") if (progress := reader.read(line))]
        assert len(seen) == 4


def test_compose_2_names_the_service():
    """Source: docker/compose v2.29.7, pkg/progress/json.go and pkg/compose/pull.go; no such Compose was at hand to record."""
    lines = [
        {"id": "envoy", "text": "Pulling"},
        {"id": "a1b2", "parent_id": "envoy", "text": "Downloading", "status": "[=>  ] 1kB/4kB", "current": 1, "total": 4},
        {"id": "envoy", "text": "Pulled"},
        {"id": "console", "status": "Building"},
        {"id": "Container x-envoy-1", "text": "Created"},
    ]
    reader = ProgressReader()
    seen = [reader.read(json.dumps(line)) for line in lines]
    assert [(p.kind, p.item, p.done_bytes, p.finished) for p in seen if p] == [
        ("pull", "envoy", None, False),
        ("pull", "envoy", 1, False),
        ("pull", "envoy", 1, True),
        ("build", "console", None, False),
    ]


def test_every_kind_of_line_was_recorded():
    kinds = {type(parse_line(line)) for name in names() for line in recorded(name)}
    assert kinds == {ImageSaid, LayerSaid, BuildSaid, ClassicStep, EndSaid, type(None)}


def test_the_end_is_found_behind_what_the_classic_builder_left_open():
    assert parse_line('\x1b[0m{"error":true,"message":"no"}') == EndSaid(message="no")


def test_a_password_in_an_address_is_not_kept():
    line = json.dumps({"id": "Image https://me:secret@mirror.example.org/x", "text": "Pulling"})
    assert parse_line(line) == ImageSaid(image="https://mirror.example.org/x", word="Pulling", details="")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = ("id", "parent_id", "text", "status", "details", "current", "total", "error", "message", "vertexes", "statuses", "logs")
INNER = ("digest", "name", "started", "completed", "error", "vertex", "data", "id", "current", "total")
ITEMS = st.lists(st.dictionaries(st.sampled_from(INNER), VALUES, max_size=4) | VALUES, max_size=3)


@given(st.text())
def test_text_that_means_nothing_is_passed_over(text):
    assert parse_line(text) is None or text.lstrip().startswith(("{", "Step ")) or "\x1b" in text
    ProgressReader().read(text)


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), ITEMS | VALUES, max_size=5)))
def test_json_of_any_shape_raises_nothing(values):
    reader = ProgressReader()
    for value in values:
        reader.read(json.dumps(value))


@pytest.mark.parametrize("line", ["[" * 100_000, "{" * 100_000, '{"a":' * 50_000, "null", "[]", '{"error":true}', "{}", "\x00"])
def test_odd_lines(line):
    assert parse_line(line) in (None, EndSaid(message=""))
