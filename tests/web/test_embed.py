"""The page in a viewer's frame: who may show it, who is heard, what is answered."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from headcirc_service.settings import Settings
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import ask

CONTENT = to_file(draw_head())
EXAMPLE = re.search("```html\n(.*?)```", Path("docs/embed.md").read_text(), re.DOTALL)[1]
MOST_LINES = 30
PATIENCE_S = 30
LISTEN = """() => {
  window.heard = [];
  addEventListener("message", ({ data, origin }) => heard.push({ ...data, origin }));
}"""


@contextmanager
def serve_viewer(pages: dict[str, str]):
    """Serve HTML by path on an origin of its own; the dict may be filled later."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def viewer():
    """Return the viewer's pages and its origin."""
    pages = {}
    with serve_viewer(pages) as origin:
        yield pages, origin


def frame_of(page):
    return page.frame_locator("#headcirc")


def send(page, **message) -> None:
    """Send a message from the viewer to the page in its frame; `image` stands for a picture."""
    page.evaluate(
        """([message, content]) => {
          if (message.image) message.image = new Uint8Array(content).buffer;
          frames[0].postMessage({ headcirc: 1, ...message }, "*");
        }""",
        [message, list(CONTENT) if message.get("image") else []],
    )


def wait_for_messages(page, count: int) -> list[dict]:
    page.wait_for_function("count => heard.length >= count", arg=count)
    return page.evaluate("heard")


def test_documented_example_works_on_another_origin(open_page, serve_synthetic, viewer):
    """The viewer hands an image in and shows the service's number; the example is short."""
    pages, origin = viewer
    url = serve_synthetic(embed_origins=origin)
    assert EXAMPLE.count("\n") <= MOST_LINES
    pages["/"] = EXAMPLE.replace("https://headcirc.example", url)
    page = open_page(origin)
    expect(page.locator("#answer")).to_have_text("ready")
    file = {"name": "head.png", "mimeType": "image/png", "buffer": CONTENT}
    page.locator("#image").set_input_files(file)
    number = ask(url, CONTENT, pixel_size_mm=0.1)["head"]["head_circumference_mm"]
    expect(page.locator("#answer")).to_have_text(f"{number} mm")
    expect(frame_of(page).locator("#result-name")).to_have_text("head.png")
    expect(frame_of(page).locator("#keeping")).to_be_hidden()
    kept = "async () => (await indexedDB.databases()).length"
    assert page.frames[1].evaluate(kept) == 0, "in a frame nothing is kept"
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"x"}
    page.locator("#image").set_input_files(broken)
    expect(page.locator("#answer")).to_contain_text("The content")


def test_every_change_is_told(open_page, serve_synthetic, viewer):
    """A person who states a pixel size changes the result; invalid messages are answered."""
    pages, origin = viewer
    url = serve_synthetic(embed_origins=f"https://other.example,{origin}")
    pages["/"] = f'<title>v</title><iframe id="headcirc" src="{url}/"></iframe>'
    page = open_page(origin)
    page.evaluate(LISTEN)
    send(page, action="measure", request={"n": 1}, image=True, name="a.png")
    (first,) = wait_for_messages(page, 1)
    assert (first["event"], first["request"], first["origin"]) == ("result", {"n": 1}, url)
    assert first["analysis"]["head"]["head_circumference_mm"] is None
    frame_of(page).locator("#pixel-x").fill("0.1")
    frame_of(page).locator("#pixel-x").press("Enter")
    second = wait_for_messages(page, 2)[1]
    assert second["request"] == {"n": 1}
    expected = ask(url, CONTENT, pixel_size_mm=0.1)["head"]
    assert second["analysis"]["head"] == expected
    send(page, action="measure", request=2, image=True, pixel_size_mm=9)
    third = wait_for_messages(page, 3)[2]
    assert (third["event"], third["request"]) == ("failed", 2)
    assert third["problem"]["code"] == "invalid-message"


@pytest.mark.parametrize("allowed", ["", "https://other.example"])
def test_page_is_not_framed_by_others(browser, serve_synthetic, viewer, allowed):
    """Without the setting, and for an origin that is not in it, the frame stays empty."""
    pages, origin = viewer
    url = serve_synthetic(embed_origins=allowed)
    pages["/"] = f'<title>v</title><iframe id="headcirc" src="{url}/"></iframe>'
    page = browser.new_page()  # its console holds the browser's refusal
    with page.expect_console_message(lambda line: "frame-ancestors" in line.text):
        page.goto(origin)
    expect(frame_of(page).locator("#welcome")).not_to_be_attached()
    page.close()


def test_only_the_framing_window_is_heard(open_page, serve_synthetic, viewer):
    """A window that opened the page, or another frame beside it, gets no answer."""
    pages, origin = viewer
    url = serve_synthetic(embed_origins=origin)
    pages["/beside"] = f"""<title>beside</title><script>
      addEventListener("message", ({{ data }}) => parent.postMessage({{ beside: data }}, "*"));
      onload = () => parent.frames[0].postMessage({{ headcirc: 1, action: "hello" }}, "{url}");
    </script>"""
    pages["/"] = f'<title>v</title><iframe id="headcirc" src="{url}/"></iframe>'
    page = open_page(origin)
    page.evaluate(LISTEN)
    page.evaluate("""() => new Promise(done => {
      const frame = Object.assign(document.createElement("iframe"), { src: "/beside" });
      frame.onload = done;
      document.body.append(frame);
    })""")
    with page.expect_popup() as popup:
        page.evaluate("url => { window.opened = open(url); }", url)
    expect(popup.value.locator("#welcome")).to_be_visible()
    page.evaluate("url => opened.postMessage({ headcirc: 1, action: 'hello' }, url)", url)
    send(page, action="hello", request="mine")
    page.wait_for_timeout(300)
    assert [each["request"] for each in page.evaluate("heard")] == ["mine"]


def test_headers_follow_the_setting(serve_synthetic):
    """The page may be framed by the named origins alone, everything else by nobody."""
    url = serve_synthetic(embed_origins="https://Viewer.example:443, http://[::1]:8080")
    page = httpx.get(url, timeout=PATIENCE_S).headers
    assert (
        "frame-ancestors https://viewer.example http://[::1]:8080;"
        in page["content-security-policy"]
    )
    assert "x-frame-options" not in page
    for path in ("/docs", "/livez", "/web/main.js"):
        headers = httpx.get(url + path, timeout=PATIENCE_S).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
    listed = httpx.get(url + "/web/embed/origins.json", timeout=PATIENCE_S).json()
    assert listed == ["https://viewer.example", "http://[::1]:8080"]


WRONG_ORIGINS = [
    "*", "https://*.example", "viewer.example", "https://viewer.example/", "https://a;b", "'self'",
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG_ORIGINS)
def test_setting_takes_origins_only(value):
    """A path would never match, and a semicolon would end the policy."""
    with pytest.raises(ValueError, match="must be an origin"):
        Settings(embed_origins=value)
