"""Two controllers without a common folder keep artifacts in S3 stores that
others wrote: S3Proxy and Versity's gateway.  tests/lanes/s3.sh fetches them;
skipped without."""
import hashlib
import os
import random
import subprocess
import tempfile

import pytest

import fleet as F
import sets
from test_depot import Kept, started, take_over
from test_postgresql import server  # noqa: F401
from waits import moment, until

JARS = os.environ.get("FLOTILLA_S3PROXY", "")  # a folder
GATEWAY = os.environ.get("FLOTILLA_VERSITYGW", "")  # a program
LARGE_MB = int(os.environ.get("FLOTILLA_LARGE_MB", "64"))
REGION, ACCESS, SECRET = "us-east-1", "local-identity", "local/credential+1"
SETTINGS = """
s3proxy.authorization=aws-v4
s3proxy.endpoint=http://127.0.0.1:%d
s3proxy.identity=%s
s3proxy.credential=%s
s3proxy.v4-max-non-chunked-request-size=5368709120
s3proxy.v4-max-non-chunk-request-size=5368709120
jclouds.provider=filesystem
jclouds.filesystem.basedir=%s
"""

pytestmark = pytest.mark.skipif(
    not JARS and not GATEWAY,
    reason="neither FLOTILLA_S3PROXY nor FLOTILLA_VERSITYGW is set")
STORES = [name for name, is_there in (("s3proxy", JARS), ("versitygw", GATEWAY))
          if is_there]


class Real(Kept):
    """Kept, at another store."""
    room, product = "artifacts", ""

    def s3proxy(self):
        settings = os.path.join(self.dir, "s3proxy.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(SETTINGS % (self.s3_port, ACCESS, SECRET,
                                   self.objects))
        return ["java", "-cp", os.path.join(JARS, "*"),
                "org.gaul.s3proxy.Main", "--properties", settings]

    def versitygw(self):
        return [GATEWAY, "--access", ACCESS, "--secret", SECRET, "--region",
                REGION, "--port", "127.0.0.1:%d" % self.s3_port, "posix",
                self.objects]

    def open_store(self):
        self.s3_port = F.held_port()
        self.objects = os.path.join(self.dir, "objects")
        os.makedirs(os.path.join(self.objects, self.room))
        with open(os.path.join(self.dir, "store.log"), "wb") as log:
            self.processes.append(subprocess.Popen(
                getattr(self, self.product)(), stdout=log, stderr=log))
        until(self.product, lambda: subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:%d/"
             % self.s3_port], check=False).returncode == 0)
        self.write_keys(REGION, ACCESS, SECRET)

    def blobs_flags(self):
        return ["--blobs-store", "http://127.0.0.1:%d/%s" % (
            self.s3_port, self.room), "--blobs-keys", self.keys]

    def bytes_of(self, name):
        return os.path.getsize(os.path.join(self.objects, self.room, name))

    def stored(self):
        return {one for one in sets.names(os.path.join(
            self.objects, self.room)) if one.startswith("sha256-")}


@pytest.fixture(scope="module", params=STORES)
def pair(request, bin_dir, server):
    one = Real(tempfile.mkdtemp(dir=request.config.place), bin_dir, name="test")
    one.product = request.param
    try:
        one.begin(server)
        one.up(["gw"])
        one.admit_b()
        yield one
    finally:
        one.close()


def test_what_one_took_in_the_other_gives_out(pair):
    pair.until_blobs("a", "ok")
    pair.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    assert pair.copies("a") and pair.copies("a") <= pair.stored()
    take_over(pair, "b")
    assert pair.copies("b") == set()
    started(pair, "b", "tiny@1")
    assert pair.copies("b") and pair.copies("b") <= pair.copies("a")


def test_a_large_artifact_is_taken_and_comes_back(pair):
    sha = hashlib.sha256()
    path = os.path.join(pair.dir, "large")
    piece = random.Random("large").randbytes(1 << 20)
    with open(path, "wb") as file:
        for number in range(LARGE_MB):
            part = number.to_bytes(8, "big") + piece[8:]
            sha.update(part)
            file.write(part)
    begin = moment()
    with open(path, "rb") as file:
        assert pair.ask_blob("b", "PUT", sha.hexdigest(), file) == 201
    print("%d MiB taken and read back in %.1f s" % (
        LARGE_MB, moment() - begin))
    assert pair.bytes_of("sha256-" + sha.hexdigest()) == LARGE_MB << 20


def test_what_came_before_the_store_is_brought_there(pair):
    lost = {one for one in pair.stored() & pair.copies("b")
            if pair.bytes_of(one) < 1 << 20}
    assert lost
    for name in lost:
        os.unlink(os.path.join(pair.objects, pair.room, name))
    take_over(pair, "a")
    take_over(pair, "b")
    until("what b has is there", lambda: lost <= pair.stored())
    pair.until_blobs("b", "ok")


def twice(pair):
    """Both are started with what they are told now."""
    for name in "ab":
        take_over(pair, name)


@pytest.mark.parametrize("secret, room", [("another", "artifacts"),
                                          (SECRET, "nowhere")])
def test_keys_or_a_room_that_the_store_refuses_are_told(pair, secret, room):
    pair.write_keys(REGION, ACCESS, secret)
    pair.room = room
    try:
        twice(pair)
        pair.until_blobs("b", "failing")
        digest = hashlib.sha256(b"refused").hexdigest()
        assert pair.ask_blob("b", "PUT", digest, b"refused") >= 500
    finally:
        pair.write_keys(REGION, ACCESS, SECRET)
        pair.room = "artifacts"
    twice(pair)
    pair.until_blobs("b", "ok")
