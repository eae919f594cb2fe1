import re
from dataclasses import fields
from pathlib import Path

import pytest

from headcirc.gateway.settings import (
    KINDS,
    Destination,
    Listener,
    Measuring,
    MetricsAddress,
    QueueLimits,
    Retries,
    SettingsError,
    Tls,
    load_settings,
)
from headcirc.reports.dicom import report_file

LEAST = """
[listener]
calling_ae_titles = ["SCANNER"]

[queue]
folder = "/var/lib/headcirc"

[[destination]]
name = "archive"
host = "archive"
port = 104
ae_title = "PACS"
"""
GUIDE = Path("docs/gateway.md")


def load(tmp_path, text):
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return load_settings(path)


def test_least_settings_have_safe_defaults(tmp_path):
    """Only this machine reaches the listener, and nothing listens for metrics."""
    settings = load(tmp_path, LEAST)
    assert settings.listener.host == "127.0.0.1"
    assert settings.metrics.port == 0
    assert settings.queue.folder == Path("/var/lib/headcirc")
    (archive,) = settings.destination
    assert archive.reports == ("tid1500", "capture")


def test_all_settings_of_a_file_are_read(tmp_path):
    more = (
        LEAST
        + """
reports = ["tid5000"]
[destination.tls]
certificate = "a.crt"
key = "a.key"
authority = "ca.crt"

[measuring]
server = "http://127.0.0.1:8000"
cine_frames = 3

[retries]
first_s = 1
"""
    )
    settings = load(tmp_path, more)
    assert settings.destination[0].reports == ("tid5000",)
    assert settings.destination[0].tls.authority == Path("ca.crt")
    assert settings.measuring.cine_frames == 3
    assert settings.retries.first_s == 1.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('calling_ae_titles = ["SCANNER"]', "", "listener.calling_ae_titles is missing"),
        ('["SCANNER"]', "[]", "name who may send"),
        ('["SCANNER"]', '["A NAME THAT IS TOO LONG"]', "no AE title"),
        ('["SCANNER"]', '"SCANNER"', "list of texts"),
        ('["SCANNER"]', "[1]", "list of texts"),
        ("[queue]", "[queues]", "queues is no setting"),
        ("folder =", "folders =", "queue.folders is no setting"),
        ("port = 104", 'port = "104"', "destination.port must be of type int"),
        ("port = 104", "port = true", "must be of type int"),
        ("port = 104", "port = 65536", "ports are"),
        ("port = 104", "", "needs host, port and ae_title"),
        ('host = "archive"', 'url = "ftp://archive"', "must begin with http"),
        ('host = "archive"', 'host = "a"\nurl = "http://a"', "either host"),
        ('host = "archive"', "", "either host"),
        ('host = "archive"', 'host = "a"\nreports = ["pdf"]', "reports must be"),
        ('host = "archive"', 'host = "a"\nreports = []', "reports must be"),
        ("[queue]", "[queue]\nmost_images = 0", "must be above 0"),
        ("[queue]", "[queue", "not valid TOML"),
        ("[[destination]]", "[destination]", "list of tables"),
    ],
)
def test_mistake_is_named(tmp_path, old, new, message):
    """The message names the setting and what it needs."""
    assert old in LEAST
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, LEAST.replace(old, new))


def test_two_destinations_need_two_names(tmp_path):
    twice = LEAST + LEAST[LEAST.index("[[destination]]") :]
    with pytest.raises(SettingsError, match="same name"):
        load(tmp_path, twice)


def test_no_destination_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="nowhere"):
        load(tmp_path, "destination = []\n" + LEAST[: LEAST.index("[[destination]]")])


def test_kinds_are_those_of_the_reports():
    """They are written down twice, to keep the listener small."""
    assert report_file.KINDS == KINDS


def test_waits_double_up_to_the_longest():
    retries = Retries(first_s=1, longest_s=5)
    assert [retries.to_wait_s(attempts) for attempts in (1, 2, 3, 4, 5000)] == [1, 2, 4, 5, 5]


def test_settings_of_the_guide_are_valid(tmp_path):
    """The example in `docs/gateway.md` loads, and shows every setting."""
    (example,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    settings = load(tmp_path, example)
    assert [each.name for each in settings.destination] == ["archive", "research"]
    shown = set(re.findall(r"^(?:# )?(\w+) =", example, re.MULTILINE))
    sections = (Listener, QueueLimits, Measuring, Retries, MetricsAddress, Destination, Tls)
    assert {each.name for kind in sections for each in fields(kind)} - shown == {"tls"}


def test_site_file_belongs_to_a_model_that_the_worker_loads(tmp_path):
    """With a service, it is the service's to recalibrate."""
    assert load(tmp_path, LEAST).measuring.site_file is None
    local = '\n[measuring]\nsite_file = "/etc/headcirc/site.json"\n'
    assert load(tmp_path, LEAST + local).measuring.site_file == Path("/etc/headcirc/site.json")
    with pytest.raises(SettingsError, match="HEADCIRC_SITE_FILE"):
        load(tmp_path, LEAST + local + 'server = "http://127.0.0.1:8000"\n')
