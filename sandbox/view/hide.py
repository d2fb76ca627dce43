"""An answer without its secrets: what every view gets, unless somebody asked for them."""

from dataclasses import replace

from sandbox.events.exchange import Answer
from sandbox.observe.exchange import hide_secrets
from sandbox.observe.headers import Headers
from sandbox.observe.redact import redact, redact_header, redact_headers
from sandbox.observe.token import Token


def hide_answer(answer: Answer) -> Answer:
    """The same with tokens and credentials shortened, wherever they stand."""
    token = answer.token
    return replace(
        answer,
        url=redact(answer.url),
        reason=redact(answer.reason),
        request_headers=redact_headers(answer.request_headers),
        headers=_hide(answer.headers, answer.token),
        exchange=hide_secrets(answer.exchange) if answer.exchange else None,
        token=replace(token, value=redact(token.value, facts=False)) if token else None,
        unseen_because=redact(answer.unseen_because) if answer.unseen_because else None,
        no_token_because=redact(answer.no_token_because) if answer.no_token_because else None,
    )


def _hide(headers: Headers, token: Token | None) -> Headers:
    """Beside the one token whose facts are shown anyway they are left out."""
    return tuple(
        (redact(name), redact(value, facts=False) if token and value == token.value else redact_header(name, value))
        for name, value in headers
    )
