"""What `make install` puts where: programs, the units that start them."""
import os
import re
import subprocess

import pytest

from conftest import ROOT

BUILD = os.environ.get("FLOTILLA_BUILD",
                       os.path.join(ROOT, "build", "release"))
PROGRAMS = ["flotilla", "flotilla-agent", "flotilla-controller",
            "flotilla-engine", "flotilla-updater"]


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
        timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_programs_stand_side_by_side_and_run(root, prefix):
    folder = root + prefix + "/bin"
    assert sorted(os.listdir(folder)) == PROGRAMS
    for name in PROGRAMS:
        said = subprocess.run([os.path.join(folder, name), "--version"],
                              capture_output=True, text=True, timeout=20)
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
