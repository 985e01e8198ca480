"""A connection is a descriptor: the broker gets what there is, and who would
not fit is refused with the numbers instead of being left outside."""
import resource
import subprocess

from controller_parts import Controller, Device
from waits import until


def start(folder, soft, hard, status=200):
    """A controller as a shell starts it, with these limits."""
    one = Controller(str(folder))
    one.ready_status = status
    whole = subprocess.Popen

    def limited(*args, **more):
        return whole(*args, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (soft, hard)), **more)
    subprocess.Popen = limited
    try:
        return one.start()
    finally:
        subprocess.Popen = whole


def test_the_broker_has_all_descriptors_that_may_be_had(tmp_path):
    hard = 4096
    one = start(tmp_path, 1024, hard)
    try:
        with open("/proc/%d/limits" % one.mosquitto()) as f:
            line = [x for x in f if x.startswith("Max open files")][0]
        assert line.split()[3] == str(hard)
        assert one.ask("GET", "/readyz").json["devices_max"] == hard - 64
    finally:
        one.stop()


def test_a_device_that_could_not_connect_is_refused(tmp_path):
    one = start(tmp_path, 64, 104)
    try:
        token = one.enrol_token(uses=100)
        devices = [Device(one, str(tmp_path), "gw-%d" % i, token)
                   for i in range(40)]
        assert len(devices) == 40
        refused = Device(one, str(tmp_path), "gw-40", token).answer
        assert refused.status == 429, refused.body
        assert refused.json["code"] == "rest.limit"
        assert "40 devices" in refused.json["detail"], refused.body
        assert "LimitNOFILE" in refused.json["fix"], refused.body
        assert one.ask("GET", "/readyz").status == 200
    finally:
        one.stop()
    # Fewer than before: said, and ready all the same, for nobody is connected.
    one = start(tmp_path, 64, 100)
    try:
        def said():
            with open(one.dir + ".log") as log:
                return log.read()
        until("it is said", lambda: "40 devices are enrolled" in said(), said)
        answer = one.ask("GET", "/readyz").json
        assert answer["devices_max"] == 36, answer
        assert answer["status"] == "ready", answer
        for device in devices[:36]:
            device.controller = one
            device.connect()
        until("full", lambda: one.ask("GET", "/readyz").json["status"]
              == "full", lambda: one.ask("GET", "/readyz").json)
        devices[0].client.publish(devices[0].topic("presence"),
                                  '{"v":1,"online":false}', True)
        until("room again", lambda: one.ask("GET", "/readyz").json["status"]
              == "ready", lambda: one.ask("GET", "/readyz").json)
    finally:
        one.stop()
