"""Headers and tokens as text."""

import math

from rich.text import Text

from sandbox.observe.token import Token

SHORT = 24


def shorten(value: str) -> str:
    """A bearer token by its first characters; other values as they are."""
    scheme, space, token = value.partition(" ")
    if not space:
        scheme, token = "", value
    return f"{scheme}{space}{token[:SHORT]}…" if token.count(".") == 2 and token.startswith("eyJ") else value


def describe_life(seconds: float | None) -> str:
    """How long a token still lives, in words."""
    if seconds is None or not math.isfinite(seconds):
        return "never expires"
    if seconds <= 0:
        return f"expired {-seconds:.0f} s ago"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s left" if minutes else f"{rest} s left"


def render_token(token: Token) -> Text:
    """Algorithm, subject, time left, and whether the signature holds."""
    verdict, style = {
        True: ("signature verified", "green"),
        False: ("SIGNATURE NOT VALID", "bold red"),
        None: ("signature not checked", "yellow"),
    }[token.verified]
    text = Text(f"{token.algorithm}, subject {token.subject}, {describe_life(token.expires_in_s)}, ")
    text.append(verdict, style)
    if token.problem:
        text.append(f" ({token.problem})")
    return text
