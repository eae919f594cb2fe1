"""Steps of a user on the page, for its tests."""

import re

import httpx
from playwright.sync_api import expect

ENDED = re.compile("^(good|mind|bad)$")


def give(page, *files: tuple[str, bytes], pixel_size_mm: str | None = None) -> None:
    """Choose files, as (name, content), and enter their pixel size, or none."""
    choose(page, *files)
    if len(files) > 1 and pixel_size_mm is None:
        page.locator("#batch-none").click()
    elif len(files) > 1:
        page.locator("#batch-x").fill(pixel_size_mm)
        page.locator("#batch-x").press("Enter")
    elif pixel_size_mm is not None:
        state_pixel_size(page, pixel_size_mm)
        page.locator("#pixel-x").press("Enter")


def choose(page, *files: tuple[str, bytes]) -> None:
    """Choose files, as (name, content)."""
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def clear(page) -> None:
    """Remove all images from the list, and say that this is meant."""
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Remove all").click()


def wait_for(page, number: int) -> None:
    """Wait until `number` images have an answer."""
    expect(page.locator("#worklist-count")).to_have_text(f"{number} of {number} done")


def take_phantom(page, title: str) -> None:
    """Press the button of a phantom and wait for its result."""
    number = page.locator("#worklist-rows button").count() + 1
    if page.locator("#examples:not([open])").count():
        page.locator("#examples summary").click()
    page.locator("#example-list button", has_text=title).click()
    wait_for(page, number)


def state_pixel_size(page, text: str) -> None:
    """Enter the size of square pixels for the selected image."""
    page.locator("#pixel-x").fill(text)


def ask(url: str, content: bytes, **fields: float) -> dict:
    """Post a picture to the service without the page."""
    answer = httpx.post(f"{url}/v1/analyses", files={"image": content}, data=fields)
    return answer.json()


def is_measuring(request) -> bool:
    """Return whether a request measures; the page also looks for a depth scale by itself."""
    return request.method == "POST" and request.url.endswith("/v1/analyses")


def answer_busy(route, *, retry_after_s: float) -> None:
    """Answer a request with 429, as the service does when its queue is full."""
    problem = {"code": "overloaded", "detail": "Full.", "title": "Overloaded", "status": 429}
    route.fulfill(status=429, json=problem, headers={"retry-after": str(retry_after_s)})


def read_rows(page) -> dict[str, str]:
    """Return the texts of the figures by name, all of them of the same moment."""
    rows = page.locator("#rows > div")
    return dict(rows.evaluate_all("all => all.map(row => [...row.children].map(e => e.innerText))"))


STORED = """async () => {
  const { openStore } = await import("./web/keep/store.js");
  const store = await openStore();
  const all = await Promise.all(["items", "images", "settings"].map(kind => store.readAll(kind)));
  return all.map(each => each.length);
}"""


def wait_until_kept(page, items: int, images: int) -> None:
    """Wait until the browser's store holds so many items and images."""
    for _ in range(100):
        found = page.evaluate(STORED)[:2]
        if found == [items, images]:
            return
        page.wait_for_timeout(50)
    assert found == [items, images]
