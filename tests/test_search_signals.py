"""What Ctrl-C and SIGTERM do to a process that heeds them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HEEDFUL = """
import time
from search.signals import stop_on_signals
with stop_on_signals() as stop:
    print("waits", flush=True)
    stop.wait()
    print("tidies up", stop.exit_code, flush=True)
    time.sleep(3600)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_for_an_end_and_the_second_ends_the_process_at_once(sent, code):
    command = [sys.executable, "-c", HEEDFUL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout.readline() == "waits\n"
            process.send_signal(sent)
            assert process.stdout.readline() == f"tidies up {code}\n"
            process.send_signal(sent)
            assert process.wait(timeout=30) == code
        finally:
            process.kill()
