/* Waves: see waves.h. */
#include <assert.h>

#include "server-stub/core/gate/slices/waves.h"

#define TOGETHER_BLOCKS 6 /* 30 minutes */

/* Returns the newest wave that a phase began, or (is_probe) that a probe began;
 * FLO_SCAN_WAVES_MAX: none. */
static uint8_t newest_of(const struct flo_waves *waves, bool is_probe)
{
    assert(waves->count <= FLO_SCAN_WAVES_MAX);
    for (uint8_t p = waves->count; p > 0; p--) {
        if (waves->waves[p - 1].is_probe == is_probe) {
            return (uint8_t)(p - 1);
        }
    }
    return FLO_SCAN_WAVES_MAX;
}

uint8_t flo_waves_begin(struct flo_waves *waves, uint32_t block, bool is_probe)
{
    uint8_t newest = newest_of(waves, is_probe);

    assert(waves->count == 0 || block >= waves->waves[waves->count - 1].block);
    if (newest < FLO_SCAN_WAVES_MAX && block - waves->waves[newest].block <= TOGETHER_BLOCKS) {
        return newest;
    }
    if (waves->count < FLO_SCAN_WAVES_MAX) {
        waves->waves[waves->count++] = (struct flo_wave){.block = block, .is_probe = is_probe};
    }
    return (uint8_t)(waves->count - 1);
}
