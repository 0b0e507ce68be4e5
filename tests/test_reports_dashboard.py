import contextlib
import csv
import hashlib
import http.client
import io
import json
import re
import socket
import threading

import optuna
import pytest

from reports.dashboard import open_dashboard, serve
from reports.errors import ReportError
from studies.errors import StudyError


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("a folder, with {braces} and 100%") / "studies.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}".replace("{", "{{").replace("}", "}}"))
    for name in ("digits", "other"):
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        for number in range(3):
            trial = study.ask({"units": optuna.distributions.IntDistribution(16, 64)})
            trial.report(0.5, 1)
            trial.report(0.7 + number / 10, 3)
            trial.set_user_attr("val_accuracy", 0.7 + number / 10)
            trial.set_user_attr("=reason", "=cmd|' /C calc'!A0")
            trial.set_user_attr("shift", -0.5)
            if number:
                study.tell(trial, 0.7 + number / 10)
    storage.remove_session()
    storage.engine.dispose()
    return path


@contextlib.contextmanager
def running(path, **more):
    with open_dashboard(f"sqlite:///{path}", port=0, **more) as dashboard:
        thread = threading.Thread(target=dashboard.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield dashboard
        finally:
            dashboard.shutdown()
            thread.join()


def ask(dashboard, path, method="GET", body=None, host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    host = f"127.0.0.1:{dashboard.server_port}" if host is None else host
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": host, "Content-Type": "application/json", "Content-Length": len(content), **headers}
    for name, value in fields.items():
        if value != "":
            connection.putheader(name, value)
    connection.endheaders(content)
    with contextlib.closing(connection):
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), dict(answer.getheaders())


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def routes(url):
    """Every route of optuna-dashboard, with ids that exist."""
    from optuna_dashboard import wsgi

    from studies.store import Store

    with Store.open(url, create=False, read_only=True) as store:
        found = [(route.method, route.rule) for route in wsgi(store.storage).routes]
    return [(method, re.sub(r"<\w+(:int)?>|<\w+:re:[^/]*>", "1", rule)) for method, rule in found]


def test_the_studies_and_a_study_with_its_trials_are_served(database):
    with running(database) as dashboard:
        status, body, headers = ask(dashboard, "/api/studies")
        assert status == 200
        assert [study["study_name"] for study in json.loads(body)["study_summaries"]] == ["digits", "other"]
        assert headers["X-Frame-Options"] == "DENY"
        status, body, _ = ask(dashboard, "/api/studies/1?after=0")
        assert [trial["state"] for trial in json.loads(body)["trials"]] == ["Running", "Complete", "Complete"]
        status, body, headers = ask(dashboard, "/dashboard")
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        bundle = re.search(r'src="(/static/[^"]+)"', body)[1]
        assert ask(dashboard, bundle)[0] == 200
        assert ask(dashboard, "/favicon.ico")[0] == 200


def test_the_csv_of_the_dashboard_holds_no_formulas_and_its_numbers_stay_numbers(database):
    with running(database) as dashboard:
        status, body, headers = ask(dashboard, "/csv/1")
        assert status == 200
        assert int(headers["Content-Length"]) == len(body.encode())
        rows = list(csv.DictReader(io.StringIO(body, newline="")))
        assert [row["UserAttribute =reason"] for row in rows] == ["'=cmd|' /C calc'!A0"] * 3
        assert [row["UserAttribute shift"] for row in rows] == ["-0.5"] * 3
        assert ask(dashboard, "/csv/99")[0] == 404


def test_no_route_changes_the_store_and_the_file_stays_the_same(database):
    before = digest(database)
    changing = [route for route in routes(f"sqlite:///{database}") if route[0] not in ("GET", "HEAD")]
    assert len(changing) >= 15
    bodies = {"study_name": "new", "directions": ["maximize"], "state": "Complete", "values": [9], "body": "x"}
    with running(database) as dashboard:
        for method, path in [*changing, ("PATCH", "/api/studies/1"), ("BREW", "/api/studies")]:
            status, body, _ = ask(dashboard, path, method, bodies)
            assert (status, "read-only" in body) == (403, True), (method, path)
        for method, path in routes(f"sqlite:///{database}"):
            if method == "GET":
                ask(dashboard, path)
        assert len(json.loads(ask(dashboard, "/api/studies")[1])["study_summaries"]) == 2
    assert digest(database) == before
    assert [file.name for file in database.parent.iterdir()] == ["studies.db"]


def test_even_what_got_past_the_door_could_not_write(database):
    from optuna.exceptions import StorageInternalError

    from studies.store import Store

    with Store.open(f"sqlite:///{database}", create=False, read_only=True) as store:
        with pytest.raises(StorageInternalError):
            store.storage.delete_study(1)
        store.storage.remove_session()


@pytest.mark.parametrize("write", [False, True])
def test_a_request_sent_to_another_name_is_refused(database, write):
    evil = ("evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "127.0.0.1@evil.example", "[::1", "")
    with running(database, write=write) as dashboard:
        for host in (*evil, "localhost/x", "0.0.0.0:80", "127.0.0.1,evil.example"):
            for path in ("/api/studies", "/dashboard", "/csv/1"):
                status, body, _ = ask(dashboard, path, host=host)
                assert (status, "digits" in body) == (403, False), (host, path)


def test_a_tunnel_may_come_from_any_port_of_this_machine(database):
    with running(database) as dashboard:
        for host in ("localhost", "localhost:9000", "127.0.0.1:22", "[::1]:8080", "LOCALHOST"):
            assert ask(dashboard, "/api/meta", host=host)[0] == 200, host


def test_writing_works_where_it_was_asked_for_but_not_from_other_pages(database, tmp_path):
    copy = tmp_path / "studies.db"
    copy.write_bytes(database.read_bytes())
    new = {"study_name": "new", "directions": ["maximize"]}
    with running(copy, write=True) as dashboard:
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            assert ask(dashboard, "/api/studies", "POST", new, Origin=origin)[0] == 403
        own = f"http://127.0.0.1:{dashboard.server_port}"
        assert ask(dashboard, "/api/studies", "POST", new, Origin=own)[0] == 201
        assert ask(dashboard, "/api/studies/2", "DELETE", {})[0] == 204
        names = json.loads(ask(dashboard, "/api/studies")[1])["study_summaries"]
        assert [study["study_name"] for study in names] == ["digits", "new"]
        assert ask(dashboard, "/api/artifacts/1", "POST", {"file": "data:text/plain;base64,eA=="})[0] >= 400


def test_a_reader_is_not_held_up_by_a_writer_in_the_middle_of_a_transaction(database, tmp_path):
    import sqlite3

    copy = tmp_path / "studies.db"
    copy.write_bytes(database.read_bytes())
    with running(copy, write=True) as dashboard, contextlib.closing(sqlite3.connect(copy)) as writer:
        writer.isolation_level = None
        writer.execute("BEGIN IMMEDIATE")
        assert ask(dashboard, "/api/studies")[0] == 200


def test_a_slow_request_does_not_hold_up_another(database):
    with running(database) as dashboard:
        slow = socket.create_connection(("127.0.0.1", dashboard.server_port))
        with contextlib.closing(slow):
            slow.sendall(b"GET /api/studies HTTP/1.0\r\n")
            assert ask(dashboard, "/api/studies")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_any_other_address_is_refused(database, host):
    with pytest.raises(ReportError, match=r"--host must be 127\.0\.0\.1 .*ssh -L"):
        open_dashboard(f"sqlite:///{database}", host=host)


def test_the_socket_is_bound_to_this_machine_alone(database):
    with open_dashboard(f"sqlite:///{database}", host="localhost", port=0) as dashboard:
        assert dashboard.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_named_with_what_to_do(database):
    with open_dashboard(f"sqlite:///{database}", port=0) as first:
        port = first.server_port
        with pytest.raises(ReportError, match=f"port {port} is in use.*--port 0") as refusal:
            open_dashboard(f"sqlite:///{database}", port=port)
        assert refusal.value.exit_code == 3
    with pytest.raises(ReportError, match="from 0 to 65535"):
        open_dashboard(f"sqlite:///{database}", port=70000)


def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(StudyError):
        open_dashboard(f"sqlite:///{tmp_path}/studies.db", port=0)
    assert not list(tmp_path.iterdir())


def test_the_address_is_announced_once_requests_are_taken(database):
    class Stop(Exception):
        pass

    said = []

    def announce(line):
        said.append(line)
        port = int(re.search(r":(\d+)/", line)[1])
        socket.create_connection(("127.0.0.1", port)).close()
        raise Stop

    with pytest.raises(Stop):
        serve(f"sqlite:///{database}", port=0, announce=announce)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/dashboard \(read-only; Ctrl\+C ends it\)", said[0])
