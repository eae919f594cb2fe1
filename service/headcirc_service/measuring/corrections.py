"""Change a kept result by hand: put a person's ellipse beside the automatic one, or remove it."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from headcirc.answers import HeadEllipse
from headcirc.corrections import DrawnEllipse, require_drawn, to_drawn
from headcirc_service.answers import TIME_FORMAT, to_expiry
from headcirc_service.errors import AnalysisNotFoundError, PreconditionFailedError
from headcirc_service.results.store import Store
from headcirc_service.results.stored_analysis import Change, StoredAnalysis
from headcirc_service.schemas import AnalysisBody, CorrectionBody

EXPIRED = "No analysis of that id is kept here, or it has expired; post the picture again."
CHANGED = (
    "The result has been changed since you read it, by you or by another person; read it again, "
    "and decide which version is right."
)


class Corrections:
    """Changes of kept results, of which none is lost if two people change one at a time.

    Parameters
    ----------
    store : Store
    find : callable
        Return a kept result by its id, or None.
    ttl_s : int
        How long a result is kept after a change.
    """

    def __init__(
        self,
        store: Store,
        find: Callable[[str], Awaitable[StoredAnalysis | None]],
        *,
        ttl_s: int,
    ) -> None:
        self._store = store
        self._find = find
        self._ttl_s = ttl_s

    async def change(
        self,
        analysis_id: str,
        asked: CorrectionBody | None,
        *,
        is_expected: Callable[[StoredAnalysis], bool],
    ) -> StoredAnalysis:
        """Correct a kept result, or go back to the automatic ellipse.

        Parameters
        ----------
        analysis_id : str
        asked : CorrectionBody or None
            None removes the correction.
        is_expected : callable
            Whether a version is the one that the caller has seen.

        Raises
        ------
        AnalysisNotFoundError, PreconditionFailedError, InputError, StoreUnavailableError
        """
        stored = await self._find(analysis_id)
        if stored is None:
            raise AnalysisNotFoundError(EXPIRED)
        now = datetime.now(UTC).strftime(TIME_FORMAT)
        drawn = None if asked is None else require_drawn(_to_drawn(asked, now), stored.body.image)
        if not is_expected(stored):
            # A client whose connection broke sends the same again, and need not be told no.
            if is_already(stored.body, drawn):
                return stored
            raise PreconditionFailedError(CHANGED)
        change = Change(
            revision=secrets.token_hex(16), expires=to_expiry(now, self._ttl_s), drawn=drawn
        )
        changed = stored.to_changed(change)
        if not await self._store.replace(analysis_id, changed, revision=stored.revision):
            raise PreconditionFailedError(CHANGED)
        return changed


def _to_drawn(asked: CorrectionBody, at: str) -> DrawnEllipse:
    ellipse = HeadEllipse(**asked.ellipse.model_dump())
    return DrawnEllipse(ellipse=ellipse, by=asked.by, at=at, note=asked.note)


def is_already(body: AnalysisBody, drawn: DrawnEllipse | None) -> bool:
    """Return whether a result is already as a person wants it, whenever that came about."""
    if drawn is None or body.correction is None:
        return drawn is None and body.correction is None
    known = to_drawn(body.correction)
    return (known.ellipse, known.by, known.note) == (drawn.ellipse, drawn.by, drawn.note)
