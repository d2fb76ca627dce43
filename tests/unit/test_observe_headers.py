"""The diff of two header lists: what it says, and that it says all."""

from collections import Counter
from dataclasses import replace

from exchanges import apply_changes
from hypothesis import given
from hypothesis import strategies as st

from sandbox.observe.headers import Change, Headers, diff_headers

BEFORE = ((":status", "200"), ("server", "a"), ("via", "1"), ("via", "2"), ("date", "d"))

names = st.sampled_from(["a", "b", "c", ":status"])
headers = st.lists(st.tuples(names, st.sampled_from(["", "1", "2", "3"])), max_size=9).map(tuple)


def test_nothing() -> None:
    assert diff_headers(BEFORE, BEFORE) == ()
    assert diff_headers((), ()) == ()


def test_added_twice() -> None:
    assert diff_headers(BEFORE, (*BEFORE, ("x", "1"), ("x", "2"))) == (
        Change(kind="added", name="x", after="1", after_index=5),
        Change(kind="added", name="x", after="2", after_index=6),
    )


def test_one_of_two_removed() -> None:
    after = (*BEFORE[:2], *BEFORE[3:])
    assert diff_headers(BEFORE, after) == (Change(kind="removed", name="via", before="1", before_index=2),)


def test_replaced_where_it_stood_and_at_the_end() -> None:
    changed = Change(kind="changed", name="server", before="a", after="b", before_index=1, after_index=1)
    assert diff_headers(BEFORE, (BEFORE[0], ("server", "b"), *BEFORE[2:])) == (changed,)
    changed = Change(kind="changed", name="server", before="a", after="b", before_index=1, after_index=4)
    assert diff_headers(BEFORE, (BEFORE[0], *BEFORE[2:], ("server", "b"))) == (changed,)


def test_two_values_of_a_name_swapped() -> None:
    after = (*BEFORE[:2], BEFORE[3], BEFORE[2], BEFORE[4])
    [moved] = diff_headers(BEFORE, after)
    assert (moved.kind, moved.name, moved.before) == ("moved", "via", moved.after)


def test_one_moved_header_is_one_change() -> None:
    [moved] = diff_headers(BEFORE, (*BEFORE[:1], *BEFORE[2:], BEFORE[1]))
    assert moved == Change(kind="moved", name="server", before="a", after="a", before_index=1, after_index=4)


def test_an_empty_value_is_a_value() -> None:
    assert diff_headers((), (("x", ""),)) == (Change(kind="added", name="x", after="", after_index=0),)
    assert diff_headers((("x", ""),), ()) == (Change(kind="removed", name="x", before="", before_index=0),)


def test_what_a_client_reads_as_more_headers() -> None:
    for value in ("a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b"):
        [change] = diff_headers((), (("x", value),))
        assert change.injects
        [change] = diff_headers((("x", value),), ())
        assert not change.injects


def test_what_the_tap_may_not_have_shown() -> None:
    [change] = diff_headers((("x", "caf!"),), (("x", "tea"),))
    assert not change.exact


@given(headers, headers)
def test_the_changes_lead_from_one_to_the_other(before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]) -> None:
    changes = diff_headers(before, after)
    assert apply_changes(before, changes) == after
    assert (changes == ()) == (before == after)


@given(headers, headers)
def test_no_change_says_more_than_is_so(before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]) -> None:
    changes = diff_headers(before, after)
    kept = Counter(before) & Counter(after)
    touched = [change for change in changes if change.kind != "moved"]
    assert len(before) - sum(change.before_index is not None for change in touched) == kept.total()
    for change in changes:
        if change.before_index is not None:
            assert before[change.before_index] == (change.name, change.before)
        if change.after_index is not None:
            assert after[change.after_index] == (change.name, change.after)
        assert (change.before == change.after) == (change.kind == "moved")


@given(st.permutations(range(7)))
def test_as_few_as_possible_are_said_to_have_moved(order: list[int]) -> None:
    before = tuple((f"n{number}", "") for number in range(7))
    moved = diff_headers(before, tuple(before[number] for number in order))
    kept = [number for number in order if f"n{number}" not in {change.name for change in moved}]
    assert kept == sorted(kept)
    runs = [1] * 7
    for end in range(7):
        runs[end] += max((runs[start] for start in range(end) if order[start] < order[end]), default=0)
    assert len(moved) == 7 - max(runs)


@given(headers, headers, headers)
def test_what_both_begin_with_changes_nothing(start: Headers, before: Headers, after: Headers) -> None:
    def later(place: int | None) -> int | None:
        return None if place is None else place + len(start)

    moved = [
        replace(change, before_index=later(change.before_index), after_index=later(change.after_index))
        for change in diff_headers(before, after)
    ]
    assert list(diff_headers(start + before, start + after)) == moved
