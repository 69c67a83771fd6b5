"""The real Placement Driver and a TiKV-protocol store on loopback, with their data in one directory.

    peers = Peers(DIRECTORY)
    peers.up()            starts what is not running; the same ports and data after a stop
    peers.kill("store")   SIGKILL
    peers.down()

DIRECTORY/peers.json says what runs where, so that another process can take it up.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from go_tool import Failure, GoProgram

HERE = os.path.dirname(os.path.abspath(__file__))
START_DEADLINE_S = 60
STOP_DEADLINE_S = 20

PD_PROGRAM = GoProgram(
    "pd-server", os.path.join(HERE, "pd"), "github.com/tikv/pd/cmd/pd-server",
    ["-tags", "without_dashboard",
     "-ldflags", "-s -w -X github.com/tikv/pd/pkg/versioninfo.PDReleaseVersion=v8.1.0"])
STORE_MODULE = os.path.join(HERE, "store")
# Its dependencies push into the runtime by name, and two of them register one name.
STORE_PROGRAM = GoProgram(
    "tikv-store", STORE_MODULE, ".",
    ["-ldflags", "-s -w -checklinkname=0 "
     "-X google.golang.org/protobuf/reflect/protoregistry.conflictPolicy=ignore"])
RELAY_PROGRAM = GoProgram("relay", STORE_MODULE, "./relay", ["-ldflags", "-s -w"])

PD_CONFIG = """\
[log]
level = "warn"
[replication]
max-replicas = 1
[schedule]
max-merge-region-size = 0
"""


def request(method, address, path, body=None, timeout=10):
    """The answer's bytes; Failure otherwise."""
    data = json.dumps(body).encode() if body is not None else (b"" if method == "POST" else None)
    call = urllib.request.Request(f"http://{address}{path}", data=data, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(call, timeout=timeout) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Failure(f"{method} {path}: {error.code}: {error.read().decode(errors='replace').strip()}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{method} http://{address}{path}: {error}") from None


def free_ports(count):
    """Not of those that connections get by themselves: one could be taken while its server is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest = int(file.read().split()[0])
    candidates = list(range(10000, max(lowest, 20000)))
    random.shuffle(candidates)
    ports = []
    while len(ports) < count:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", candidates[-1]))
            except OSError:
                pass
            else:
                ports.append(candidates[-1])
        candidates.pop()
    return ports


def command_line_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


class Peers:
    """What runs in one directory. `relayed`: clients reach PD and the store through a relay, which can slow and cut
    their connections; the store reaches PD directly.
    """

    def __init__(self, directory, relayed=False):
        self.directory = os.path.abspath(directory)
        self.state_path = os.path.join(self.directory, "peers.json")
        self.state = {"addresses": {}, "pids": {}, "relayed": relayed}
        self.load()

    def load(self):
        """Another process may have started or ended something."""
        if os.path.exists(self.state_path):
            with open(self.state_path, encoding="utf-8") as file:
                self.state = json.load(file)

    # The addresses by name: pd, pd_peer, store, control, and with a relay pd_direct, store_direct, relay.
    def address(self, name):
        return self.state["addresses"][name]

    @property
    def relayed(self):
        return self.state["relayed"]

    def save(self):
        unfinished = self.state_path + ".unfinished"
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(self.state, file, indent=1)
        os.rename(unfinished, self.state_path)

    def names(self):
        return (["relay"] if self.relayed else []) + ["pd", "store"]

    def running(self, name):
        pid = self.state["pids"].get(name)
        # The number may belong to another process by now.
        return bool(pid) and any(self.directory.encode() in word for word in command_line_of(pid))

    def commands(self):
        """How each is started, and the address and path that answer when it is ready."""
        where = self.state["addresses"]
        pd_listens = where["pd_direct"] if self.relayed else where["pd"]
        store_listens = where["store_direct"] if self.relayed else where["store"]
        config = os.path.join(self.directory, "pd.toml")
        pd = [f"--config={config}", "--name=pd", f"--data-dir={self.directory}/pd",
              f"--client-urls=http://{pd_listens}", f"--advertise-client-urls=http://{where['pd']}",
              f"--peer-urls=http://{where['pd_peer']}"]
        # PD's own answers lead the store to the relay as well; only its first question goes there directly.
        store = ["-pd", pd_listens, "-addr", store_listens, "-advertise", where["store"],
                 "-control", where["control"], "-data", f"{self.directory}/store"]
        commands = {
            "pd": (PD_PROGRAM, pd, pd_listens, "/pd/api/v1/leader"),
            "store": (STORE_PROGRAM, store, where["control"], "/status"),
        }
        if self.relayed:
            relay = ["-name", self.directory, "-control", where["relay"],
                     "-route", f"{where['pd']}={pd_listens}", "-route", f"{where['store']}={store_listens}"]
            commands["relay"] = (RELAY_PROGRAM, relay, where["relay"], "/status")
        return commands

    def up(self):
        """Starts what is not running, and returns when all of it answers."""
        os.makedirs(self.directory, exist_ok=True)
        if not self.state["addresses"]:
            names = ["pd", "pd_peer", "store", "control"]
            if self.relayed:
                names += ["pd_direct", "store_direct", "relay"]
            self.state["addresses"] = {
                name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)))}
            with open(os.path.join(self.directory, "pd.toml"), "w", encoding="utf-8") as file:
                file.write(PD_CONFIG)
            self.save()
        for name in self.names():
            if not self.running(name):
                self.start(name)

    def start(self, name):
        program, arguments, address, path = self.commands()[name]
        built = program.build(self.directory)
        log_path = os.path.join(self.directory, f"{name}.log")
        with open(log_path, "ab") as log:
            # A group of its own: Ctrl-C at a test is not meant for it.
            process = subprocess.Popen([built, *arguments], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, start_new_session=True)
        self.state["pids"][name] = process.pid
        self.save()
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                request("GET", address, path, timeout=2)
                return
            except Failure as failure:
                if process.poll() is not None or time.monotonic() > deadline:
                    with open(log_path, encoding="utf-8", errors="replace") as log:
                        tail = "".join(log.readlines()[-20:])
                    raise Failure(f"{name} did not start: {failure}\n{tail}") from None
                time.sleep(0.05)

    def kill(self, name, signal_number=signal.SIGKILL):
        """Ends it at once (or as the signal does), and returns when it has ended."""
        if not self.running(name):
            return
        pid = self.state["pids"][name]
        os.kill(pid, signal_number)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while self.running(name):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # started by another process
            if time.monotonic() > deadline:
                if signal_number == signal.SIGKILL:
                    raise Failure(f"{name} (process {pid}) does not end")
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        del self.state["pids"][name]
        self.save()

    def down(self):
        self.load()
        for name in reversed(self.names()):
            self.kill(name, signal.SIGTERM)

    def split(self, key):
        """Makes the plain key the first of its region."""
        request("POST", self.address("control"), f"/split?key={key.hex()}")

    def add_fault(self, rule):
        request("POST", self.address("control"), "/fault", rule)

    def clear_faults(self):
        request("DELETE", self.address("control"), "/fault")

    def calls(self):
        """How often each request was taken up since the store started."""
        return json.loads(request("GET", self.address("control"), "/calls"))

    def link(self, conditions):
        request("POST", self.address("relay"), "/link", conditions)

    def cut(self):
        request("POST", self.address("relay"), "/cut")

    def regions(self):
        address = self.address("pd_direct") if self.relayed else self.address("pd")
        return json.loads(request("GET", address, "/pd/api/v1/regions"))
