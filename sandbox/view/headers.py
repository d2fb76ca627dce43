"""Headers and tokens as text."""

from rich.text import Text

from sandbox.observe.redact import redact
from sandbox.observe.token import Token, describe_life


def shorten(value: str) -> str:
    """A header's value beside which `render_token` stands: without its token."""
    return redact(value, facts=False)


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
