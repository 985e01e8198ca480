"""Sets and their members as of one moment; tools/lists.py refuses other ways.

A test lists a folder or the processes, and a program changes them before the
test reads the members.  The list is old then: a name is gone, or two names are
of two releases.  So `tree` and `stats` look again until nothing changed while
they looked.  A download and the processes never rest, and have no such
moment: `passing`, `files`, `copy` and `processes` leave out who has gone.
"""
import contextlib
import fnmatch
import glob
import os
import shutil
import signal
import stat

from waits import until

GONE = (FileNotFoundError, ProcessLookupError)


# ---- folders ----

def names(path):
    """Sorted names of a folder that is there: one look."""
    return sorted(os.listdir(path))


def fitting(pattern):
    """Sorted paths that fit a pattern: one look."""
    return sorted(glob.glob(pattern))


def _marks(folder):
    """{name below: stat} of an open folder: files, folders, links."""
    found = {}
    for here, folders, members, fd in os.fwalk(".", dir_fd=folder):
        for name in folders + members:
            found[os.path.normpath(os.path.join(here, name))] = os.stat(
                name, dir_fd=fd, follow_symlinks=False)
    return dict(sorted(found.items()))


def _kept(marks):
    return {name: (one.st_ino, one.st_mode, one.st_size, one.st_mtime_ns,
                   one.st_ctime_ns) for name, one in marks.items()}


def _look(root, take):
    """The result of take(open folder, stats); None: the folder changed."""
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return (None,)
    try:
        marks = _marks(folder)
        found = take(folder, marks)
        # The open folder may be one that was taken away since.
        if os.path.samestat(os.stat(root), os.fstat(folder)) and \
                _kept(_marks(folder)) == _kept(marks):
            return (found,)
    except FileNotFoundError:
        pass
    finally:
        os.close(folder)
    return None


def _steady(root, take):
    found, = until("%s stands still for a look" % root,
                   lambda: _look(root, take))
    return found or {}


def stats(root):
    """{name: os.stat_result} of all below a folder; none: there is none."""
    return _steady(root, lambda folder, marks: marks)


def tree(root):
    """{name: bytes} of the files below a folder; none: there is none."""
    def take(folder, marks):
        found = {}
        for name, one in marks.items():
            if stat.S_ISREG(one.st_mode):
                with open(name, "rb", opener=lambda path, flags: os.open(
                        path, flags | os.O_NOFOLLOW, dir_fd=folder)) as file:
                    found[name] = file.read()
        return found
    return _steady(root, take)


def paths(root, *without):
    """Paths of all but folders that one look met, not in some folders."""
    for here, folders, members in os.walk(root):
        folders[:] = sorted(set(folders) - set(without))
        yield from (os.path.join(here, name) for name in sorted(members))


def passing(root):
    """(path, stat) of all but folders, without those that went."""
    for path in paths(root):
        with contextlib.suppress(*GONE):
            yield path, os.lstat(path)


def files(root):
    """(path, bytes) of each file below a folder, without those that went."""
    for path, one in passing(root):
        with contextlib.suppress(*GONE):
            if stat.S_ISREG(one.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
                yield path, data


def copy(source, target, *without):
    """A new copy of a folder, without what went meanwhile and without the
    names that fit a pattern."""
    os.makedirs(target)
    for one in list(os.scandir(source)):
        to = os.path.join(target, one.name)
        with contextlib.suppress(*GONE):
            if any(fnmatch.fnmatch(one.name, pattern) for pattern in without):
                continue
            if one.is_dir(follow_symlinks=False):
                copy(one.path, to, *without)
            elif one.is_file(follow_symlinks=False) or one.is_symlink():
                shutil.copy2(one.path, to, follow_symlinks=False)
    with contextlib.suppress(*GONE):
        shutil.copystat(source, target)


# ---- processes ----

def text(path):
    """A file of /proc; empty: its process has gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except GONE:
        return ""


def words(pid):
    """The command line."""
    return text("/proc/%d/cmdline" % pid).split("\0")[:-1]


def children(pid):
    """Pids of those that a thread of the process started."""
    return [int(one) for path in fitting("/proc/%d/task/*/children" % pid)
            for one in text(path).split()]


def processes(parent=None, name=None, holds=None):
    """Pids of those with this parent, this program, these bytes in a word of
    the command line."""
    found = []
    for pid in children(parent) if parent else map(int, filter(
            str.isdigit, os.listdir("/proc"))):
        # Not by /proc/PID/exe: the sandbox hides it from other users.
        head, _, rest = text("/proc/%d/stat" % pid).rpartition(")")
        if rest and parent in (None, int(rest.split()[1])) and \
                (name is None or head.partition("(")[2] == name[:15]) and \
                (holds is None or any(holds in word for word in words(pid))):
            found.append(pid)
    return found


def fields(pid):
    """Fields of /proc/PID/stat after the name, state first; none: it has gone."""
    return text("/proc/%d/stat" % pid).rpartition(")")[2].split()


def group(number):
    """[(pid, state)] of a process group."""
    found = []
    for pid in processes():
        words_of = fields(pid)
        if words_of and int(words_of[2]) == number:
            found.append((pid, words_of[0]))
    return found


def descriptors(pid):
    """{number: what it names}; the kernel shows those of an ending process to root alone."""
    found = {}
    with contextlib.suppress(*GONE):
        try:
            numbers = os.listdir("/proc/%d/fd" % pid)
        except PermissionError:
            if words(pid):
                raise
            numbers = []
        for number in numbers:
            with contextlib.suppress(*GONE):
                found[int(number)] = os.readlink("/proc/%d/fd/%s" % (
                    pid, number))
    return found


def kill(pids, how=signal.SIGKILL):
    """A signal for each; one that has gone needs none."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
