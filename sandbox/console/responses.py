"""What else than an answer there can be, for the description of the API."""

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why there is no other answer."""

    error: str = Field(description="One sentence for a person", examples=["this Host is not served here"])
    hint: str = Field("", description="The command that mends it, where one does", examples=["sandbox status"])


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No Host header, or a malformed one"},
    403: {"model": Problem, "description": "The request comes from a page of another site"},
    421: {"model": Problem, "description": "The Host is not one that is served here"},
}
NO_ANSWER: dict[int | str, dict[str, Any]] = {502: {"model": Problem, "description": "Who should know does not answer"}}
TOO_LATE: dict[int | str, dict[str, Any]] = {504: {"model": Problem, "description": "Envoy is silent for 10 s"}}
OF_CHANGE: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No such logger, no such level, or no such body; nothing was changed"},
    401: {"model": Problem, "description": "Not the project's token"},
    413: {"model": Problem, "description": "The body is too large"},
}
