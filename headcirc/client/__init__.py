"""Ask a running service, from Python: typed answers, typed refusals, patience with a busy server.

`HeadcircClient` blocks, `AsyncHeadcircClient` awaits; both need the extra `[client]` (httpx). This
package does not decode, measure or draw: it does not even import what does.
"""

from headcirc.client.answers import Analysis, HeadCircumference, ModelFacts, SaliencyFigures
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
