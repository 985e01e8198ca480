"""The only clock of the Python tests; tools/clocks.py refuses any other.

No test depends on how fast the machine is.  A wait ends by progress: an
event, a row, a file.  Only a hang reaches its bound, and then the failure
names what was waited for and what was seen last.  A test shows that something
does NOT happen by a later event that must come behind it, not by waiting.
Figures of speed belong to tests/bench.
"""
import contextlib
import os
import signal
import subprocess
import threading
import time

# Seconds until a wait counts as a hang; also the timeout of sockets, programs
# and commands that tests start.
HANG_S = 600
HANG = "%ds" % HANG_S  # as flags of commands take it


class Hang(AssertionError):
    """Nothing came in HANG_S seconds."""


class Seen:
    """A false answer of ask() that says what was there instead."""

    def __init__(self, value):
        self.value = value

    def __bool__(self):
        return False

    def __repr__(self):
        return repr(self.value)


def same(actual, wanted):
    """True, or what is there instead: for the ask() of until()."""
    return actual == wanted or Seen(actual)


def _look(ask):
    """A look into what is not there yet, a row or a field, finds nothing."""
    try:
        return ask()
    except LookupError as error:
        return Seen("not there: %r" % error)
    except TypeError as error:
        if "NoneType" not in str(error):
            raise
        return Seen("not there: %r" % error)


def _wait(what, ask, seen, pause):
    """Call ask() until it gives something true, with pause(seconds left,
    seconds that ask() took) between two looks."""
    end = time.monotonic() + HANG_S
    while True:
        begin = time.monotonic()
        got = _look(ask)
        if got:
            return got
        left = end - time.monotonic()
        if left <= 0:
            raise Hang("waited %d s for: %s\nlast seen: %s" % (
                HANG_S, what, _look(seen) if seen else repr(got)))
        pause(left, end - left - begin)


def until(what, ask, seen=None, every=0.02):
    """Call ask() until it gives something true, and return that.  A look that
    starts a program is rarer, so that those who are waited for get on.

    `what` names the thing waited for.  seen() gives what is there instead for
    the message of a hang; without it the last answer of ask() is shown."""
    return _wait(what, ask, seen, lambda left, took: time.sleep(
        max(every, min(3 * took, 1))))


def notified(condition, what, ask, seen=None):
    """until() for a threading.Condition that is held: ask() is called when
    somebody notifies."""
    return _wait(what, ask, seen, lambda left, took: condition.wait(left))


def joined(thread):
    """The thread has ended."""
    thread.join(HANG_S)
    if thread.is_alive():
        raise Hang("waited %d s for the end of %s" % (HANG_S, thread.name))


def ended(process, progress):
    """Exit code of a long program.  Only one that hangs makes no progress()
    in HANG_S seconds."""
    before = progress()
    while True:
        try:
            return process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            now = progress()
            if now == before:
                raise Hang("waited %d s for the end of %s\nlast seen: %r" % (
                    HANG_S, process.args[0], now)) from None
            before = now


def stopped(pid):
    """The process stands still, with all of its threads: they run on for a
    while after the signal."""
    def states():
        seen = set()
        for task in os.listdir("/proc/%d/task" % pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                    open("/proc/%d/task/%s/stat" % (pid, task)) as file:
                seen.add(file.read().rpartition(") ")[2][0])
        return seen
    os.kill(pid, signal.SIGSTOP)
    until("%d stands still" % pid, lambda: same(states(), {"T"}))


def pace(seconds, done=None):
    """How often a client acts: the rhythm of a load, never a wait for a thing.
    True when the event `done` was set meanwhile."""
    assert seconds <= 1, "a rhythm, no wait: use until()"
    return (done or threading.Event()).wait(seconds)


def moment():
    """A place in time: to put what happened in order, and to tell people how
    long it took.  No test compares a difference with a number."""
    return time.monotonic()


def wall_s():
    """The wall clock, for messages, certificates and orders that carry it."""
    return time.time()


def wall_ms():
    return int(time.time() * 1000)
