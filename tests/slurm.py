"""A real Slurm on this machine for the time of some tests: munged, slurmctld and one slurmd, in a folder of their own.

Nothing that is installed on the machine is touched. Accounting is left out, as Prefloop needs none.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.programs import descendants, free_ports, wait_until

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
UP = ("idle", "mix", "alloc", "plnd")
CONFIGURATION = """\
ClusterName=prefloop
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
ReturnToService=2
SlurmdTimeout=60
KillWait=2
MinJobAge=300
MessageTimeout=10
SlurmdParameters=config_overrides
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=4 RealMemory=4000
PartitionName=low Nodes=localhost Default=YES State=UP PriorityTier=1
PartitionName=high Nodes=localhost State=UP PriorityTier=10
PartitionName=closed Nodes=localhost State=DOWN
"""


def missing() -> list[str]:
    """Return the commands that are not installed."""
    return [name for name in COMMANDS if find(name) is None]


def find(name: str) -> str | None:
    """Return where a command is: those of the system's administrator may not be on the path."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


class Cluster:
    """A running Slurm of one node with 4 CPUs.

    `configuration` is what SLURM_CONF names for its commands. They try for MessageTimeout to reach a controller that is
    away; the daemons have a longer one, as they start at the same time as other tests run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.configuration = folder, folder / "commands.conf"
        self._of_daemons = folder / "slurm.conf"
        self._restarts = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        controller_port, node_port = free_ports(2)
        written = CONFIGURATION.format(
            controller_port=controller_port,
            node_port=node_port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            folder=self.folder,
            host=socket.gethostname().partition(".")[0],
        )
        self._of_daemons.write_text(written)
        self.configuration.write_text(written.replace("MessageTimeout=10", "MessageTimeout=3"))
        self._run("munged", "--foreground", "--force", "--num-threads=1", *self._munge_files())
        self._wait_until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self.start_controller()
        self.start_node()

    def start_controller(self) -> None:
        self._run("slurmctld", "-D", "-i")
        self._wait_until(lambda: self.ask("scontrol", "ping").returncode == 0, "slurmctld")

    def restart_controller(self) -> None:
        """Start the controller after it was killed: it has lost its newest jobs, whose numbers are not given again.

        A job that runs under a number which the controller gives once more would have its node drained.
        """
        self._restarts += 1
        kept = [line for line in self._of_daemons.read_text().splitlines() if not line.startswith("FirstJobId")]
        self._of_daemons.write_text("\n".join([*kept, f"FirstJobId={1000 * self._restarts}", ""]))
        self.start_controller()

    def wait_for_node(self) -> None:
        """Return once the node takes jobs: earlier tests, or a busy machine, may have had it drained or called absent.

        Slurm marks by * a node that did not answer, and asks it again every third of SlurmdTimeout.
        """
        self._wait_until(self._node_is_up, "slurmctld")

    def _node_is_up(self) -> bool:
        state = self.ask("sinfo", "-h", "-o", "%t").stdout.strip()
        if state.startswith(UP) and not state.endswith("*"):
            return True
        self.ask("scontrol", "update", "NodeName=localhost", "State=RESUME")
        return False

    def start_node(self) -> None:
        self._run("slurmd", "-D", "-N", "localhost")
        self._wait_until(lambda: self.ask("sinfo", "-h", "-o", "%t").stdout.startswith(UP), "slurmd")

    def kill(self, name: str) -> None:
        """End one of the daemons as a crash does."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def kill_node(self) -> None:
        """End slurmd and all that runs on its node, as a loss of power does."""
        below = descendants(self._processes["slurmd"].pid) + _steps(self.folder)
        self.kill("slurmd")
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self.ask("scancel", "--me")
        for pid in _steps(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in reversed(list(self._processes.values())):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def _munge_files(self) -> list[str]:
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        return [f"--{option}={self.folder / name}" for option, name in {**names, "log-file": "munge.log"}.items()]

    def _run(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as printed:
            self._processes[name] = subprocess.Popen(
                [find(name) or name, *options],
                env={**os.environ, "SLURM_CONF": str(self._of_daemons)},
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _wait_until(self, ready: Callable[[], bool], name: str) -> None:
        wait_until(ready, self._processes[name], name, lambda: self._said(name))

    def _said(self, name: str) -> str:
        return "".join(path.read_text()[-2000:] for path in self.folder.glob(f"{name}*") if path.is_file())


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A Slurm in an empty folder, whose path should be short: sockets have a limit of about 100 characters."""
    running = Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def _steps(folder: Path) -> list[int]:
    """Return slurmstepd and all below it, of this Slurm: they outlive slurmd."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"slurmstepd" not in (path / "cmdline").read_bytes():
                continue
            if f"SLURM_CONF={folder}/".encode() in (path / "environ").read_bytes():
                found += [int(path.name), *descendants(int(path.name))]
    return found
