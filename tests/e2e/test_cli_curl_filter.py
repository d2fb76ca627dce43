"""What `sandbox curl` says of filters that do other things than the shipped one."""

from collections.abc import Callable, Iterator

import pytest
from filters import SOON, build_deeds, deed, put_deeds, render_deeds
from stacks import PATIENT_CURL, Sandbox, get, until

Configure = Callable[..., None]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("curl"))
    sandbox.preload(PATIENT_CURL)
    try:
        sandbox.up("--workers", "1")
        yield sandbox
        sandbox.down()
        sandbox.await_clean()
    finally:
        sandbox.destroy()


@pytest.fixture(scope="module")
def configure(sandbox: Sandbox) -> Configure:
    module = build_deeds(sandbox.folder)

    def put(*deeds: str, policy: str = "FAIL_RELOAD") -> None:
        version = put_deeds(render_deeds(module, *deeds, policy=policy, backoff=SOON), sandbox.run_folder / "xds" / "filter.yaml")
        url = f"http://127.0.0.1:{sandbox.ports['console']}/stats?filter=version_text"
        until(lambda: version.encode() in get(url)[2], what=version)

    return put


def lines_of(sandbox: Sandbox, *words: str) -> list[str]:
    return sandbox.run("curl", *words).expect(0).stdout.splitlines()


def test_added_changed_and_taken_away_on_both_ways(sandbox: Sandbox, configure: Configure):
    configure(
        deed("request", "add", "x-new", "1"),
        deed("request", "remove", "x-old"),
        deed("response", "replace", "server", "mine"),
        deed("response", "replace", "x-two", "changed"),
        deed("response", "remove", "x-gone"),
    )
    lines = lines_of(sandbox, "/response-headers?x-two=was&x-gone=1", "x-old:here")
    assert "x-new: 1  ◀ filter" in lines
    assert "x-old: here  ◀ filter took it away" in lines
    assert "x-two: was → changed  ◀ filter" in lines
    assert "x-gone: 1  ◀ filter took it away" in lines
    assert not [line for line in lines if line.startswith(("x-two: ", "x-gone: ")) and "filter" not in line]
    assert any(line.startswith("! Envoy is LIVE and serves filter ") for line in lines), "that is not the one that `up` put there"


def test_the_status_that_the_filter_changed(sandbox: Sandbox, configure: Configure):
    configure(deed("response", "replace", ":status", "418"))
    [line] = [line for line in lines_of(sandbox, "/") if line.startswith("HTTP/1.1 418")]
    assert line.endswith("  200 → 418  ◀ filter")


def test_an_answer_of_the_filters_own(sandbox: Sandbox, configure: Configure):
    configure(deed("request", "reply", "403", "no"))
    lines = lines_of(sandbox, "/")
    [line] = [line for line in lines if line.startswith("HTTP/1.1 403")]
    assert line.endswith("  the filter answered by itself")
    assert "! the filter answered by itself" in lines


@pytest.mark.parametrize("way", ["request", "response"])
def test_a_crash(sandbox: Sandbox, configure: Configure, way: str):
    configure(deed(way, "trap"))
    lines = lines_of(sandbox, "/")
    [line] = [line for line in lines if line.startswith("HTTP/1.1 503")]
    assert line.endswith("  THE FILTER HAS CRASHED and Envoy answered for it")
    assert "! the filter has crashed, on this request or on that worker before: sandbox logs --filter says where" in lines
    assert "crashed" in sandbox.json("curl", "/")["no_token_because"]


def test_headers_that_the_filter_injects(sandbox: Sandbox, configure: Configure):
    configure(deed("response", "add", "x-a", "1\r\nset-cookie: evil"))
    lines = lines_of(sandbox, "/")
    assert "x-a: 1  ◀ filter  INJECTS HEADERS" in lines
    assert "set-cookie: evil  ◀ filter  INJECTS HEADERS" in lines


def test_redirects_are_followed_as_far_as_they_stay_here(sandbox: Sandbox, configure: Configure):
    configure(deed("response", "replace", ":status", "302"))
    path = "/response-headers?location=/elsewhere"
    assert "HTTP/1.1 302 Found" in sandbox.run("curl", path).expect(0).stdout
    done = sandbox.run("curl", "-L", "POST", path, "-d", "x").expect(0).stdout
    assert "POST /response-headers" in done
    assert "GET /elsewhere HTTP/1.1" in done
    done = sandbox.run("curl", "-L", "/response-headers?location=http://example.com/").expect(2)
    assert done.error.startswith("error: http://example.com/ is not of this sandbox")


def test_a_filter_that_changes_the_request_id_is_found_all_the_same(sandbox: Sandbox, configure: Configure):
    configure(deed("request", "replace", "x-request-id", "mine"), deed("response", "add", "x-seen", "1"))
    lines = lines_of(sandbox, "/")
    assert "x-seen: 1  ◀ filter" in lines
    assert any(line.endswith(" → mine  ◀ filter") for line in lines)
