import gc
import warnings

import pytest


@pytest.fixture(autouse=True)
def collect_sockets():
    """Collect what pynetdicom leaves open when a connection fails, so that no other test sees it.

    The interpreter closes such a socket; that is a ResourceWarning, and warnings are errors here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()
