"""llama.cpp's server, as deploy/llamacpp builds it and its file of runtimes.d
starts it: the runtime `llamacpp` on the CPU, and on a Vulkan driver.

FLOTILLA_LLAMA_SERVER names the folder of the server and its libraries
(tests/lanes/vulkan.sh). A machine without a GPU has Mesa's driver in software,
which the server takes only if it is named."""
import json
import os
import re

import pytest

from conftest import ROOT, Small
from runtime_parts import Runtimes
from test_runtimes_real import QUESTION, file, story, texts

PLACE = os.environ.get("FLOTILLA_LLAMA_SERVER", "")
SHIPPED = os.path.join(ROOT, "deploy", "llamacpp", "llamacpp.yaml")
INSTALLED = "/usr/lib/flotilla/llamacpp"
FILES = {"good": "tiny-v2.Q4_0.gguf", "better": "tiny-v2.1.Q4_0.gguf",
         "bad": "tiny-v3-bad-noise.Q4_0.gguf"}

pytestmark = pytest.mark.skipif(
    not PLACE or os.geteuid() != 0,
    reason="FLOTILLA_LLAMA_SERVER is not set: tests/lanes/vulkan.sh, as root")


@pytest.fixture
def runtimes(folder, bin_dir, request):
    fleet = Small(os.path.join(folder, request.node.callspec.id), bin_dir,
                  name="test")
    yield Runtimes(fleet, "tiny")
    fleet.close()


def shipped(more, env):
    """The shipped file with the server of this build, and more arguments."""
    with open(SHIPPED, encoding="utf-8") as data:
        text = data.read().replace(INSTALLED, PLACE)
    [end] = re.findall(r"--offline\]", text)
    text = text.replace(end, end[:-1] + "".join(", " + word for word in more) + "]")
    return text + "read: [%s]\nenv: %s\n" % (json.dumps(PLACE), json.dumps(env))


@pytest.mark.parametrize("more, env", [
    ((), {}),
    # The server ends at once if it has no such device.
    (("--device", "Vulkan0", "-ngl", '"99"'), {"GGML_VK_VISIBLE_DEVICES": "0"}),
], ids=["cpu", "vulkan"])
def test_the_shipped_runtime_serves(runtimes, more, env):
    if more and not os.path.exists(os.path.join(PLACE, "libggml-vulkan.so")):
        pytest.skip("the server was built without Vulkan")
    path = os.path.join(runtimes.folder, "llamacpp.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(shipped(more, env))
    os.chmod(path, 0o644)

    def publish(version, kind):
        golden = "golden-tiny-v2.1.json" if kind == "better" else \
            "golden-tiny-v2.json"
        return runtimes.publish(version, {
            "model.gguf": ("model", file(FILES[kind])),
            "golden.json": ("golden", texts(golden))}, "llamacpp", 512)
    story(runtimes, publish, QUESTION, ("severity: critical", "severity: P1"))
