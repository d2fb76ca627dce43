"""What `docker compose --progress json` said: see tests/fixtures/docker/README.md."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "docker"


def names():
    """Of all recordings."""
    found = sorted(path.stem for path in FOLDER.glob("*.txt"))
    assert found
    return found


def recorded(name):
    """The lines of a recording."""
    return (FOLDER / f"{name}.txt").read_text().splitlines()
