"""A server as tutorials show it: FastAPI around a torch network. `make bench` compares with it.

It serves the network that ships, so that only the way of serving differs. It decodes with Pillow,
runs torch in the handler, fits an ellipse to the largest contour with OpenCV, and has no queue, no
limits, no checks and no uncertainty.
"""

import io
import math
import time
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from fastapi import FastAPI, File, Form
from PIL import Image

from headcirc.pipeline import SHIPPED_MODEL_DIR
from training.checkpoint import find_checkpoint, load_trained

SIZE, MEAN, DEVIATION, THRESHOLD = (256, 256), 0.156, 0.172, 0.5
app = FastAPI()
network = load_trained(find_checkpoint(SHIPPED_MODEL_DIR))


@app.get("/readyz")
def report_ready() -> dict[str, str]:
    """Report that the network is loaded."""
    return {"status": "ready"}


@app.post("/v1/analyses")
def predict(
    image: Annotated[bytes, File()], pixel_size_mm: Annotated[float, Form()]
) -> dict[str, Any]:
    """Measure a picture."""
    began = time.perf_counter()
    picture = Image.open(io.BytesIO(image)).convert("L")
    grey = np.asarray(picture.resize(SIZE, Image.Resampling.BILINEAR), np.float32) / 255
    with torch.no_grad():
        outputs = network(torch.from_numpy((grey - MEAN) / DEVIATION)[None, None])
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    probabilities = torch.sigmoid(logits)[0, 0].numpy()
    mask = (cv2.resize(probabilities, picture.size) > THRESHOLD).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = max(contours, key=cv2.contourArea, default=None)
    circumference_mm = None
    if found is not None and len(found) >= 5:  # noqa: PLR2004 - what an ellipse needs
        _, (first, second), _ = cv2.fitEllipse(found)
        a, b = first / 2 * pixel_size_mm, second / 2 * pixel_size_mm
        circumference_mm = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
    total_ms = (time.perf_counter() - began) * 1000
    return {"head_circumference_mm": circumference_mm, "timing_ms": {"total": total_ms}}
