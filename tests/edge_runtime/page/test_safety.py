"""Who may do what on the page."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from edge_runtime.cli import main
from edge_runtime.page.settings import PageSection
from edge_runtime.page.users import UserFile
from edge_runtime.tools.page_check import check_page
from latentline.base.strict_yaml import parse
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import FakeInspector
from tests.edge_runtime.page.running import RunningPage, page_data, running_page
from tests.paths import ROOT
from tests.waiting import wait_until


def test_without_a_login_nothing_is_shown(running: RunningPage) -> None:
    """Each page leads a browser to the login; what a script asks for is refused, pictures and events included."""
    with running.client() as client:
        for path in ("/live", "/health", "/threshold", "/model", "/"):
            answer = client.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        for path in ("/events", "/live/frame/top", "/threshold/numbers", "/health/part", "/no-such-page"):
            assert client.get(path).status_code == 401
        assert client.post("/threshold", json={"value": 50, "seen": 100}).status_code == 401


def test_a_change_needs_the_token_of_the_session(running: RunningPage) -> None:
    """A change without the token, with a wrong one, or from another web site is refused, and nothing has changed."""
    with running.client("anna") as client:
        body = {"value": 50.0, "seen": 100.0}
        for wrong in (
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": "x" * 43},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            assert client.post("/threshold", json=body, headers=wrong).status_code == 403
        assert running.station.snapshot().threshold == 100.0


def test_another_site_cannot_log_somebody_in(running: RunningPage) -> None:
    """A login that another web site sends is refused."""
    form = {"name": "otto", "password": running.passwords["otto"]}
    with running.client() as client:
        answer = client.post("/login", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(running: RunningPage) -> None:
    """The cookie is HttpOnly and SameSite=Strict."""
    with running.client() as client:
        answer = client.post("/login", data={"name": "otto", "password": running.passwords["otto"]})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


def test_every_answer_has_the_policy(running: RunningPage) -> None:
    """Pages, files, refusals and errors all forbid scripts that are not this station's own, and framing."""
    with running.client("otto") as client:
        for path in ("/live", "/static/page.js", "/static/none", "/none", "/live/frame/none"):
            policy = client.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy and "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_a_foreign_name_is_refused(running: RunningPage) -> None:
    """A request under a name that is not the station's is refused, so no web site can point its name here."""
    with running.client() as client:
        assert client.get("/login", headers={"Host": "evil.example"}).status_code == 421
        assert client.get("/login", headers={"Host": f"localhost:{running.port}"}).status_code == 200


def test_an_operator_changes_no_threshold(running: RunningPage) -> None:
    """An operator who asks for a change gets a sentence, and nothing has changed."""
    with running.client("otto") as client:
        answer = client.post("/threshold", json={"value": 50.0, "seen": 100.0})
        assert answer.status_code == 409 and "only an engineer" in answer.json()["error"]
        answer = client.post("/model", json={"name": "new.zip", "sha256": "0" * 64})
        assert answer.status_code == 409 and "only an engineer" in answer.json()["error"]
    assert running.station.snapshot().threshold == 100.0


def test_a_request_that_is_too_large_is_refused(running: RunningPage) -> None:
    """A body of more than 1 MiB is refused, announced or not."""
    with running.client("anna") as client:
        assert client.post("/threshold", content=b" " * (1 << 21)).status_code == 413
        answer = client.post("/threshold", content=(b" " * (1 << 16) for _ in range(32)))
        assert answer.status_code == 409 and "larger than 1 MiB" in answer.json()["error"]


def test_wrong_passwords_become_slow(tmp_path: Path) -> None:
    """After five wrong passwords the sixth is not tried, nor is the right one."""
    with running_page(tmp_path) as running, running.client() as client:
        for _ in range(5):
            assert client.post("/login", data={"name": "anna", "password": "guess"}).status_code == 403
        answer = client.post("/login", data={"name": "anna", "password": running.passwords["anna"]})
        assert answer.status_code == 429 and "Too many tries" in answer.text
        refused = [json.loads(line) for line in running.audit.splitlines()]
        assert [(entry["who"], entry["action"]) for entry in refused] == [("anna", "login refused")] * 5


def test_a_new_password_ends_the_sessions_of_the_old_one(running: RunningPage) -> None:
    """Who is logged in is out with the next request after their password or their user is gone."""
    users = UserFile(running.config.spool.path.with_suffix(".users.json"))
    running.passwords["eve"] = users.add("eve", "operator")
    with running.client("eve") as client:
        assert client.get("/threshold/numbers").status_code == 200
        running.passwords["eve"] = users.new_password("eve")
        assert client.get("/threshold/numbers").status_code == 401
    with running.client("eve") as client:
        users.remove("eve")
        assert client.get("/threshold/numbers").status_code == 401


def test_who_is_out_watches_no_more(running: RunningPage) -> None:
    """Events that are open end when their user is removed."""
    users = UserFile(running.config.spool.path.with_suffix(".users.json"))
    running.passwords["eva"] = users.add("eva", "operator")
    with running.client("eva") as client, client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        users.remove("eva")
        assert all(line.startswith("data: ") or not line for line in lines)  # and there is a last one


def test_who_logs_out_is_out(running: RunningPage) -> None:
    """The token of a session that has ended is worth nothing, even if somebody has kept it."""
    with running.client("otto") as client:
        kept = dict(client.cookies)
        assert client.post("/logout", json={}).status_code == 200
        client.cookies.update(kept)
        assert client.get("/threshold/numbers").status_code == 401


def test_only_the_stations_account_reads_the_passwords(running: RunningPage) -> None:
    """The file of users has mode 0600 and holds no password, only hashes by argon2id."""
    path = running.config.spool.path.with_suffix(".users.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(password in path.read_text() for password in running.passwords.values())
    assert path.read_text().count("$argon2id$") == len(json.loads(path.read_text())["users"])


@pytest.mark.parametrize(
    ("section", "fine"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "192.168.1.4"}, False),
        ({"host": "0.0.0.0", "insecure": True}, True),
        ({"host": "0.0.0.0", "tls": {"certificate": "a.pem", "key": "b.pem"}}, True),
    ],
)
def test_the_network_needs_tls_or_a_word(section: dict[str, object], fine: bool) -> None:
    """Any address but loopback needs a certificate, or `insecure: true` written out."""
    if fine:
        parse(section, PageSection, "-")
    else:
        with pytest.raises(ConfigError, match=r"page\.insecure: true"):
            parse(section, PageSection, "-")


def test_the_command_line_makes_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`page add-user` prints a password, which logs in while the station runs; a second such user is refused."""
    data = page_data(tmp_path)
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
    with running_page(tmp_path, data) as running:
        assert main(["page", "add-user", str(tmp_path / "station.yaml"), "berta", "--role", "engineer"]) == 0
        running.passwords["berta"] = capsys.readouterr().out.split("berta: ")[1].split()[0]
        with running.client("berta") as client:
            assert "berta, engineer" in client.get("/live").text
    assert main(["page", "add-user", str(tmp_path / "station.yaml"), "berta"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["page", "remove-user", str(tmp_path / "station.yaml"), "nobody"]) == 2
    assert main(["page", "users", str(tmp_path / "station.yaml")]) == 0
    assert "berta                    engineer" in capsys.readouterr().out


def test_check_says_what_a_page_lacks(tmp_path: Path) -> None:
    """`check` names a page without users and a certificate that cannot be used, and else where the page will be."""
    spool, nothing = tmp_path / "spool.sqlite", str(tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="add-user"):
        check_page(PageSection(), spool)
    UserFile(tmp_path / "spool.users.json").add("anna", "operator")
    assert check_page(PageSection(), spool) == "http://127.0.0.1:9465 for 1 user"
    tls = parse({"tls": {"certificate": nothing, "key": nothing}}, PageSection, "-")
    with pytest.raises(ConfigError, match=r"none\.pem"):
        check_page(tls, spool)


def test_a_broken_file_of_users_is_a_sentence(running: RunningPage, tmp_path: Path) -> None:
    """A file of users that is no such file makes a sentence, and never lets anybody in."""
    path = tmp_path / "users.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="not a file of users"):
        UserFile(path).log_in("anna", "x")


def test_an_audit_log_that_cannot_be_written_stops_changes(tmp_path: Path) -> None:
    """When the audit log takes no line, nothing changes, and the answer says why."""
    with running_page(tmp_path) as running, running.client("anna") as client:
        path = running.config.spool.path.with_suffix(".audit.jsonl")
        path.unlink()
        path.mkdir()
        answer = client.post("/threshold", json={"value": 50.0, "seen": 100.0})
        assert answer.status_code == 409 and "so nothing has changed" in answer.json()["error"]
        assert running.station.snapshot().threshold == 100.0


def test_a_taken_port_is_a_fault_and_no_end(tmp_path: Path) -> None:
    """A page without a port is a fault with a sentence; the station inspects."""
    data = page_data(tmp_path)
    with socket.create_server(("127.0.0.1", data["page"]["port"])):
        running = RunningPage(tmp_path, FakeInspector(), data)
        running.start(answers=False)
        try:
            wait_until(lambda: "page" in running.station.health.faults, "the fault")
            assert "Address already in use" in running.station.health.faults["page"]
        finally:
            running.stop()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OPENSSL IS MISSING: no TLS test ran")
def test_a_certificate_makes_https_and_a_secure_cookie(tmp_path: Path) -> None:
    """With page.tls the page speaks HTTPS, and its cookie goes over nothing else."""
    certificate, key = tmp_path / "page.pem", tmp_path / "page.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    data = page_data(tmp_path / "station", tls={"certificate": str(certificate), "key": str(key)})
    running = RunningPage(tmp_path / "station", FakeInspector(), data)
    running.start()
    trust = ssl.create_default_context(cafile=str(certificate))
    try:
        with httpx.Client(base_url=running.url, verify=trust) as client:
            answer = client.post("/login", data={"name": "otto", "password": running.passwords["otto"]})
            assert answer.status_code == 303 and "secure" in answer.headers["set-cookie"].lower()
    finally:
        running.stop()


def test_without_the_extra_a_page_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A station whose page lacks a library inspects, and says what to install."""
    monkeypatch.delitem(sys.modules, "edge_runtime.page.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    running = RunningPage(tmp_path, FakeInspector(), page_data(tmp_path))
    running.start(answers=False)
    try:
        wait_until(lambda: "page" in running.station.health.faults, "the fault")
        assert "uvicorn is not installed; install latentline with the extra" in running.station.health.faults["page"]
    finally:
        running.stop()


def test_a_station_without_a_page_needs_no_extra() -> None:
    """Command line, settings and station import nothing of the extra `page`."""
    extra = "{'starlette', 'uvicorn', 'jinja2', 'argon2'}"
    code = f"import sys, edge_runtime.cli, edge_runtime.station.station; sys.exit(bool({extra} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_certificate_that_is_none_is_a_fault(tmp_path: Path) -> None:
    """A certificate that cannot be read is a fault that names the file, and the station inspects."""
    nothing = str(tmp_path / "none.pem")
    data = page_data(tmp_path, tls={"certificate": nothing, "key": nothing})
    running = RunningPage(tmp_path, FakeInspector(), data)
    running.start(answers=False)
    try:
        wait_until(lambda: "page" in running.station.health.faults, "the fault")
        assert "none.pem" in running.station.health.faults["page"]
    finally:
        running.stop()
