"""A font whose letters are equal boxes, so that pictures of the page do not depend on fonts."""

import io
from functools import cache

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

EM, WIDTH, HEIGHT, GAP = 1000, 550, 700, 60
GLYPHS = [".notdef", "space", "box"]
MOST_CODE = 0x2FFF


@cache
def make_box_font() -> bytes:
    """Return a TrueType font: a box for every letter, nothing for a space, all as wide."""
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder(GLYPHS)
    codes = {code: "box" for code in range(0x21, MOST_CODE)}
    builder.setupCharacterMap(codes | {0x20: "space", 0xA0: "space"})
    box = draw_box()
    builder.setupGlyf({".notdef": box, "space": TTGlyphPen(None).glyph(), "box": box})
    builder.setupHorizontalMetrics({name: (WIDTH, 0) for name in GLYPHS})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupNameTable({"familyName": "Box", "styleName": "Regular"})
    builder.setupPost()
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


def draw_box():
    """Return the outline of a letter."""
    pen = TTGlyphPen(None)
    corners = [(GAP, 0), (GAP, HEIGHT), (WIDTH - GAP, HEIGHT), (WIDTH - GAP, 0)]
    pen.moveTo(corners[0])
    for corner in corners[1:]:
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()
