"""A disk of its own for a device: a file with ext4 on a loop device, which can
die as a card that is pulled out does.

After that each call on its files fails with EIO, reading of cached pages by
read() too.  Pages that a process has mapped and that are in memory stay."""
import fcntl
import os
import shutil
import struct
import subprocess

SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN
LOG_FLUSH = 1


def _run(*line):
    return shutil.which(line[0]) is not None and subprocess.run(
        line, check=False, capture_output=True, text=True).returncode == 0


class Disk:
    """Mounted at `path`; needs root, a loop device and ext4."""

    def __init__(self, path, megabytes=320):
        self.path, self.image = path, path + ".img"
        os.mkdir(path)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        self.is_mounted = _run("mkfs.ext4", "-q", self.image) and \
            _run("mount", "-o", "loop", self.image, self.path)

    def die(self):
        """For good."""
        device = subprocess.run(
            ["losetup", "-n", "-O", "NAME", "-j", self.image], check=True,
            capture_output=True, text=True).stdout.strip()
        folder = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", LOG_FLUSH))
        os.close(folder)
        os.truncate(self.image, 0)  # it has no sector any more
        assert _run("losetup", "--set-capacity", device)

    def close(self):
        if self.is_mounted:
            _run("umount", "-l", self.path)
