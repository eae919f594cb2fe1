"""What can come of asking a server, other than an answer.

ClientError
├── UnreachableError       no answer of the service came, however often it was tried
├── UnexpectedAnswerError  an answer came that the contract does not have: is this Headcirc?
└── ProblemError           the service refused, and said why
"""

from collections.abc import Callable
from functools import partial


class ClientError(Exception):
    """Base of all errors that this package raises on purpose."""


class UnreachableError(ClientError):
    """No answer came in the time and the attempts that the retry policy gives.

    A gateway's answer in the service's place (429, 502, 503 or 504 without a problem document) is
    none.
    """


class UnexpectedAnswerError(ClientError):
    """The answer is none of the contract's; perhaps another program listens there."""


class ProblemError(ClientError):
    """The service's problem document (RFC 9457).

    Attributes
    ----------
    status : int
    code : str
        Stable, kebab-case; see `docs/api.md`.
    detail : str
        What was found and what is needed.
    request_id : str
        Under which the service logged it.
    retry_after_s : float, optional
        How long the service asks to wait, where that was longer than the patience that was left.
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
        """Travel whole from a process pool's worker; by itself it would break the pool."""
        remake = partial(
            ProblemError,
            code=self.code,
            detail=self.detail,
            request_id=self.request_id,
            retry_after_s=self.retry_after_s,
        )
        return remake, (self.status,)
