"""Use a running service from Python: typed answers, typed errors, retries when it is busy.

`HeadcircClient` blocks, `AsyncHeadcircClient` awaits; both need the extra `[client]` (httpx). This
package imports neither numpy nor OpenCV.
"""

from headcirc.client.answers import (
    Analysis,
    CineFrame,
    CineLine,
    CineStart,
    CineSummary,
    HeadCircumference,
    ModelFacts,
    SaliencyFigures,
)
from headcirc.client.asynchronous import AsyncHeadcircClient
from headcirc.client.errors import (
    ClientError,
    ProblemError,
    UnexpectedAnswerError,
    UnreachableError,
)
from headcirc.client.retries import RetryPolicy
from headcirc.client.synchronous import HeadcircClient

__all__ = [
    "Analysis",
    "AsyncHeadcircClient",
    "CineFrame",
    "CineLine",
    "CineStart",
    "CineSummary",
    "ClientError",
    "HeadCircumference",
    "HeadcircClient",
    "ModelFacts",
    "ProblemError",
    "RetryPolicy",
    "SaliencyFigures",
    "UnexpectedAnswerError",
    "UnreachableError",
]
