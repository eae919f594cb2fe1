"""Measure fetal head circumference in a 2-D ultrasound image: bytes in, millimetres out.

`headcirc.pipeline` calls the stages in order: `readers`, `network_input`, `backends`, `mask`,
`ellipse`, `measurement`, `quality`, `overlay`.
A research tool, not a medical device.
"""

__version__ = "0.1.0"
