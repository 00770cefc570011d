"""What tests start servers with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests import programs


def test_no_two_processes_get_the_same_port_and_none_gets_one_in_use(monkeypatch):
    ours = programs.free_ports(3)
    assert len(set(ours)) == 3
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        used = server.getsockname()[1]
        monkeypatch.setattr(programs, "PORTS", range(used, used + 1))
        with pytest.raises(programs.NotStarted, match="fewer are left"):
            programs.free_ports(1)
    looks_where_we_did = f"import os; os.getpid = lambda: {os.getpid()}\nfrom tests.programs import free_ports\n"
    asked = [sys.executable, "-c", looks_where_we_did + "print(*free_ports(3))"]
    theirs = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    assert not set(map(int, theirs)) & set(ours)


def test_a_server_that_ends_is_an_error_with_what_it_wrote():
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(programs.NotStarted, match=r"Redis did not start \(exit code 3\). It wrote:\nno memory"):
        programs.wait_until(lambda: True, process, "Redis", lambda: "no memory\n")
