"""Programs with real client packages, each in the environment of its packages:
`build/clients`, as deploy/install-deps.sh --optional makes it."""
import json
import os
import shutil
import subprocess
import sys

import sets
from test_local_api import ROOT, TOKEN
from waits import HANG_S

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
sys.path.insert(0, HERE)
import calls  # noqa: E402

PLACE = os.path.join(ROOT, "build", "clients")
PYTHON = os.path.join("bin", "python")


def lacks(environment):
    """Why its programs cannot run, if so."""
    if environment == "node" and shutil.which("node") is None:
        return "no program 'node'"
    needed = os.path.join(PLACE, environment, "node_modules"
                          if environment == "node" else PYTHON)
    if not os.path.exists(needed):
        return "no packages in build/clients/%s: deploy/install-deps.sh " \
            "--optional" % environment
    return None


def beside_modules(folder):
    """A folder of the programs of npm's packages, next to these packages."""
    place = os.path.join(folder, "programs")
    if not os.path.exists(place):
        os.mkdir(place)
        for name in sets.names(HERE):
            if name.endswith(".mjs"):
                shutil.copy(os.path.join(HERE, name), place)
        os.symlink(os.path.join(PLACE, "node", "node_modules"),
                   os.path.join(place, "node_modules"))
    return place


def played(server, folder, file, environment, packages):
    """name of a call -> its error, of one run of the program; the versions of
    its packages are the pinned ones."""
    modules = beside_modules(folder)
    words = ["node", os.path.join(modules, file)] if environment == "node" \
        else [os.path.join(PLACE, environment, PYTHON),
              os.path.join(HERE, file)]
    done = subprocess.run(words, capture_output=True, text=True, env={
        "PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder,
        "FLOTILLA_URL": "http://127.0.0.1:%d" % server.port,
        "FLOTILLA_KEY": TOKEN,
        "FLOTILLA_MODULES": os.path.join(modules, "node_modules")},
        timeout=HANG_S)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and lines, done.stderr
    pinned = calls.versions(environment)
    assert lines[0]["versions"] == {name: pinned[name] for name in packages}
    return {line["call"]: line["error"] for line in lines[1:]}
