"""A bundle's file: what was packed comes out, and whatever was done to the file is noticed before anything is used."""

import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ConfigError, PreconditionError
from sandbox.session.bundle.archive import BundleWriter, check_bundle, open_bundle
from sandbox.session.bundle.manifest import FORMAT, parse_manifest, render_manifest

contents = st.lists(st.binary(max_size=2000), max_size=4)


def pack(*contents):
    file = io.BytesIO()
    writer = BundleWriter(file)
    for number, content in enumerate(contents):
        list(writer.add("module", f"modules/{number}", iter([content[:7], content[7:]])))
    writer.finish(sandbox="0.1.0", envoy="1.40.0", platform="linux/amd64")
    return file.getvalue()


def unpack(data):
    bundle = open_bundle(io.BytesIO(data), "room")
    list(check_bundle(bundle))
    return [b"".join(bundle.pieces(member)) for member in bundle.manifest.members]


PACKED = pack(b"one", b"", b"three" * 1000)


@given(contents)
def test_what_was_packed_comes_out(contents):
    assert unpack(pack(*contents)) == contents


@given(contents)
def test_any_tar_can_list_it_and_the_manifest_comes_first(contents):
    with tarfile.open(fileobj=io.BytesIO(pack(*contents))) as archive:
        names = archive.getnames()
        assert names == ["manifest.json", *(f"modules/{number}" for number in range(len(contents)))]
        assert json.load(archive.extractfile(names[0]))["format"] == FORMAT
        assert [archive.extractfile(name).read() for name in names[1:]] == contents


@given(contents, st.integers(0, 2000), st.integers(0, 2000))
def test_a_member_reads_like_a_file(contents, position, size):
    bundle = open_bundle(io.BytesIO(pack(b"before", b"0123456789" * 100, *contents)), "room")
    with bundle.open(bundle.manifest.members[1]) as file:
        assert file.seek(position) == position
        assert file.read(size) == (b"0123456789" * 100)[position : position + size]
        file.seek(-10, io.SEEK_END)
        assert (file.read(), file.read()) == (b"0123456789", b"")


@given(st.integers(0, len(PACKED) - 1))
def test_a_file_that_is_cut_off(length):
    with pytest.raises(ConfigError, match=r"room is (cut off|no bundle)") as caught:
        unpack(PACKED[:length])
    assert caught.value.hint


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_byte_that_changed_is_noticed_or_has_no_meaning(position, change):
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    try:
        assert unpack(bytes(damaged)) == unpack(PACKED)
    except (ConfigError, PreconditionError) as error:
        assert error.hint


def test_a_file_that_goes_on():
    with pytest.raises(ConfigError, match="goes on after its end"):
        unpack(PACKED + b"x")


@pytest.mark.parametrize("data", [b"", b"no tar" * 1000, b"\x1f\x8b" + bytes(1000), bytes(10240)])
def test_what_is_no_bundle(data):
    with pytest.raises(ConfigError, match="room is no bundle"):
        open_bundle(io.BytesIO(data), "room")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.XHDTYPE])
def test_only_regular_files_are_members(kind):
    info = tarfile.TarInfo("modules/0")
    info.size, info.type, info.linkname = 3, kind, "/etc/passwd"
    damaged = bytearray(pack(b"one"))
    start = damaged.index(b"modules/0", 512 + 8192)
    damaged[start : start + 512] = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ConfigError, match="modules/0 is not what was packed"):
        unpack(bytes(damaged))


def manifest(**changes):
    member = {"kind": "module", "name": "modules/a", "size": 1, "sha256": "0" * 64, "about": {}}
    value = {"format": FORMAT, "sandbox": "0.1.0", "envoy": "1.40.0", "platform": "linux/amd64", "members": [member]}
    for name, change in changes.items():
        (member if name in member else value)[name] = change
    return json.dumps(value).encode()


def test_a_manifest_reads_as_it_was_written():
    text = manifest()
    assert json.loads(render_manifest(parse_manifest(text, "room"))) == json.loads(text)


@pytest.mark.parametrize(
    "changes",
    [
        *({"name": name} for name in ("../a", "/a", "a/../b", "a//b", "a/b/c", ".hidden", "a\n", "", 7, None, "ä")),
        *({"size": size} for size in (-1, 1 << 40, 1.5, True, "1", None)),
        *({"sha256": sha256} for sha256 in ("", "0" * 63, "G" * 64, None)),
        *({"about": about} for about in (None, [], {"name": 1}, {"name": "\x1b[2J"}, {"name": "x" * 501})),
        *({"kind": kind} for kind in ("program", None, [])),
        *({"format": number} for number in (0, -1, "1", None, 0.5)),
        *({"members": members} for members in (None, [None], [[]], "x")),
        *({"platform": platform} for platform in (None, 1, "\x07")),
    ],
    ids=str,
)
def test_a_manifest_that_says_what_cannot_be(changes):
    with pytest.raises(ConfigError, match="its manifest does not say what it should"):
        parse_manifest(manifest(**changes), "room")


def test_no_two_members_of_one_name():
    [member] = json.loads(manifest())["members"]
    with pytest.raises(ConfigError):
        parse_manifest(manifest(members=[member, member]), "room")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["format", "members", "name", "about"]), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_the_manifest_is_it_is_an_error_of_ours(text):
    with pytest.raises((ConfigError, PreconditionError)):
        parse_manifest(text, "room")


def test_a_newer_sandbox_is_named_with_the_way_on():
    text = manifest(format=FORMAT + 1, sandbox="0.9.0", members="who knows")
    with pytest.raises(PreconditionError, match=r"room was made by a newer sandbox \('0.9.0'\)") as caught:
        parse_manifest(text, "room")
    assert caught.value.hint == "git pull && make up"
