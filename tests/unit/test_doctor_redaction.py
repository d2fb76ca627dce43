"""Nothing secret gets out. Where each check leaves it out itself is that check's test."""

import pwd
from types import SimpleNamespace

import pytest

from sandbox.session.doctor.redaction import redact_report

pytestmark = pytest.mark.usefixtures("clean")


def test_home_user_and_values_of_variables_do_not_get_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="alice"))
    monkeypatch.setenv("SANDBOX_PROJECT", "/srv/secret-project")
    monkeypatch.setenv("DOCKER_HOST", "tcp://build.corp.example:2375")
    monkeypatch.setenv("NPM_TOKEN", "tok-123456789")
    assert redact_report("/home/alice/x and /home/alicent") == "~/x and /home/alicent"
    assert redact_report("/data/alice/x, alice's") == "/data/$USER/x, alice's"
    assert redact_report("SANDBOX_PROJECT=/srv/secret-project is none; /srv/secret-project/x") == (
        "SANDBOX_PROJECT is none; $SANDBOX_PROJECT/x"
    )
    assert redact_report("at tcp://build.corp.example:2375: tok-123456789") == "at $DOCKER_HOST: $NPM_TOKEN"


def test_a_home_of_slash_is_no_reason_to_eat_slashes(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert redact_report("/usr/bin/go") == "/usr/bin/go"
