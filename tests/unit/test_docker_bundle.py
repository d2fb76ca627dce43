"""The images of a bundle: which of them fit, and that none takes more memory or disk than it may. The rest needs an engine."""

import gzip
import io

import pytest

from sandbox.config import load_settings
from sandbox.engines.docker import bundle
from sandbox.engines.docker.bundle import PIECE_BYTES, DockerImages
from sandbox.engines.docker.discovery.find import FoundDocker
from sandbox.engines.docker.discovery.target import Target
from sandbox.engines.docker.images import envoy_image, find_sources, sources_tag
from sandbox.errors import ConfigError
from sandbox.workspace import HOME, Project, State

SERVICES = f"envoy-wasm-sandbox/services:{sources_tag(find_sources(HOME))}"


class Taken(list):
    put = list.append


def unpack(content, *, size=PIECE_BYTES):
    file, taken = io.BytesIO(content), Taken()
    done = list(bundle._unpack(iter(lambda: file.read(size), b""), taken))
    return done, taken


def test_an_image_is_handed_over_in_pieces():
    content = bytes(5 * PIECE_BYTES + 7)
    packed = gzip.compress(content)
    done, taken = unpack(packed, size=1000)
    assert b"".join(taken) == content
    assert max(map(len, taken)) <= PIECE_BYTES
    assert done[-1] == len(packed)


def test_an_image_has_a_limit(monkeypatch):
    monkeypatch.setattr(bundle, "MAX_BYTES", 3 * PIECE_BYTES)
    with pytest.raises(ConfigError, match="is larger than 3,145,728 bytes"):
        unpack(gzip.compress(bytes(4 * PIECE_BYTES)))


@pytest.mark.parametrize(
    ("use", "name", "fits"),
    [
        ("envoy", envoy_image(""), True),
        ("envoy", envoy_image("mirror.example.org/hub"), True),
        ("envoy", "envoyproxy/envoy:v1.39.0", False),
        ("envoy", f"not{envoy_image('')}", False),
        ("services", SERVICES, True),
        ("services", "envoy-wasm-sandbox/services:0123456789ab", False),
        ("services", f"mirror.example.org/{SERVICES}", False),
        ("services", "", False),
        ("database", SERVICES, False),
    ],
)
def test_an_image_fits_by_its_name(tmp_path, use, name, fits):
    target = Target(url="unix:///none")
    docker = FoundDocker(target=target, version="28", api_version="1.50", client_api_version="1.45")
    settings = load_settings(tmp_path / "none", {"registry": "mirror.example.org"}, {})
    images = DockerImages(Project(root=HOME), State(root=tmp_path), settings, docker)
    assert images.fits(use, {"name": name}) is fits
