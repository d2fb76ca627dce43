import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.observe.exchange import Way, make_way
from sandbox.observe.headers import Change
from sandbox.view.exchange import INJECTS, merge, render_changes, render_way

HEADERS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2", "!", "\r\n\x1b[31m"])), max_size=8).map(
    tuple
)


def plain(lines):
    return "\n".join(line.plain for line in lines)


def test_both_lists_as_one():
    before = (("host", "a"), ("via", "1.1 x"), ("server", "a"), ("x-last", "last"), ("accept", "*/*"))
    after = (("host", "a"), ("x-last", "last"), ("server", "b"), ("accept", "*/*"), ("x-auth", "Bearer eyJ…"))
    assert plain(render_way(make_way(before, after))) == "\n".join(
        (
            "  host: a",
            "- via: 1.1 x",
            "  x-last: last",
            "~ server: a → b",
            "  accept: */*",
            "+ x-auth: Bearer eyJ…",
        )
    )


def test_what_was_moved_says_from_where():
    way = make_way((("a", "1"), ("b", "2"), ("c", "3")), (("b", "2"), ("c", "3"), ("a", "1")))
    assert plain(render_way(way)) == "  b: 2\n  c: 3\n↕ a: 1  (from place 1 to 3)"


def test_nothing_came_out():
    assert plain(render_way(make_way((("host", "a"),), None))) == "  host: a"


@given(HEADERS, HEADERS)
def test_everything_that_went_in_or_came_out_is_there_in_order(before, after):
    merged = merge(make_way(before, after))
    assert tuple((name, value) for name, value, change in merged if not change or change.after_index is not None) == after
    stayed = [(name, value) for name, value, change in merged if not change]
    removed = [(name, value) for name, value, change in merged if change and change.after_index is None]
    old = [(change.name, change.before) for _, _, change in merged if change and change.kind in {"changed", "moved"}]
    assert sorted(stayed + removed + old) == sorted(before)
    kept = [pair for pair in stayed + removed if pair in before]
    assert len(kept) == len(stayed) + len(removed)


@given(HEADERS, HEADERS)
def test_nothing_that_a_terminal_would_obey(before, after):
    way = make_way(before, after)
    file = io.StringIO()
    console = Console(file=file, width=200, color_system=None)
    console.print(*render_way(way), sep="\n")
    console.print(render_changes(way.changes))
    assert all(char.isprintable() or char == "\n" for char in file.getvalue())


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((), (), ""),
        ((), (("x-a", "1"), ("x-auth", "2")), "+x-a +x-auth"),
        ((("via", "1"), ("server", "a")), (("server", "b"),), "~server a → b -via"),
        ((), (("x-two", "1"), ("x-two", "2")), "+x-two ×2"),
        ((("a", "1" * 30),), (("a", "2"),), f"~a {'1' * 23}… → 2"),
        ((("a", "1"), ("a", "2")), (("a", "3"), ("a", "4")), "~a 1 → 3 ~a 2 → 4"),
        ((("a", "1"), ("b", "2")), (("b", "2"), ("a", "1")), "↕a"),
    ],
)
def test_in_a_few_words(before, after, words):
    assert sorted(render_changes(make_way(before, after).changes).plain.split(" ")) == sorted(words.split(" "))


def test_what_can_inject_headers_is_loud_and_what_is_not_exact_is_marked():
    way = make_way((), (("x-a", "1\r\nset-cookie: b"), ("x-b", "caf!")))
    assert render_changes(way.changes).plain == f"+x-a {INJECTS} +x-b ≈"
    shown = plain(render_way(way))
    assert f"+ x-a: 1\\r\\nset-cookie: b {INJECTS}\n+ x-b: caf! ≈\n  ≈ perhaps not" in shown


def test_places_that_make_no_sense_are_no_reason_to_fail():
    way = Way(before=(("a", "1"),), after=(("b", "2"),), changes=(Change(kind="removed", name="z", before="9", before_index=7),))
    assert plain(render_way(way)) == "  b: 2\n- z: 9"
