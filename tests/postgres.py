"""A PostgreSQL server of the tests' own, from the programs that Debian's package installs."""

import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

PASSWORD = "s3cret-p@ss/{word}"  # with what a URL must escape, and with braces, which Optuna would fill in
USER = "toprung"


class Server:
    """A server in a folder of its own, reached through a socket there, by a user with a password.

    Root, whom PostgreSQL refuses, becomes a user without rights for it.
    """

    def __init__(self, programs):
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="toprung-postgres-"))  # short: a socket's path has 107 characters
        if os.geteuid() == 0:
            os.chown(self.folder, *_nobody())
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        make = ("--username", USER, "--auth", "scram-sha-256", "--pwfile", secret, "--encoding", "UTF8")
        self._call("initdb", "--pgdata", self.folder / "data", *make, "--locale", "C", "--no-sync")
        secret.unlink()

    @property
    def url(self):
        return self.url_with(PASSWORD)

    def url_with(self, password=None):
        secret = "" if password is None else ":" + urllib.parse.quote(password, safe="")
        return f"postgresql+psycopg://{USER}{secret}@/postgres?host={self.folder}"

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("start", "--wait", "--log", self.folder / "log", "--options", options)

    def stop(self, mode="fast"):
        """Stop it; "immediate" is what a crash is: no connection is ended in order, nothing is written any more."""
        self._control("stop", "--wait", "--mode", mode)

    def dump(self):
        """All that the database holds, as text."""
        command = [self._programs / "pg_dump", "--host", self.folder, "--username", USER, "postgres"]
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        return subprocess.run(command, check=True, capture_output=True, env=environment).stdout

    def remove(self):
        self._control("stop", "--mode", "immediate", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, verb, *words, check=True):
        self._call("pg_ctl", verb, "--pgdata", self.folder / "data", *words, check=check)

    def _call(self, program, *words, check=True):
        user, group = _nobody() if os.geteuid() == 0 else (None, None)
        command = [str(self._programs / program), *map(str, words)]
        subprocess.run(
            command, check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", user=user, group=group,
            extra_groups=None if user is None else (), stderr=None if check else subprocess.DEVNULL,
        )  # fmt: skip


def programs():
    """The folder of the newest server that is installed; None where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: int(folder.parent.name))
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


def _nobody():
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise RuntimeError("no user that PostgreSQL accepts")
