import pytest
from fastapi.testclient import TestClient
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from tests.support.synthetic import to_synthetic_pipeline


@pytest.fixture
def pipeline():
    return to_synthetic_pipeline()


@pytest.fixture
def make_client(pipeline):
    """Return a function that starts the service with given settings."""
    clients = []

    def make(**settings):
        client = TestClient(
            create_app(Settings(**settings), pipeline), raise_server_exceptions=False
        )
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client):
    return make_client()
