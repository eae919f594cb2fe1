"""The errors of a call.

ClientError
├── UnreachableError       the service did not answer in any attempt
├── UnexpectedAnswerError  the answer does not follow the API; is this Headcirc?
└── ProblemError           the service refused the request and said why
"""

from collections.abc import Callable
from functools import partial


class ClientError(Exception):
    """Base of all errors that this package raises on purpose."""


class UnreachableError(ClientError):
    """No answer came within the time and the attempts of the retry policy.

    A reverse proxy's own answer (429, 502, 503 or 504 without a problem document) counts as no
    answer.
    """


class UnexpectedAnswerError(ClientError):
    """The answer does not follow the API; perhaps another program listens at this address."""


class ProblemError(ClientError):
    """The service's problem document (RFC 9457).

    Attributes
    ----------
    status : int
    code : str
        Stable, kebab-case; see `docs/api.md`.
    detail : str
        What was found, what is needed and what to do.
    request_id : str
        The id under which the service logged the request.
    retry_after_s : float, optional
        How long the service asks to wait, if that exceeds what was left of the deadline.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str,
        detail: str,
        request_id: str,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Callable[[int], "ProblemError"], tuple[int]]:
        """Pickle with all attributes, so that a process pool can pass the error on."""
        remake = partial(
            ProblemError,
            code=self.code,
            detail=self.detail,
            request_id=self.request_id,
            retry_after_s=self.retry_after_s,
        )
        return remake, (self.status,)
