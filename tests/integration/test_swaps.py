"""Swaps that alternate a model, an adapter and a runtime lose no request."""
import os

import pytest

from runtime_parts import heard
from swap_parts import ALIASES, Swaps

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


def test_swaps_of_models_adapters_and_runtimes_lose_no_request(fleet):
    swaps = Swaps(fleet)
    swaps.start()
    done = []
    for swap in swaps.run(12):
        heard(swaps.streamers[swap.model][0], swap.new)
        done.append(swap)
    swaps.stop()

    assert {s.kind for s in done} == {
        "model", "adapter", "runtime", "model back", "adapter back",
        "runtime back"}
    assert swaps.failed() == []
    assert swaps.strangers() == []
    assert swaps.wrong() == []
    for model in ALIASES:
        assert {span[3] for span in swaps.spans(model)} >= {
            s.new for s in done if s.model == model}
