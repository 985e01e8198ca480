"""Three RabbitMQ nodes on loopback, from a root with Debian's package: the
files of deploy/broker/rabbitmq, each node with ports and folders of its own.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fleet as F  # noqa: E402
from waits import HANG_S, until  # noqa: E402

FILES = os.path.join(ROOT, "deploy", "broker", "rabbitmq")
PROGRAMS = "/usr/lib/rabbitmq/bin/"


class Node:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.port = F.held_port()
        self.rights_port = F.held_port()
        self.dir = os.path.join(cluster.dir, name)  # inside the root
        self.outside = cluster.root + self.dir
        self.process = self.rights = None
        self.env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": cluster.dir,
            "LANG": "C.UTF-8", "ERL_EPMD_PORT": str(cluster.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": name + "@localhost",
            "RABBITMQ_DIST_PORT": str(F.held_port()),
            "RABBITMQ_CONFIG_FILES": self.dir + "/conf.d",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.dir + "/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": self.dir + "/data",
            "RABBITMQ_LOG_BASE": self.dir + "/log",
            "RABBITMQ_PID_FILE": self.dir + "/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def write(self, keys):
        conf = os.path.join(self.outside, "conf.d")
        os.makedirs(conf)
        for name in ("ca.pem", "broker.pem", "broker.key"):
            shutil.copy(os.path.join(keys, name), self.outside)
        shutil.copy(os.path.join(FILES, "50-flotilla.conf"), conf)
        shutil.copy(os.path.join(FILES, "enabled_plugins"), self.outside)
        lines = ["mqtt.listeners.ssl.default = 127.0.0.1:%d" % self.port,
                 "ssl_options.cacertfile = %s/ca.pem" % self.dir,
                 "ssl_options.certfile = %s/broker.pem" % self.dir,
                 "ssl_options.keyfile = %s/broker.key" % self.dir,
                 "log.file.level = info",
                 "cluster_formation.peer_discovery_backend = classic_config"]
        lines += ["cluster_formation.classic_config.nodes.%d = %s@localhost"
                  % (i + 1, one.name) for i, one in
                  enumerate(self.cluster.nodes)]
        lines += ["auth_http.%s_path = http://127.0.0.1:%d/%s" %
                  (word, self.rights_port, word)
                  for word in ("user", "vhost", "resource", "topic")]
        with open(os.path.join(conf, "90-node.conf"), "w",
                  encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        if self.rights is None:
            self.rights = self.cluster.spawn(
                [sys.executable, os.path.join(FILES, "rights.py"),
                 self.cluster.fleet, str(self.rights_port)],
                self.outside + "/rights.log")
        self.process = self.cluster.inside(
            [PROGRAMS + "rabbitmq-server"], self.env,
            self.outside + "/console.log")

    def is_up(self):
        """All ports of the node are bound: it takes clients."""
        if self.process.poll() is not None:
            raise F.Failed("node %s ended: %s" % (
                self.name, tail(self.outside + "/console.log")))
        try:
            with socket.create_connection(("127.0.0.1", self.port), HANG_S):
                return True
        except OSError:
            return False

    def pid(self):
        with open(self.outside + "/pid", encoding="ascii") as file:
            return int(file.read())

    def kill(self):
        """As a power cut does it."""
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(HANG_S)

    def ctl(self, *args):
        done = self.cluster.run([PROGRAMS + "rabbitmqctl", "-q", *args],
                                self.env)
        return done.stdout


def tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]
    except OSError as error:
        return str(error)


class Cluster:
    """`root`: with the package rabbitmq-server; `keys`: a folder with ca.pem,
    broker.pem and broker.key."""

    def __init__(self, root, keys, fleet, names=("a", "b", "c")):
        self.root, self.fleet = os.path.abspath(root), fleet
        self.dir = "/cluster-%d" % os.getpid()
        self.processes = []
        self.epmd_port = F.held_port()
        shutil.rmtree(self.root + self.dir, ignore_errors=True)
        os.makedirs(self.root + self.dir)
        with open(self.root + self.dir + "/.erlang.cookie", "w",
                  encoding="ascii") as file:
            file.write(os.urandom(12).hex())
        os.chmod(file.name, 0o400)
        self.nodes = []
        for name in names:
            self.nodes.append(Node(self, name))
        for node in self.nodes:
            node.write(keys)

    def argv(self, argv, env):
        words = ["%s=%s" % one for one in env.items()]
        return ["unshare", "--mount", "sh", "-ec",
                'mount -t proc proc "$0/proc"; exec chroot "$0" env -i "$@"',
                self.root, *words, *argv]

    def spawn(self, argv, log):
        with open(log, "ab") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL,
                                       start_new_session=True)
        self.processes.append(process)
        return process

    def inside(self, argv, env, log):
        return self.spawn(self.argv(argv, env), log)

    def run(self, argv, env):
        return subprocess.run(self.argv(argv, env), capture_output=True,
                              text=True, timeout=HANG_S, check=False)

    def start(self):
        env = dict(self.nodes[0].env)
        self.inside(["epmd"], env, self.root + self.dir + "/epmd.log")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            until("node " + node.name, node.is_up, every=0.5)
        return self

    def close(self):
        for node in self.nodes:
            try:
                os.kill(node.pid(), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(HANG_S)
        shutil.rmtree(self.root + self.dir, ignore_errors=True)


class Balancer(threading.Thread):
    """Door of a cluster: one address, and each connection goes to the
    next node that takes it."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.next = nodes, 0
        self.door = socket.socket()
        self.door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.door.bind(("127.0.0.1", 0))
        self.door.listen(1024)
        self.port = self.door.getsockname()[1]
        self.pairs = []  # (port of the node, sockets)
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def connect(self):
        for _ in self.nodes:
            self.next += 1
            port = self.nodes[self.next % len(self.nodes)].port
            try:
                return port, socket.create_connection(
                    ("127.0.0.1", port), HANG_S)
            except OSError:
                continue
        return None, None

    def serve(self, client):
        port, node = self.connect()
        if node is None:
            client.close()
            return
        for one in (client, node):
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.append((port, client, node))
        back = threading.Thread(target=pump, args=(node, client), daemon=True)
        back.start()
        pump(client, node)
        back.join()

    def close(self):
        self.door.close()


def pump(source, sink):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        pass
    for one in (source, sink):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
