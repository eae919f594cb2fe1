"""Measure fetal head circumference in a 2-D ultrasound image: bytes in, millimetres out.

The package is a corridor of rooms through which data walks one way: `decode`, `network_input`,
`backends`, `mask`, `ellipse`, `measurement`, `overlay`; `pipeline` calls them in this order.
A research tool, not a medical device.
"""

__version__ = "0.1.0"
