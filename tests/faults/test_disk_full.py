import subprocess
from pathlib import Path

import pytest
from PIL import Image

from harness.service_process import start_service
from headcirc.client import HeadcircClient, ProblemError, RetryPolicy
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.synthetic import to_file

EXAMPLE = Path("examples/phantom.png")
SMALL = EXAMPLE.read_bytes()
LARGE = to_file(Image.open(EXAMPLE).convert("RGB"), "BMP")
"""More than one megabyte; such an upload is written to the disk while it arrives."""
ONCE = RetryPolicy(most_attempts=1)
ROUNDS = 3


@pytest.fixture
def full_disk(tmp_path):
    """Return a folder on a file system of 64 kB; skip if it cannot be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here; it needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_full_disk_is_our_fault_and_passes(full_disk: Path, monkeypatch, record):
    """A large upload gets 503 and works again later; a small upload is measured meanwhile."""
    monkeypatch.setenv("TMPDIR", str(full_disk))
    with (
        start_service(SHIPPED_MODEL_DIR) as service,
        HeadcircClient(service.url, retries=ONCE) as client,
    ):
        refusals = measurements = 0
        for _ in range(ROUNDS):
            with pytest.raises(ProblemError) as refused:
                client.analyze(LARGE)
            assert (refused.value.status, refused.value.code) == (503, "not-ready")
            assert str(full_disk) not in refused.value.detail
            refusals += 1
            measurements += client.analyze(SMALL).head is not None
        assert measurements == ROUNDS
        subprocess.run(["mount", "-o", "remount,size=64m", str(full_disk)], check=True)
        recovered = client.analyze(LARGE).head is not None
        assert recovered
    record(
        "disk_full",
        large_uploads_refused=refusals,
        small_uploads_measured=measurements,
        recovered=recovered,
    )
