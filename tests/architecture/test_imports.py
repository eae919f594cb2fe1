import subprocess
import sys

MODULES = "headcirc.explain, headcirc.pipeline, headcirc_service.app"
PROGRAM = f"import sys, {MODULES}; print('torch' in sys.modules)"


def test_serving_does_not_import_torch():
    """Importing the pipeline and the service in a fresh process leaves torch out."""
    command = [sys.executable, "-c", PROGRAM]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert finished.stdout.split() == ["False"]
