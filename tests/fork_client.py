"""Stands for a program that is forked elsewhere: `fork_client.py SOCKET PYTHON -m MODULE ARGUMENTS…`.

Hands arguments, environment, folder and standard files to tests/fork_server.py, passes signals on, and ends as the
program ends. What is no recipe and no test's program is run as PYTHON runs it. Imports little: it is started often.
"""

import json
import os
import signal
import socket
import struct
import sys

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def main() -> None:
    path, python, *arguments = sys.argv[1:]
    if arguments[:1] != ["-m"] or not arguments[1].startswith(("training.recipes.", "tests.", "benchmarks.")):
        os.execv(python, [python, *arguments])
    program, waiting = 0, []

    def pass_on(number: int, frame: object) -> None:
        if program:
            os.kill(program, number)
        else:
            waiting.append(number)

    for number in HANDED_ON:
        signal.signal(number, pass_on)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        job = json.dumps({"arguments": arguments[1:], "environment": dict(os.environ), "folder": os.getcwd()}).encode()
        socket.send_fds(server, [struct.pack("!i", len(job))], [0, 1, 2])
        server.sendall(job)
        for standard in (0, 1):  # whoever reads what the program writes sees its end when the program ends
            os.close(standard)
        program = _number(server)
        for number in waiting:
            os.kill(program, number)
        code = _number(server)
    if code < 0:  # ended by a signal: so does this one
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _number(server: socket.socket) -> int:
    received = b""
    while len(received) < 4:
        part = server.recv(4 - len(received))
        if not part:
            sys.exit("the process that forks is gone")
        received += part
    return int(struct.unpack("!i", received)[0])


main()
