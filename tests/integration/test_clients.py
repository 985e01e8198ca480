"""Real client packages, unmodified, make their own basic calls: `flotilla-agent serve`.

The rows stand in clients/calls.py, the calls in programs of the same
folder, each in the environment of its packages.  A row is about the objects that the client
gives, never about the words of a model."""
import os

import pytest

import client_parts
import reciter
from client_parts import lacks
from test_local_api import MODEL, Server
from test_rerank import RERANKER

calls = client_parts.calls
ROWS = [(program, name) for program in calls.PROGRAMS
        for name, _ in program.rows]

if all(lacks(program.environment) for program in calls.PROGRAMS):
    pytest.skip(lacks("python"), allow_module_level=True)


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    caller = os.path.join(folder, "caller.gguf")
    reciter.write(caller)
    batches = os.path.join(folder, "batches")
    os.mkdir(batches, 0o700)
    one = Server(bin_dir, folder, "tiny=" + MODEL, (
        "--model", "caller=" + caller, "--model", "ranker=" + RERANKER,
        "--context", "8192", "--batch-folder", batches))
    yield one
    one.close()


@pytest.fixture(scope="module")
def results(server, folder):
    """program -> the errors of its rows, played once."""
    kept = {}

    def of(program):
        if program.file not in kept:
            kept[program.file] = client_parts.played(
                server, folder, program.file, program.environment,
                program.packages)
        return kept[program.file]
    return of


@pytest.mark.parametrize("program, name", ROWS, ids=[
    "%s-%s" % (program.file, name) for program, name in ROWS])
def test_a_call_gives_what_the_table_says(results, program, name):
    if lacks(program.environment):
        pytest.skip(lacks(program.environment))
    found = results(program)
    assert set(found) == {row for row, _ in program.rows}
    assert found[name] is None, found[name]
