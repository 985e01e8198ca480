"""The programs that bench_engine.py measures: ours and the peers."""
import contextlib
import glob
import json
import os
import platform
import select
import statistics
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ANSWER_SECONDS_MAX = 600


class Stopped(Exception):
    """A program did not do what it should; the point is left out."""


def median(values):
    return statistics.median(values)


def run(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True,
                          env=environment, timeout=ANSWER_SECONDS_MAX,
                          check=False)
    if done.returncode != 0:
        raise Stopped("%s: %s" % (os.path.basename(command[0]),
                                  done.stderr.strip()[-300:]))
    return done.stdout


def compile_c(name, out, *options):
    run([os.environ.get("CC", "cc"), "-std=gnu17", "-O2",
         os.path.join(HERE, name), "-o", out, *options])


def roof(out):
    """The most that one thread of this machine can do; empty without
    AVX-512."""
    program = os.path.join(os.path.abspath(out), "bench_roof")
    compile_c("bench_roof.c", program, "-march=native")
    return json.loads(run([program]))


class Side:
    """A program that stays loaded and answers one test at a time."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment)
        self.rest = b""
        self.header = self.line()

    def line(self):
        until = time.monotonic() + ANSWER_SECONDS_MAX
        out = self.process.stdout.fileno()
        while b"\n" not in self.rest:
            wait = max(0.0, until - time.monotonic())
            if not select.select([out], [], [], wait)[0]:
                self.process.kill()
                raise Stopped("no answer")
            got = os.read(out, 65536)
            if not got:
                raise Stopped("%s ended with %s" % (
                    self.process.args[0], self.process.wait()))
            self.rest += got
        text, self.rest = self.rest.split(b"\n", 1)
        return json.loads(text)

    def ask(self, test):
        self.process.stdin.write(test.encode() + b"\n")
        self.process.stdin.flush()
        return self.line()[test]

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_cold(path):
    """Into the page cache as after a restart: in the large pieces in which
    the kernel reads ahead, not in those in which the file was once written,
    which can halve what a mapping of it gives."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while f.read(1 << 22):
            pass


class Ours:
    def __init__(self, program):
        self.program = program
        self.model = os.path.join(os.path.dirname(program), "flotilla-model")
        self.former = os.path.join(os.path.dirname(program), "bench_form")
        self.ready = set()

    def base(self, model, threads, context):
        return ["--model", model, "--threads", str(threads),
                "--ctx", str(context)]

    def serve(self, model, threads, context, kernel=None):
        return Side([self.program, "bench", *self.base(model, threads,
                                                       context),
                     "--tests", "-", "--json"],
                    dict(os.environ, FLOTILLA_KERNEL=kernel) if kernel
                    else None)

    def bench(self, model, threads, context, tests):
        return json.loads(run([self.program, "bench",
                               *self.base(model, threads, context),
                               "--tests", tests, "--json"]))

    def start_command(self, model, threads, context, count):
        ids = ",".join(str((i * 7919 + 13) % 200 + 20) for i in range(count))
        return [self.model, "generate", *self.base(model, threads, context),
                "--tokens", ids, "--n", "1"]

    def form(self, model, threads, schema):
        """Milliseconds per token that a schema adds to free text."""
        told = json.loads(run([self.former, model, schema, "128",
                               str(threads)]))
        return told["form_ms"] - told["free_ms"], told

    def types(self, model):
        """{type: values}"""
        told = json.loads(run([self.program, "inspect", model, "--quick",
                               "--json"]))
        return {k: v["values"] for k, v in told["types"].items()}

    def make_ready(self, model):
        """Once: the model in the page cache, packed weights of this build
        beside it."""
        if model in self.ready:
            return
        self.ready.add(model)
        read_cold(model)
        packed = model + ".packed"
        if os.path.exists(packed) and (os.path.getmtime(packed) >
                                       os.path.getmtime(self.program)):
            return
        done = subprocess.run([self.program, "pack", model],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print("not packed:", done.stderr.strip().splitlines()[:1])


class Peer:
    """llama.cpp in a folder, as deploy/llamacpp/build.sh --library leaves it,
    or in the root of another system."""

    def __init__(self, name, folder, out):
        self.name = name
        folder = os.path.abspath(folder)
        loader = glob.glob(os.path.join(folder, "lib*/ld-linux-*.so.*"))
        prefix = os.path.join(folder, "usr") if loader else folder
        libs = [d for d in (
            os.path.join(prefix, "lib", platform.machine() + "-linux-gnu"),
            os.path.join(prefix, "lib"), os.path.join(prefix, "lib64"),
            os.path.join(prefix, "library"))
            if os.path.exists(os.path.join(d, "libllama.so"))]
        if not libs:
            raise SystemExit("FLOTILLA_PEER_%s: no libllama.so below %s" % (
                name, folder))
        self.environment = dict(os.environ, LC_ALL="C")
        runner = os.path.join(os.path.abspath(out), "bench_peer_" + name)
        self.command = [runner]
        if loader:
            self.command = [loader[0], "--library-path", libs[0], runner]
        else:
            self.environment["LD_LIBRARY_PATH"] = libs[0]
        # A peer that loads its kernels has them here or there.
        self.backends = (glob.glob(os.path.join(libs[0], "ggml/backends*")) +
                         libs)[0]
        if self.kernels("*"):
            self.environment["PEER_BACKENDS"] = self.backends
        headers = ["-I" + os.path.join(prefix, d) for d in (
            "include", "source/include", "source/ggml/include")]
        compile_c("bench_peer.c", runner, *headers, "-L", libs[0], "-lllama",
                  "-lggml", "-lggml-base", "-Wl,--allow-shlib-undefined")

    def kernels(self, name):
        """Paths of its kernels for a CPU."""
        return glob.glob(os.path.join(self.backends,
                                      "libggml-cpu-%s.so" % name))

    def arguments(self, what, model, threads, flash, repack, context):
        return [*self.command, what, model, str(threads), str(flash),
                str(repack), "512", str(context)]

    def serve(self, model, threads, flash, repack, context, backends=None):
        environment = dict(self.environment, PEER_BACKENDS=backends) \
            if backends else self.environment
        return Side(self.arguments("serve", model, threads, flash, repack,
                                   context), environment)

    def start_command(self, model, threads, repack, context, count):
        return self.arguments("start", model, threads, -1, repack,
                              context) + [str(count)]

    def form(self, model, threads, context, grammar):
        told = json.loads(run(self.arguments(
            "form", model, threads, -1, 1, context) + [grammar, "128"],
            self.environment))
        return told["form_ms"] - told["free_ms"]


def first_token(command, environment):
    """Milliseconds from the process's start to its first output, and what
    it tells after that, if anything."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment) as process:
        first = os.read(process.stdout.fileno(), 1)
        spent = (time.monotonic() - started) * 1e3
        rest, errors = process.communicate(timeout=ANSWER_SECONDS_MAX)
    if process.returncode != 0 or not first:
        raise Stopped(errors.decode(errors="replace").strip()[-300:])
    last = rest.strip().split(b"\n")[-1]
    return spent, json.loads(last) if last.startswith(b"{") else {}


def nice(value):
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, value)


def group_nice(value):
    """Set the niceness of the scheduler's group: all that was started with us."""
    with contextlib.suppress(OSError):
        with open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write(str(value))


def raise_priority(value):
    """Where that is allowed; returns what takes it back."""
    nice(value)
    group_nice(value)
    return lambda: group_nice(0)


@contextlib.contextmanager
def usual_priority(raised):
    """Processes that start in here are equals; only their group stays
    raised."""
    nice(0)
    try:
        yield
    finally:
        nice(raised)


@contextlib.contextmanager
def busy_neighbours(count, seconds):
    """Load in the scheduler group of the measured programs; bounded,
    whatever happens to us."""
    try:
        stress = subprocess.Popen(
            ["stress-ng", "--cpu", str(count), "--timeout", "%ds" % seconds],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError as missing:
        raise Stopped("stress-ng is not installed") from missing
    try:
        time.sleep(1.0)
        yield
    finally:
        stress.terminate()
        stress.wait()
