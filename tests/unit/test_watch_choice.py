import pytest
from exchanges import REQUEST, RESPONSE, exchange

from sandbox.errors import ConfigError
from sandbox.observe.exchange import make_way
from sandbox.session.watch.choice import make_choice

UNTOUCHED = exchange(response=make_way(RESPONSE, RESPONSE))


@pytest.mark.parametrize(
    ("pattern", "path", "taken"),
    [
        ("/a", "/a", True),
        ("/a", "/a?b=c", True),
        ("/a", "/ab", False),
        ("/a*", "/a/b/c?d", True),
        ("/*/c", "/a/b/c?d", True),
        ("/a?b=*", "/a?b=c", True),
        ("*b=c*", "/a?b=c&d", True),
        ("/A", "/a", False),
        ("/[ab]", "/b", True),
        ("/[", "/[", True),
        ("/a\nb*", "/a\nbc", True),
    ],
)
def test_paths(pattern, path, taken):
    assert make_choice(paths=(pattern,)).takes(exchange(path=path)) is taken


def test_one_of_several_paths():
    choice = make_choice(paths=("/x", "/a"))
    assert choice.takes(exchange(path="/a"))
    assert not choice.takes(exchange(path="/b"))


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("404",), {404}),
        (("5xx",), {500, 503, 599}),
        (("5XX", "404"), {404, 500, 503, 599}),
        (("404,500-503",), {404, 500, 503}),
        (("200, 204",), {200, 204}),
    ],
)
def test_statuses(words, taken):
    choice = make_choice(statuses=words)
    assert {status for status in (None, 200, 204, 404, 500, 503, 599) if choice.takes(exchange(status=status))} == taken


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("x-team",), True),
        (("X-Team=red",), True),
        (("x-team=r*",), True),
        (("x-team=blue",), False),
        (("x-team=",), False),
        (("x-auth",), True),
        (("x-auth=Bearer*", "x-team"), True),
        (("x-auth", "x-other"), False),
    ],
)
def test_headers_on_any_side(words, taken):
    assert make_choice(headers=words).takes(exchange()) is taken


def test_only_what_was_changed():
    choice = make_choice(changed=True)
    assert choice.takes(exchange())
    assert choice.takes(exchange(response=None, request=make_way(REQUEST, (*REQUEST, ("x-a", "1")))))
    assert choice.takes(exchange(response=None, answered_by="filter"))
    assert choice.takes(exchange(response=None, trapped=True))
    assert not choice.takes(UNTOUCHED)


def test_only_where_one_header_was_changed():
    assert make_choice(changed_names=("X-Auth",)).takes(exchange())
    assert make_choice(changed_names=("x-*",)).takes(exchange())
    assert not make_choice(changed_names=("x-team",)).takes(exchange())


def test_nothing_asked_for_is_everything():
    assert make_choice().takes(UNTOUCHED)


@pytest.mark.parametrize(
    "options", [{"statuses": (word,)} for word in ("4", "abc", "0xx", "4xx-5xx", "", "200-")] + [{"headers": ("=1",)}]
)
def test_what_makes_no_sense(options):
    with pytest.raises(ConfigError) as error:
        make_choice(**options)
    assert error.value.hint.startswith("sandbox watch --")
