/* Probe: picks further devices of a slice for an update. */
#include <assert.h>

#include "server-stub/core/gate/slices/probe.h"

size_t flo_probe_pick(flo_probe_rank *rank, const void *context, size_t count, uint32_t take,
                      size_t *out)
{
    uint32_t ranks[FLO_SCAN_PROBE_DEVICES];
    size_t used = 0;

    assert(take <= FLO_SCAN_PROBE_DEVICES);
    assert(rank != NULL && out != NULL);
    for (size_t i = 0; i < count; i++) {
        uint32_t mine = rank(context, i);
        size_t at = used;
        while (at > 0 && ranks[at - 1] > mine) {
            at--;
        }
        if (mine == FLO_PROBE_NOT || at == take) {
            continue;
        }
        used += used < take ? 1 : 0;
        for (size_t k = used - 1; k > at; k--) {
            ranks[k] = ranks[k - 1];
            out[k] = out[k - 1];
        }
        ranks[at] = mine;
        out[at] = i;
    }
    return used;
}
