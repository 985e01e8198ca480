"""One party's share of what all use: a device at the broker, a viewer, a
stranger.  Each story plays one that takes all it can get."""
import struct

import pytest

from controller_parts import Device
from mqtt_client import _text
from waits import until

SHARE_BYTES = 2 << 20  # of the broker's memory, for one hostile device


@pytest.fixture(scope="module")
def token(controller):
    return controller.enrol_token()


def rss(controller):
    with open("/proc/%d/status" % controller.mosquitto()) as file:
        return next(int(line.split()[1]) << 10 for line in file
                    if line.startswith("VmRSS:"))


def flood(client, packets):
    """Send until the broker hangs up, or all is sent and answered."""
    try:
        for kind, body in packets:
            client._send(kind, body)
        client.subscribe("flotilla/v1/test/c/order")
    except Exception:
        client.wait_closed()


def test_messages_of_qos_2_that_are_never_released_fill_no_memory(
        controller, folder, token):
    bystander = Device(controller, folder, "by-1", token).connect()
    rogue = Device(controller, folder, "rogue-1", token).connect()
    topic = _text(rogue.topic("tele"))
    before = rss(controller)
    flood(rogue.client, ((0x34, topic + struct.pack(">H", number) +
                          bytes(60000)) for number in range(1, 2000)))
    taken = rss(controller) - before
    print("taken", taken)
    assert taken < SHARE_BYTES
    bystander.is_heard()
    assert not bystander.client.closed
