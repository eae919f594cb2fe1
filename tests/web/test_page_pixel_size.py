"""A pixel size belongs to its image and is never used silently for another one."""

import re

import pytest
from playwright.sync_api import expect

from headcirc.batch.files import UsageError
from headcirc.batch.pixel_size_table import load_pixel_sizes
from headcirc.geometry import Ellipse
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import choose, give, is_measuring, state_pixel_size, wait_for

FILES = [
    (f"{name}.png", to_file(draw_head(Ellipse(400.0, 270.0, 150.0 + i, 140.0, 0.3))))
    for i, name in enumerate("abcdefghi")
]
A, B = FILES[:2]
TABLE = "filename,pixel_size_mm\na.png,0.1\nb.png,0.2\n"


def read_sizes(page) -> list[str]:
    return page.locator("#worklist-rows .size").all_inner_texts()


def read_states(page) -> list[str]:
    return page.locator("#worklist-rows .state").all_inner_texts()


def choose_table(page, text: str, field: str = "#batch-table") -> None:
    table = {"name": "sizes.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.locator(field).set_input_files(table)


def test_size_of_one_image_is_not_used_for_images_added_later(open_page, serve_synthetic):
    """Nine images added after one with a size wait until the user chooses a size."""
    page = open_page(serve_synthetic())
    give(page, A, pixel_size_mm="0.0691")
    wait_for(page, 1)
    posts = []
    page.on("request", lambda sent: posts.append(sent.url) if is_measuring(sent) else None)
    choose(page, *FILES)
    expect(page.locator("#batch-count")).to_have_text("9 images wait")
    assert read_sizes(page) == ["0.0691 mm, stated"] + ["no pixel size"] * 9
    assert read_states(page)[1:] == ["Pixel size?"] * 9
    assert page.locator("#batch-x").input_value() == ""
    assert posts == []
    page.get_by_role("button", name="None", exact=True).click()
    wait_for(page, 10)
    assert read_states(page)[1:] == ["No pixel size"] * 9
    give(page, B)
    wait_for(page, 11)
    assert read_states(page)[-1] == "No pixel size"


def test_typed_size_is_not_used_for_an_image_added_meanwhile(open_page, serve_synthetic):
    """It stays with its image as unused text; the field of the new image is empty."""
    page = open_page(serve_synthetic())
    give(page, A)
    state_pixel_size(page, "0.3")
    give(page, B)
    wait_for(page, 2)
    expect(page.locator("#pixel-of")).to_have_text("b.png")
    expect(page.locator("#pixel-x")).to_have_value("")
    assert read_states(page) == ["No pixel size", "No pixel size"]
    assert read_sizes(page) == ["no pixel size; another typed, not used yet", "no pixel size"]


def test_same_size_for_all_is_inherited_and_says_so(open_page, serve_synthetic):
    """Each row shows the inherited size; a size entered later belongs to its image."""
    page = open_page(serve_synthetic())
    give(page, *FILES[:3], pixel_size_mm="0,1")
    wait_for(page, 3)
    expect(page.locator("#batch-form")).to_be_hidden()
    assert read_sizes(page) == ["0.1 mm, inherited"] * 3
    page.get_by_role("button", name="b.png").click()
    state_pixel_size(page, "0.2")
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#worklist-rows .size").nth(1)).to_have_text("0.2 mm, stated")
    wait_for(page, 3)
    assert read_sizes(page) == ["0.1 mm, inherited", "0.2 mm, stated", "0.1 mm, inherited"]
    expect(page.locator("#rows")).to_contain_text("0.2 mm, stated")


def test_field_shows_the_selected_image_s_size(open_page, serve_synthetic):
    """Square and other pixels; empty without a size; hidden without an image."""
    page = open_page(serve_synthetic())
    expect(page.locator("#pixel-form")).to_be_hidden()
    give(page, A, pixel_size_mm="0.1")
    give(page, B)
    page.locator("#pixel-unequal").check()
    page.locator("#pixel-x").fill("0.2")
    page.locator("#pixel-y").fill("0.3")
    page.locator("#pixel-y").press("Enter")
    give(page, FILES[2])
    wait_for(page, 3)
    fields = {}
    for name in ("a.png", "b.png", "c.png"):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#pixel-of")).to_have_text(name)
        fields[name] = [page.locator(f"#pixel-{axis}").input_value() for axis in "xy"]
        assert page.locator("#pixel-unequal").is_checked() == (name == "b.png")
    assert fields == {"a.png": ["0.1", ""], "b.png": ["0.2", "0.3"], "c.png": ["", ""]}
    assert read_sizes(page) == ["0.1 mm, stated", "0.2 x 0.3 mm, stated", "no pixel size"]


def test_typed_size_is_seen_as_not_used_until_it_is(open_page, serve_synthetic):
    """Field and row say that the size is not used yet; using it removes the sentence."""
    page = open_page(serve_synthetic())
    give(page, A, B, pixel_size_mm="0.1")
    wait_for(page, 2)
    number = page.locator("#hc").inner_text()
    pending = page.locator("#pixel-pending")
    expect(pending).to_be_hidden()
    state_pixel_size(page, "0.2")
    expect(pending).to_have_text("Not used yet. This image has: 0.1 mm, inherited.")
    assert page.locator("#hc").inner_text() == number
    page.get_by_role("button", name="b.png").click()
    expect(pending).to_be_hidden()
    expect(page.locator("#pixel-x")).to_have_value("0.1")
    page.get_by_role("button", name="a.png").click()
    expect(page.locator("#pixel-x")).to_have_value("0.2")
    expect(pending).to_be_visible()
    state_pixel_size(page, "0,10")  # the same number, typed otherwise
    expect(pending).to_be_hidden()
    state_pixel_size(page, "0.2")
    page.get_by_role("button", name="Use for this image").click()
    expect(pending).to_be_hidden()
    expect(page.locator("#worklist-rows .size").first).to_have_text("0.2 mm, stated")
    wait_for(page, 2)
    assert float(page.locator("#hc").inner_text()) == pytest.approx(2 * float(number), abs=0.2)


def test_use_for_all_says_how_many_and_where_it_is_from(open_page, serve_synthetic):
    """The size of the selected image is stated, that of the others is inherited."""
    page = open_page(serve_synthetic())
    give(page, *FILES[:3])
    state_pixel_size(page, "0.1")
    page.get_by_role("button", name="Use for all 3 images").click()
    wait_for(page, 3)
    assert read_sizes(page) == ["0.1 mm, stated", "0.1 mm, inherited", "0.1 mm, inherited"]


def test_table_gives_each_image_its_own_size(open_page, serve_synthetic):
    """Sizes are matched by name; a sentence says how many images have a row."""
    page = open_page(serve_synthetic())
    choose(page, *FILES[:3])
    choose_table(page, TABLE)
    wait_for(page, 3)
    assert read_sizes(page) == ["0.1 mm, from the table", "0.2 mm, from the table", "no pixel size"]
    expect(page.locator("#size-note")).to_have_text("The table has a row for 2 of 3 images.")
    choose_table(page, "filename,pixel_size_mm\nc.png,0.3\n", "#all-table")
    expect(page.locator("#worklist-rows .size").nth(2)).to_have_text("0.3 mm, from the table")
    wait_for(page, 3)
    assert read_sizes(page)[:2] == ["0.1 mm, from the table", "0.2 mm, from the table"]


def test_table_that_fits_no_image_leaves_the_question(open_page, serve_synthetic):
    """Nothing is measured; another table, one size or none can still be chosen."""
    page = open_page(serve_synthetic())
    choose(page, A, B)
    choose_table(page, "filename,pixel_size_mm\nz.png,0.1\n")
    expect(page.locator("#size-note")).to_have_text("The table has a row for 0 of 2 images.")
    expect(page.locator("#batch-form")).to_be_visible()
    choose_table(page, "filename,pixel_size_mm\nz.png,0,1\n")
    expect(page.locator("#size-note")).to_contain_text("Line 2 of the table has more fields")
    assert read_states(page) == ["Pixel size?", "Pixel size?"]
    choose_table(page, TABLE)
    wait_for(page, 2)


def test_row_that_fits_two_images_is_neither_s(open_page, serve_synthetic):
    """The table cannot distinguish files with equal names from two folders."""
    page = open_page(serve_synthetic())
    choose(page, A, ("a.png", B[1]))
    choose_table(page, TABLE)
    expect(page.locator("#size-note")).to_contain_text("a.png in the table fits 2 images")
    assert read_states(page) == ["Pixel size?", "Pixel size?"]


def test_batch_needs_a_size_or_an_answer(open_page, serve_synthetic):
    """An empty or impossible size is reported, and nothing is sent."""
    page = open_page(serve_synthetic())
    choose(page, A, B)
    for text, fault in (("", "State a pixel size, or press"), ("3", "from 0.005 to 2")):
        page.locator("#batch-x").fill(text)
        page.get_by_role("button", name="Same for all 2").click()
        expect(page.locator("#batch-fault")).to_contain_text(fault)
    assert read_states(page) == ["Pixel size?", "Pixel size?"]


TABLES = {
    "plain": TABLE,
    "mark and CRLF": "\ufefffilename,pixel_size_mm\r\na.png,0.1\r\n",
    "hc18": "filename,pixel size(mm),head circumference (mm)\n000_HC.png,0.069136,44.3\n",
    "unequal": "file,pixel_size_x_mm,pixel_size_y_mm\na.png,0.1,0.2\n",
    "quoted": 'note,image,pixel_size_mm\n"left, ""first""\nline",sub/a.png,1e-1\n',
    "empty lines": "name,pixel_size_mm\n\na.png,0.1\n,\n",
    "path": "filename,pixel_size_mm\n./left/a.png,0.1\n",
    "umlaut": "filename,pixel_size_mm\nu\u0308.png,0.1\n",
    "twice the same": "filename,pixel_size_mm\na.png,0.1\na.png,0.10\n",
    "twice not the same": "filename,pixel_size_mm\na.png,0.1\na.png,0.2\n",
    "no columns": "a.png,0.1\n",
    "nothing": "",
    "one side alone": "filename,pixel_size_x_mm\na.png,0.1\n",
    "two kinds": "filename,pixel_size_mm,pixel_size_x_mm\na.png,0.1,0.1\n",
    "decimal comma": "filename,pixel_size_mm\na.png,0,1\n",
    "too large": "filename,pixel_size_mm\na.png,3\n",
    "too small": "filename,pixel_size_mm\na.png,0.001\n",
    "unit": "filename,pixel_size_mm\na.png,0.1 mm\n",
    "empty size": "filename,pixel_size_mm\na.png,\n",
    "short row": "filename,pixel_size_mm\na.png\n",
    "no name": "filename,pixel_size_mm\nb.png,0.2\n ,0.1\n",
    "other separator": "filename,pixel_size_mm\na.png;0.1\n",
    "unused field left out": "filename,pixel_size_mm,note\na.png,0.1\n",
    "hexadecimal": "filename,pixel_size_mm\na.png,0x1\n",
    "not a number": "filename,pixel_size_mm\na.png,nan\n",
}
SPREADSHEETS = [
    "filename;pixel_size_mm\na.png;0,069\n",
    "filename;pixel_size_mm\na.png;0.069\n",
    "sep=;\nfilename;pixel_size_mm\na.png;0,069\n",
    "sep=;\r\nfilename;pixel_size_mm\r\na.png;0,069\r\n",
    "filename\tpixel_size_mm\na.png\t0,069\n",
    'filename,pixel_size_mm\na.png,"0,069"\n',
    "filename;pixel size(mm);head circumference (mm), outer\na.png;0,069;44,3\n",
    "filename;pixel_size_x_mm;pixel_size_y_mm\na.png;0,069;0,069\n",
]
READ = """async text => {
  const { parseSizes, SizeTableError } = await import("./web/size_table.js");
  try {
    const sizes = [...parseSizes(text)];
    return Object.fromEntries(sizes.map(([name, size]) => [name, [size.xMm, size.yMm]]));
  } catch (error) {
    if (!(error instanceof SizeTableError)) throw error;
    return error.message.match(/Line \\d+/)?.[0] ?? "refused";
  }
}"""


def read_table_here(path, text: str) -> dict[str, list[float]] | str:
    path.write_text(text, encoding="utf-8", newline="")
    try:
        sizes = load_pixel_sizes(path)
    except UsageError as error:
        return "".join(re.findall(r"Line \d+", str(error))) or "refused"
    return {name: [each.column_mm, each.row_mm] for name, each in sizes.items()}


def test_page_reads_tables_as_the_command_line_does(open_page, synthetic_url, tmp_path):
    """Both read the same sizes and refuse the same tables at the same line."""
    page = open_page(synthetic_url)
    found = {name: page.evaluate(READ, text) for name, text in TABLES.items()}
    expected = {name: read_table_here(tmp_path / "t.csv", text) for name, text in TABLES.items()}
    assert found == expected


def test_page_reads_tables_of_any_spreadsheet(open_page, synthetic_url):
    """Semicolons, tabs, decimal commas and a `sep=` line work as on the command line."""
    page = open_page(synthetic_url)
    for text in SPREADSHEETS:
        assert page.evaluate(READ, text) == {"a.png": [0.069, 0.069]}
    assert page.evaluate(READ, "sep=;\nfilename;pixel_size_mm\na.png;x\n") == "Line 3"
    for size in ("0_1", '"1.234,5"', '"0,0,1"'):
        assert page.evaluate(READ, f"filename,pixel_size_mm\na.png,{size}\n") == "Line 2"
