"""Read the primitives of the Wasm format from bytes, and never past the end of a part. Knows no sections."""

from typing import Literal

Kind = Literal["foreign", "component", "version", "truncated", "malformed"]


class WasmError(Exception):
    """These bytes are no whole Wasm module. `kind` says in which way, `text` is a line for people that has no subject."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Reader:
    """A part of a module: `data` from `at` to `end`. `name` is the part's, for messages.

    Every method moves on behind what it has read. Raises: WasmError, `malformed`, when the part has no such thing there.
    """

    __slots__ = ("at", "data", "end", "name")

    def __init__(self, data: bytes, at: int, end: int, name: str) -> None:
        self.data, self.at, self.end, self.name = data, at, end, name

    @property
    def left(self) -> int:
        """How many bytes there are to the end."""
        return self.end - self.at

    def byte(self) -> int:
        """One byte."""
        if self.at >= self.end:
            raise self.malformed("ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self, bits: int = 32) -> int:
        """An unsigned LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise self.malformed("has a number that is too long")
        if value >> bits:
            raise self.malformed("has a number that is too large")
        return value

    def count(self, most: int) -> int:
        """The length of a vector, each item of which has a byte at least."""
        count = self.number()
        if count > self.left:
            raise self.malformed(f"announces {count:,} items and has {self.left:,} bytes")
        if count > most:
            raise self.malformed(f"has {count:,} items; at most {most:,} are read")
        return count

    def text(self) -> str:
        """A name."""
        try:
            return self.taken(self.number()).decode()
        except UnicodeDecodeError:
            raise self.malformed("has a name that is no UTF-8") from None

    def taken(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left:
            raise self.malformed("ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def part(self, size: int, name: str) -> "Reader":
        """The next bytes as a part of their own."""
        if size > self.left:
            raise self.malformed("ends too early")
        self.at += size
        return Reader(self.data, self.at - size, self.at, name)

    def expect_end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise self.malformed(f"has {self.left:,} bytes too many")

    def malformed(self, what: str) -> WasmError:
        """The error to raise at this place."""
        return WasmError("malformed", f"is damaged: its {self.name}, at byte {self.at:,}, {what}")
