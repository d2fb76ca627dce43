"""Who each header of an exchange is from."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.observe.exchange import Exchange, make_way
from sandbox.observe.headers import Headers
from sandbox.observe.origin import trace_answer, trace_request

SENT = (("host", "a"), ("x-old", "1"))
BEFORE = ((":authority", "a"), (":path", "/"), ("x-old", "1"), ("x-request-id", "i"))

names = st.sampled_from(["a", "b", "server", "x-request-id", ":status"])
headers = st.lists(st.tuples(names, st.sampled_from(["", "1", "2\r\na: 3"])), max_size=6).map(tuple)


def exchange(before: Headers, after: Headers | None, answered_by: str | None = "upstream") -> Exchange:
    return Exchange(
        id="i",
        time_s=0.0,
        method="GET",
        path="/",
        status=200,
        duration_ms=1.0,
        request=make_way(BEFORE, BEFORE),
        response=make_way(before, after),
        answered_by=answered_by,  # type: ignore[arg-type]
        trapped=False,
    )


def marks(lines) -> list[tuple[str, str | None, str | None]]:
    return [(line.name, line.origin, line.change.kind if line.change else None) for line in lines]


def test_a_request_on_its_way() -> None:
    after = ((":authority", "a"), (":path", "/"), ("x-request-id", "i"), ("x-new", "1"))
    assert marks(trace_request(SENT, make_way(BEFORE, after))) == [
        (":authority", "client", None),
        (":path", "client", None),
        ("x-old", "client", "removed"),
        ("x-request-id", "envoy", None),
        ("x-new", "filter", "added"),
    ]


def test_a_request_that_nobody_saw_is_what_was_sent() -> None:
    assert marks(trace_request(SENT, None)) == [("host", "client", None), ("x-old", "client", None)]


def test_an_answer_on_its_way() -> None:
    before = (
        (":status", "200"),
        ("date", "d"),
        ("age", "1"),
        ("x-envoy-upstream-service-time", "1"),
        ("via", "1"),
        ("gone", "1"),
    )
    after = (
        (":status", "200"),
        ("via", "1"),
        ("date", "d"),
        ("age", "1"),
        ("x-envoy-upstream-service-time", "2"),
        ("x-auth", "t"),
    )
    got = (*after[1:], ("server", "envoy"))
    assert marks(trace_answer(got, exchange(before, after))) == [
        ("via", "upstream", "moved"),
        ("date", "upstream", None),
        ("age", "upstream", None),
        ("x-envoy-upstream-service-time", "filter", "changed"),
        ("x-auth", "filter", "added"),
        ("server", "envoy", None),
        ("gone", "upstream", "removed"),
    ]


def test_what_a_filter_answers_in_place_of_the_upstream() -> None:
    got = (("x-mine", "1"), ("server", "envoy"))
    assert marks(trace_answer(got, exchange(got, None, "filter"))) == [("x-mine", "filter", None), ("server", "envoy", None)]
    assert marks(trace_answer(got, exchange(got, None, "envoy")))[0] == ("x-mine", "envoy", None)


def test_an_answer_that_nobody_saw() -> None:
    got = (("x-mine", "1"), ("server", "envoy"))
    assert marks(trace_answer(got, None)) == [("x-mine", None, None), ("server", "envoy", None)]
    assert marks(trace_answer(got, None, around=True)) == [("x-mine", "upstream", None), ("server", "envoy", None)]


@given(headers, headers | st.none(), headers, st.sampled_from(["upstream", "filter", "envoy", None]))
def test_every_header_that_was_got_is_shown(before: Headers, after: Headers | None, got: Headers, by: str | None) -> None:
    lines = trace_answer(got, exchange(before, after, by))
    assert tuple((line.name, line.value) for line in lines if not (line.change and line.change.kind == "removed")) == got
