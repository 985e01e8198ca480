"""Each shipped program has what the compiler has against broken memory."""
import os
import platform
import subprocess

import pytest

PROGRAMS = ("flotilla", "flotilla-agent", "flotilla-controller", "flotilla-engine",
            "flotilla-model", "flotilla-relay", "flotilla-updater")
MARKS = {"x86_64": "endbr64", "aarch64": "paciasp"}  # where jumps may land


@pytest.fixture(scope="module", params=PROGRAMS)
def program(bin_dir, request):
    return os.path.join(bin_dir, request.param)


@pytest.fixture(scope="module")
def says(program):
    def read(*flags, tool="readelf"):
        return subprocess.run([tool, *flags, program], capture_output=True, text=True,
                              check=True).stdout
    return read


def test_addresses_are_drawn_and_tables_read_only(says):
    assert "DYN (Position-Independent Executable" in says("-hW")
    assert "GNU_RELRO" in says("-lW")
    assert "BIND_NOW" in says("-dW")


def test_no_stack_is_executable(says):
    stack, = (line for line in says("-lW").splitlines() if "GNU_STACK" in line)
    assert stack.split()[-2] == "RW"


def test_functions_have_the_mark_where_jumps_may_land(says):
    mark = MARKS.get(platform.machine(), "")
    assert mark in says("-d", "--no-show-raw-insn", "--disassemble=main", tool="objdump")


def test_lengths_are_checked_at_run_time(says):
    assert "__memcpy_chk" in says("-W", "--dyn-syms") or "__snprintf_chk" in says("-W", "--dyn-syms")
