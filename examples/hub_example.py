"""Measure `example.png` with the model in this folder (which `make hub-folder` assembles)."""

from pathlib import Path

import headcirc

here = Path(__file__).parent
model = headcirc.load_model(here)
result = model.measure(here / "example.png", pixel_size_mm=0.1277)
print(f"head circumference: {result.head_circumference_mm:.1f} mm")
print("reliable" if result.acceptable else f"not reliable: {', '.join(result.warnings)}")
result.save_overlay("overlay.png")
