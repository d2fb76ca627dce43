"""What an attachment owes: counts in, and what follows from them out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.console.ledger import CHOKED_BY, GIVE_UP_S, RECENT_LOOKS, Ledger, Verdict
from sandbox.console.sampling import MAX_BEHIND, Sampling

LOOK_S = 0.1
FIRST = 1000


class Book:
    """A ledger of an Envoy that is looked at ten times a second."""

    def __init__(self, *, share: int = 1) -> None:
        self.now_s = 5000.0
        self.sampling = Sampling()
        self.sampling.choose({1: 0, 16: 500, 256: 5000}[share], passed_s=LOOK_S, now_s=self.now_s)
        assert self.sampling.share == share
        self.ledger = Ledger(self.sampling, first=FIRST, now_s=self.now_s)
        self.counted, self.begun, self.dropped = FIRST, 0, 0

    def look(self, *, came: int = 0, seen: int = 0, active: int = 1) -> Verdict:
        self.now_s += LOOK_S
        self.counted += came
        self.begun += seen
        verdict = self.ledger.look(
            counted=self.counted, active=active, begun=self.begun, asked_s=self.now_s - 0.01, now_s=self.now_s
        )
        self.dropped += verdict.dropped
        assert self.ledger.accounted(self.begun) == FIRST + self.begun + self.dropped
        return verdict


def test_all_are_looked_at_and_what_is_late_still_comes() -> None:
    book = Book()
    assert not book.look(came=30, seen=30).dropped
    assert not book.look(came=30, seen=10).dropped
    assert book.ledger.accounted(book.begun) == FIRST + 40
    assert not book.look(seen=20).dropped
    assert book.ledger.accounted(book.begun) == book.counted


def test_what_is_behind_is_dropped_when_there_are_too_many() -> None:
    book = Book()
    assert not book.look(came=10, seen=10).is_wrong
    verdict = book.look(came=MAX_BEHIND + 6, seen=5)
    assert (verdict.is_wrong, verdict.dropped) == (True, MAX_BEHIND + 1)
    assert book.ledger.accounted(book.begun) == book.counted
    # What is seen until the reader ends is not for the next attachment to tell again.
    assert book.ledger.accounted(book.begun + 3) == book.counted + 3


def test_of_a_part_of_them_the_others_are_dropped_at_once() -> None:
    book = Book(share=16)
    assert book.look(came=320, seen=20).dropped == 300
    assert book.look(came=16).dropped == 16
    # One of them comes late, and was told as dropped.
    assert book.look(came=0, seen=1).dropped == 0
    assert book.look(came=16, seen=1).dropped == 14
    assert book.begun + book.dropped == book.counted - FIRST


def test_a_choked_envoy_leaves_the_rest_to_the_next() -> None:
    for share, dropped in ((1, 0), (16, 40)):
        book = Book(share=share)
        book.look(came=100, seen=60)
        assert book.dropped == dropped
        assert book.ledger.accounted(book.begun + 90) == FIRST + 60 + 90 + dropped


def test_choked_by_what_was_seen_a_moment_ago() -> None:
    book = Book()
    assert not book.ledger.is_choked(CHOKED_BY)
    assert book.ledger.is_choked(CHOKED_BY + 1)
    book.look(came=CHOKED_BY, seen=CHOKED_BY)
    for _ in range(RECENT_LOOKS - 2):
        assert book.ledger.is_choked(book.begun + 1)
        book.look()
    assert book.ledger.is_choked(book.begun + 1)
    book.look()
    assert not book.ledger.is_choked(book.begun + CHOKED_BY)
    assert book.ledger.is_choked(book.begun + CHOKED_BY + 1)


def test_what_is_open_is_over_when_envoy_was_idle_in_the_look_before() -> None:
    book = Book()
    assert book.look(active=0).over_before_s == 0.0
    asked_s = book.now_s - 0.01
    assert book.look(active=0).over_before_s == asked_s
    assert book.look(active=1).over_before_s == book.now_s - 0.01 - GIVE_UP_S
    assert book.look(active=0).over_before_s == 0.0


@settings(deadline=None)
@given(
    st.sampled_from([1, 16, 256]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=40),
    st.integers(0, 200),
)
def test_seen_and_dropped_is_what_envoy_counted(share: int, looks: list[tuple[int, int]], late: int) -> None:
    book = Book(share=share)
    for came, seen in looks:
        open_ = (book.counted + came - FIRST) - book.begun - book.dropped
        verdict = book.look(came=came, seen=max(0, min(seen, open_)))
        assert book.ledger.accounted(book.begun) <= book.counted
        if verdict.is_wrong or share > 1:
            assert book.ledger.accounted(book.begun) == book.counted
        if verdict.is_wrong:
            break
    # However it ends, the next attachment tells what came since.
    total = book.counted + late
    gap = total - book.ledger.accounted(book.begun)
    assert book.begun + book.dropped + gap == total - FIRST
