"""What failed on Docker, in our words. The lines are real ones; where none could be recorded, the source is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import names, recorded

from sandbox.engines.docker.compose.failure_rules import BUILD_RULES, RULES
from sandbox.engines.docker.compose.failures import explain, taken_port
from sandbox.errors import ConfigError, PreconditionError, SandboxError, StackError

HOST = "127.0.0.1:5999/sample"
RATE = "the registry has counted too many downloads from this network (rate limit)"
LOGIN = "the registry does not have it, or wants a login"
PULLS = {
    "limited": f"{HOST}/limited:1 cannot be pulled: {RATE}",
    "denied": f"{HOST}/denied:1 cannot be pulled: {LOGIN}",
    "private": f"{HOST}/private:1 cannot be pulled: {LOGIN}",
    "broken": f"{HOST}/broken:1 cannot be pulled: the registry answers with 503 Service Unavailable",
    "missing": f"{HOST}/missing:1 cannot be pulled: the registry does not have it",
    "platform": f"{HOST}/platform:1 cannot be pulled: there is none for this machine's platform",
    "refused": "127.0.0.1:5997/sample/one:1 cannot be pulled: the registry 127.0.0.1:5997 cannot be reached (connection refused)",
    "dns": "envoyproxy/envoy:v9.9.9 cannot be pulled: the registry registry-1.docker.io cannot be reached (no such host)",
}
STARTS = {
    "bind": (PreconditionError, "Docker's engine does not see /nothing/there, which the stack mounts"),
    "command": (StackError, "Docker could not start: it does not say why"),
    "daemon-down": (PreconditionError, "Docker's engine does not answer any more, or does not run"),
    "daemon-killed": (PreconditionError, "Docker's engine does not answer any more, or does not run"),
    "exit": (StackError, "the container recorded-s0-1 exited (0)"),
    "model": (ConfigError, "compose.yaml: services.one.imagine false schema"),
    "no-daemon": (PreconditionError, "Docker's engine does not answer any more, or does not run"),
    "no-image": (PreconditionError, "Docker does not have the image envoyproxy/envoy:v9.9.9, and was told not to pull it"),
    "permission": (PreconditionError, "this user may not use the engine's socket"),
    "pools": (PreconditionError, "Docker has no address range left for one more network"),
    "port-allocated": (PreconditionError, "port 5996 is taken"),
    "port-in-use": (PreconditionError, "port 5996 is taken"),
    "variable": (ConfigError, "compose.yaml: services.one.image: required variable NOT_SET is missing a value: is needed"),
    "yaml": (ConfigError, "compose.yaml: go-yaml load error in parser (while parsing a flow mapping) at L2.C8-L3.C1: "),
}


@pytest.mark.parametrize("recording", ["pull-fails-{}", "build-base-{}-buildkit", "build-base-{}-classic"])
@pytest.mark.parametrize("why", PULLS)
def test_an_image_that_cannot_be_pulled(why, recording):
    """Alike by whom it was asked for: by compose itself, or by either builder as the base of another."""
    error = explain(recorded(recording.format(why)), doing="pull")
    assert isinstance(error, PreconditionError)
    assert error.message.removesuffix(" (linux/amd64)") == PULLS[why]
    for way in ("SANDBOX_REGISTRY=mirror.example.org sandbox up", "sandbox bundle load FILE", "sandbox up --engine local"):
        assert way in error.hint


@pytest.mark.parametrize("why", STARTS)
def test_a_stack_that_cannot_start(why):
    error = explain(recorded(f"up-fails-{why}"), doing="start")
    kind, message = STARTS[why]
    assert type(error) is kind
    assert error.message.startswith(message)
    assert error.hint


def test_every_recorded_failure_is_among_these():
    failures = {name.removeprefix("up-fails-") for name in names() if name.startswith("up-fails-")}
    assert failures == STARTS.keys()
    assert {name.removeprefix("pull-fails-") for name in names() if name.startswith("pull-fails-")} == {*PULLS, "space"}


def test_a_full_disk():
    error = explain(recorded("pull-fails-space"), doing="pull")
    assert (type(error), error.message) == (PreconditionError, "Docker has no disk space left")
    assert error.hint == "docker system df, then docker system prune"


def test_exhausted_pools_have_three_ways_on():
    error = explain(recorded("up-fails-pools"), doing="start")
    for way in ("docker network prune", '"default-address-pools"', "sandbox up --engine local"):
        assert way in error.hint


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_that_fails_shows_the_culprits_last_lines(builder):
    error = explain(recorded(f"build-fails-run-{builder}"), doing="build")
    assert isinstance(error, StackError)
    assert "] RUN for i in $(seq 1 30); do" in error.message
    assert error.message.startswith("building recorded/one:1 failed at [2/")
    assert len(error.details.splitlines()) == 20
    assert "this is wrong" in error.details
    assert "line 30" in error.details
    assert "line 1\n" not in error.details


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_behind_a_proxy_that_opens_tls(builder):
    error = explain(recorded(f"build-fails-tls-{builder}"), doing="build")
    assert isinstance(error, PreconditionError)
    assert "a certificate is not trusted" in error.message
    assert error.hint == "SANDBOX_CA_BUNDLE=/path/ca.pem sandbox up"
    assert "CERTIFICATE_VERIFY_FAILED" in error.details
    assert error.details.startswith("Looking in indexes: https://localhost:5998/simple")


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_that_reaches_no_index(builder):
    error = explain(recorded(f"build-fails-index-{builder}"), doing="build")
    assert isinstance(error, PreconditionError)
    assert error.message.endswith("packages cannot be fetched: the index cannot be reached (Name or service not known)")
    assert error.hint.startswith("PIP_INDEX_URL=https://mirror.example.org/simple sandbox up")


def test_a_build_whose_index_lacks_a_package():
    lines = [line for line in recorded("build-fails-index-classic") if "NewConnectionError" not in line and "resolve" not in line]
    error = explain(lines, doing="build")
    assert "the index does not have fastapi, or cannot be reached" in error.message


@pytest.mark.parametrize(("name", "says"), [("copy", "nothing-there"), ("syntax", "unknown instruction: RUNN")])
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_dockerfile_that_is_wrong(name, says, builder):
    error = explain(recorded(f"build-fails-{name}-{builder}"), doing="build")
    assert isinstance(error, StackError)
    assert says in error.message


@pytest.mark.parametrize("name", ["port-allocated", "port-in-use"])
def test_the_port_that_is_taken(name):
    assert taken_port(recorded(f"up-fails-{name}")) == 5996


@pytest.mark.parametrize(
    "message",
    [
        # Docker Engine 28: github.com/winboat-org/winboat/issues/29
        "driver failed programming …: failed to bind host port for 127.0.0.1:7148:172.18.0.2:7148/tcp: address already in use",
        # Docker Engine 29: moby/moby daemon/libnetwork/portmappers
        "failed to bind host port 127.0.0.1:7148/tcp: address already in use",
        # Docker Desktop: docs.docker.com/desktop/troubleshoot-and-support
        "exposing port TCP 127.0.0.1:7148 -> 0.0.0.0:0: listen tcp 0.0.0.0:7148: bind: address already in use",
        "Error starting userland proxy: listen tcp4 127.0.0.1:7148: bind: address already in use",
        "Bind for [::1]:7148 failed: port is already allocated",
    ],
)
def test_the_port_in_other_words(message):
    assert taken_port([message]) == 7148
    assert explain([message], doing="start").message == "port 7148 is taken"


@pytest.mark.parametrize("name", [name for name in names() if "port" not in name])
def test_no_port_where_none_is_taken(name):
    assert taken_port(recorded(name)) is None


@pytest.mark.parametrize(
    ("message", "says"),
    [
        # moby/moby, libnetwork/ipamutils; github.com/coollabsio/coolify/issues/3529
        ("Error response from daemon: all predefined address pools have been fully subnetted", "no address range left"),
        # Docker Desktop: github.com/hiero-ledger/hiero-local-node/issues/819
        (
            "Mounts denied: \nThe path /opt/mine/envoy.yaml is not shared from the host and is not known to Docker.\nYou can …",
            "does not see /opt/mine/envoy.yaml,",
        ),
        # Docker Desktop: github.com/spurin/diveintoansible-lab/issues/53
        ("error while creating mount source path '/host_mnt/c/x': mkdir /host_mnt/c: operation not permitted", "/host_mnt/c/x,"),
        # The engine makes a folder for a file that it does not see: github.com/moby/moby/issues/34167
        (
            'error mounting "/mine/envoy.yaml" to rootfs at "/x": … Are you trying to mount a directory onto a file',
            "does not see /mine/envoy.yaml,",
        ),
        # Docker Hub: docs.docker.com/docker-hub/usage
        ("toomanyrequests: You have reached your pull rate limit.", RATE),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", LOGIN),
        # containerd's image store: github.com/link-assistant/hive-mind/issues/962
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for platform in manifest: not found",
            "none for this machine's platform (linux/arm64/v8)",
        ),
        ('Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout', "cannot be reached (TLS handshake timeout)"),
        (
            'Get "https://registry-1.docker.io/v2/": tls: failed to verify: x509: certificate signed by unknown authority',
            "Docker does not trust the registry's certificate",
        ),
        ("healthcheck.start_interval requires Docker Engine v25 or later", "too old for compose.yaml"),
    ],
)
def test_what_could_not_be_provoked(message, says):
    error = explain([json.dumps({"error": True, "message": message})], doing="start")
    assert isinstance(error, PreconditionError)
    assert says in error.message
    assert explain(message.splitlines(), doing="start").message == error.message


def test_what_nobody_knows_is_shown_as_it_is():
    error = explain([f"line {number}" for number in range(30)] + ["odd"], doing="start")
    assert (type(error), error.message) == (StackError, "Docker could not start: odd")
    assert error.details.splitlines() == [f"line {number}" for number in range(11, 30)] + ["odd"]


def test_no_password_is_shown():
    address = "https://me:hunter2@mirror.example.org"
    lines = [
        json.dumps({"id": "Image x", "text": "Building"}),
        f"Step 1/1 : RUN pip install --index-url {address}/simple x",
        f"Looking in indexes: {address}/simple",
        json.dumps({"error": True, "message": f"The command pip {address} returned a non-zero code: 1"}),
    ]
    for said in (lines, lines[:1] + lines[2:], [f"Get {address}/v2/: no such host"], [address]):
        error = explain(said, doing="build")
        assert "hunter2" not in error.message + error.details + error.hint
        assert "mirror.example.org" in error.message + error.details


@given(st.lists(st.text()))
def test_anything_becomes_an_error(lines):
    error = explain(lines, doing="start")
    assert isinstance(error, SandboxError)
    assert error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("rule", [*RULES, *BUILD_RULES], ids=lambda rule: rule.says)
def test_what_a_rule_says_it_can_say(rule):
    """Each name in it is a group's, so that it is there whenever the pattern is found, or it is the image."""
    groups = {name.rstrip("0123456789") for name in rule.pattern.groupindex}
    (rule.says + rule.hint).format_map(dict.fromkeys({*groups, "image"}, ""))
