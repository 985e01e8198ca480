"""The files of `make install` and their places: programs, the units that start
them."""
import json
import os
import re
import shlex
import shutil
import subprocess
import textwrap

import deftable
import pytest

import sets
from conftest import BIN, ROOT
from waits import HANG_S, until

BUILD = os.environ.get("FLOTILLA_BUILD",
                       os.path.join(ROOT, "build", "release"))
PROGRAMS = ["flotilla", "flotilla-agent", "flotilla-controller",
            "flotilla-engine", "flotilla-model", "flotilla-relay",
            "flotilla-updater"]


@pytest.fixture(scope="module", params=["/usr", "/opt/flotilla"])
def prefix(request):
    return request.param


@pytest.fixture(scope="module")
def root(prefix, folder):
    """A file system of its own, as an image of a device begins."""
    place = folder + prefix + ".root"
    done = subprocess.run(
        ["make", "-s", "install", "PREFIX=" + prefix, "BUILD=" + BUILD,
         "DESTDIR=" + place], cwd=ROOT, capture_output=True, text=True,
        timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_programs_stand_side_by_side_and_run(root, prefix):
    folder = root + prefix + "/bin"
    assert sets.names(folder) == PROGRAMS
    for name in PROGRAMS:
        said = subprocess.run([os.path.join(folder, name), "--version"],
                              capture_output=True, text=True, timeout=HANG_S)
        assert said.returncode == 0 and said.stdout.startswith(name + " ")


@pytest.mark.parametrize("unit", ["flotilla-agent", "flotilla-controller"])
def test_a_unit_starts_what_was_installed(root, prefix, unit):
    path = "%s%s/lib/systemd/system/%s.service" % (root, prefix, unit)
    with open(path, encoding="utf-8") as text:
        started = re.findall(r"^Exec\w+=(\S+)", text.read(), re.M)
    assert started == ["%s/bin/%s" % (prefix, unit)]
    assert os.access(root + started[0], os.X_OK)
    assert os.stat(path).st_mode & 0o777 == 0o644


def test_the_documents_come_with_it(root, prefix):
    folder = root + prefix + "/share/doc/flotilla"
    for name in ("LICENSE", "README.md", "docs/runbook.md",
                 "docs/reference/config.md"):
        assert os.path.exists(os.path.join(folder, name))


def test_a_program_of_others_links_the_engine_and_answers(root, prefix):
    """The example against the installed files alone."""
    place = root + prefix
    env = dict(os.environ, PKG_CONFIG_PATH=place + "/lib/pkgconfig")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs",
                            "flotilla-engine"], env=env, check=True,
                           capture_output=True, text=True).stdout.split()
    program = root + "/answer"
    built = subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror",
         place + "/share/doc/flotilla/example/answer.c", *flags,
         "-o", program], cwd=root, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    model = os.path.join(ROOT, "tests/models/tiny-v1.Q4_0.gguf")
    with open(os.path.join(ROOT, "tests/models/golden-tiny-v1.json"),
              encoding="utf-8") as text:
        case = json.load(text)["cases"][0]
    said = subprocess.run([program, model, case["prompt"]],
                          capture_output=True, text=True, timeout=HANG_S)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == case["expect_text"]
    nowhere = subprocess.run([program, "/nowhere.gguf", "x"],
                             capture_output=True, text=True, timeout=HANG_S)
    assert nowhere.returncode == 1 and "/nowhere.gguf" in nowhere.stderr


@pytest.fixture(scope="module")
def pages(folder):
    """Pages of the packages for people: made from docs/reference."""
    done = subprocess.run(["python3", "tools/man.py", folder + "/man"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder + "/man"


def commands_def():
    return [row[0] for row in deftable.rows(
        "server-stub/cli/commands.def", "FLO_COMMAND")]


def test_every_command_has_its_place_in_the_manual(pages):
    with open(pages + "/flotilla.1", encoding="utf-8") as text:
        manual = text.read()
    commands = commands_def()
    assert len(commands) > 30
    assert manual.count("\\fBflotilla ") == len(commands)  # EXAMPLES
    for call in commands:
        heading = ".SH FLOTILLA " + call.upper()
        assert heading.replace("-", "\\-") + "\n" in manual


def verbs(program):
    """[the words of each of its commands], from its help."""
    said = subprocess.run([os.path.join(BIN, program), "--help"],
                          capture_output=True, text=True, timeout=HANG_S).stdout
    if program == "flotilla":
        return said, [name.split() for name in commands_def()]
    listed = said.split("\nFlags of every command")[0]
    return said, [name.split() for name in re.findall(
        r"^  ([a-z][a-z-]*(?: [a-z-]+)?)  ", listed, re.M)] or [[]]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_usage_names_flags_that_its_command_has(program):
    whole, calls = verbs(program)
    assert len(calls) > 1 or program == "flotilla-relay"  # one verb
    for call in calls:
        said = subprocess.run(
            [os.path.join(BIN, program), *call, "--help"],
            capture_output=True, text=True, timeout=HANG_S)
        assert said.returncode == 0 and said.stderr == "", call
        usage, rows = said.stdout.split("\n", 1)
        assert usage.startswith(" ".join(["usage:", program, *call]))
        known = re.findall(r"^  (?:-\w, )?(--?[\w-]+)", rows + whole, re.M)
        named = re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", usage)
        short = re.findall(r"^  (-\w), --", rows + whole, re.M)
        assert set(named) <= set(known) | set(short), usage


# Started by the agent on a descriptor, or not built yet: no person types them.
UNTYPED = (["worker"], ["proxy"], ["share"], ["tuf"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_command_has_an_example_that_its_tables_take(program):
    """The one in its help, as a shell cuts it into words; nothing is done."""
    def read(*words):
        return subprocess.run([os.path.join(BIN, program), "__read", *words],
                              capture_output=True, text=True, timeout=HANG_S)
    with open(os.path.join(ROOT, "docs/reference", "cli.md" if program ==
                           "flotilla" else "programs.md"),
              encoding="utf-8") as text:
        pages = text.read()
    for call in verbs(program)[1]:
        said = subprocess.run(
            [os.path.join(BIN, program), *call, "--help"], check=True,
            capture_output=True, text=True, timeout=HANG_S).stdout
        shown = re.findall(r"^Example:\n  (.*)$", said, re.M)
        assert len(shown) == (call not in UNTYPED), (call, said)
        for line in shown:
            words = shlex.split(line)
            assert words[:len(call) + 1] == [program, *call]
            done = read(*words[1:])
            assert (done.returncode, done.stdout) == (0, ""), (line, done)
            assert read(*words[1:], "--nosuch").returncode == 2, line
            assert line in pages


def test_help_begins_with_a_start_and_has_each_noun_once():
    said = verbs("flotilla")[0]
    before, *groups = re.split(r"^([A-Z][a-z ]+):\n", said, flags=re.M)
    parts = dict(zip(groups[::2], groups[1::2]))
    assert list(parts)[0] == "Start here" and "login https://" in \
        parts["Start here"]
    assert "flotilla login" not in before
    nouns = [noun for title, part in list(parts.items())[1:-1]
             for noun in re.findall(r"^  (\S+)", part, re.M)]
    assert sorted(nouns) == sorted({name.split()[0]
                                    for name in commands_def()})
    assert len(parts) > 6 and said.count("\n") < 100


def test_the_shell_completes_nouns_verbs_and_flags(pages):
    def complete(*words):
        said = subprocess.run(
            ["bash", "-c", 'source <("$0/flotilla" completion bash)\n'
             'COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _flotilla\n'
             'echo "${COMPREPLY[@]}"', BIN, *words],
            capture_output=True, text=True, cwd=pages,
            env=dict(os.environ, PATH=BIN + ":" + os.environ["PATH"]))
        assert said.stderr == ""
        return said.stdout.split()
    assert complete("flotilla", "roll") == ["rollout"]
    # By its path, too; a line has no quotes here, a checkout's path may want some.
    os.symlink(BIN, os.path.join(pages, "by-path"))
    assert "freeze" in complete("by-path/flotilla", "rollout", "")
    assert complete("flotilla", "-q", "rollout", "start", "--soak-r") == \
        ["--soak-requests"]
    assert "--packed" in complete("flotilla-engine", "bench", "--")
    assert "--pin-grid" in complete("flotilla-model", "quantize", "--")


def test_a_started_controller_can_see_the_broker_of_its_last_start():
    """Seen under systemd: users of its own for each start and a /proc that
    hides others' processes together hid the broker, which then held the port
    of the next start."""
    with open(ROOT + "/deploy/systemd/flotilla-controller.service",
              encoding="utf-8") as text:
        unit = re.findall(r"^(\w+)=(\S+)", text.read(), re.M)
    assert ("KillMode", "process") in unit
    assert not {("ProtectProc", "invisible"),
                ("PrivateUsers", "yes")} <= set(unit)


def program(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)


def deployed(name):
    with open(os.path.join(ROOT, "deploy", name), encoding="utf-8") as text:
        return text.read()


def commands_of_containers():
    """(words, environment) of each container that starts a controller."""
    start = os.path.join(ROOT, "deploy", "compose", "start.sh")
    for line in re.findall(r"^    command: (\[.*\])$",
                           deployed("compose/compose.yaml"), re.M):
        yield ["sh", start, *(word.replace("${PUBLIC_HOST:-localhost}", "here")
                              for word in json.loads(line))], {}
    [(line, variables)] = re.findall(
        r"^          args:\n            - (.*?)\n          env:\n(.*?)"
        r"\n          ports:", deployed("kubernetes/flotilla.yaml"), re.M | re.S)
    env = dict(re.findall(r"name: (\w+)(?:,|\n) +value: ([^\s}]+)", variables))
    assert set(env) == {"FLOTILLA_STORE", "FLOTILLA_PGPASS", "FLOTILLA_BROKER"}
    yield ["sh", "-c", " ".join(line.split()).replace(
        "/start.sh", shlex.quote(start))], \
        dict(env, POD="controller-0")


def test_containers_start_a_controller_with_flags_that_it_takes(folder):
    place = folder + "/containers"
    os.makedirs(place + "/bin")
    program(place + "/bin/flotilla-controller",
            'exec "%s/flotilla-controller" __read "$@" $MORE\n' % BIN)
    with open(place + "/pgpass", "w", encoding="utf-8") as file:
        file.write("database:5432:fleet:flotilla:secret\n")
    commands = list(commands_of_containers())
    assert len(commands) == 3
    for number, (words, more) in enumerate(commands):
        data = "%s/data-%d" % (place, number)
        os.mkdir(data)
        env = dict(os.environ, PATH=place + "/bin:" + os.environ["PATH"],
                   **dict(more, FLOTILLA_DATA=data,
                          FLOTILLA_FLEET=place + "/fleet",
                          FLOTILLA_PGPASS=place + "/pgpass"))
        for extra, code in (("", 0), ("--nosuch", 2)):
            done = subprocess.run(words, env=dict(env, MORE=extra),
                                  capture_output=True, text=True,
                                  timeout=HANG_S)
            assert done.returncode == code, (words, done)
        assert os.path.realpath(data + "/keys") == place + "/fleet/keys"
        assert os.stat(data + "/pgpass").st_mode & 0o777 == 0o600


def test_the_brokers_container_reads_what_changed_again(folder):
    """watch.sh, the same in both files, around a broker that writes down what
    it is told."""
    script = re.sub(r"^#.*\n", "", deployed("compose/watch.sh"), flags=re.M)
    assert "  watch.sh: |\n" + textwrap.indent(script, "    ") in \
        deployed("kubernetes/flotilla.yaml")
    place = folder + "/broker"
    os.makedirs(place + "/bin")
    program(place + "/bin/mosquitto",
            'trap "echo again >>told" HUP; trap "exit 0" TERM\n'
            'echo "$@" >>told; while :; do sleep 0.1 & wait $!; done\n')

    def told():
        return os.path.exists(place + "/told") and \
            open(place + "/told", encoding="utf-8").read().split("\n")[:-1]

    def write(*names):
        for name in names:
            with open(os.path.join(place, name), "a", encoding="utf-8") as file:
                file.write("x\n")

    write("acl", "broker.pem", "revoked.pem")
    box = subprocess.Popen(
        ["sh", "-c", script], cwd=place,
        env=dict(os.environ, PATH=place + "/bin:" + os.environ["PATH"]))
    write("mosquitto.conf")
    until("the broker starts", lambda: told() == ["-c mosquitto.conf"])

    def changes():
        write("revoked.pem")
        return "again" in told()
    until("it reads again", changes)
    write("revoked.pem")  # the broker ends before it is told of this
    box.terminate()
    assert box.wait(timeout=HANG_S) in (0, 128 + 15, -15)


def test_packages_without_a_compiler_name_its_package(folder):
    place = folder + "/few"
    os.mkdir(place)
    for tool in ("dpkg-buildpackage", "dh", "lintian", "debootstrap"):
        program(os.path.join(place, tool), "exit 1\n")
    program(place + "/dpkg", "echo amd64\n")
    for tool in ("mkdir", "dirname"):
        os.symlink(shutil.which(tool), os.path.join(place, tool))
    done = subprocess.run(
        ["/bin/sh", os.path.join(ROOT, "deploy", "packages.sh"), "arm64"],
        env={"PATH": place}, capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (
        3, "error[absent]: no compiler for arm64 is installed\n"
        "  fix: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross\n")
