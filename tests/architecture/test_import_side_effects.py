import subprocess
import sys

PROGRAM = """
import importlib, locale, logging, pkgutil, signal, warnings
import cv2, numpy, ray  # Ray sets warning filters of its own
from PIL import Image, TiffImagePlugin

import headcirc


def describe_process():
    return {
        "Pillow's pixel limit": Image.MAX_IMAGE_PIXELS,
        "Pillow's formats": (sorted(Image.ID), sorted(Image.OPEN)),
        "Pillow's TIFF modes": dict(TiffImagePlugin.OPEN_INFO),
        "warning filters": [str(each) for each in warnings.filters],
        "OpenCV's log level": cv2.utils.logging.getLogLevel(),
        "OpenCV's threads": cv2.getNumThreads(),
        "locale": locale.setlocale(locale.LC_ALL),
        "signal handlers": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "root log handlers": list(logging.root.handlers),
        "root log level": logging.root.level,
    }


Image.init()
before = describe_process()
modules = [each.name for each in pkgutil.walk_packages(headcirc.__path__, "headcirc.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
after = describe_process()
print(len(modules) > 40, [each for each in before if before[each] != after[each]])
"""


def test_importing_headcirc_changes_nothing_process_wide():
    """A program that imports the library keeps its own settings of Pillow, OpenCV and Python."""
    command = [sys.executable, "-c", PROGRAM]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert finished.stdout.split(maxsplit=1) == ["True", "[]\n"]
