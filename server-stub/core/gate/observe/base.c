/* Base: see base.h. */
#include <assert.h>

#include "server-stub/core/gate/observe/base.h"

#define SILENT_BLOCKS 3 /* blocks without a report after which a device is silent */

static bool was_read(const struct flo_readings *readings, int reading)
{
    const struct flo_level_table *levels = &readings->levels[reading];
    size_t sketch = flo_reading_fact((enum flo_observed_reading)reading)->sketch;
    bool is_read = sketch != FLO_NO_SKETCH && readings->pairs[sketch].count > 0;

    assert(reading >= 0 && reading < FLO_READING_COUNT);
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        is_read = is_read || (levels->levels[i].release != 0 && levels->levels[i].mean.count > 0);
    }
    return is_read;
}

/* Finds the first block in which the device will have enough readings of its
 * release for a baseline.  One reading is assumed for each future block. */
static void read_ahead(const struct flo_observed *observed, int reading, uint32_t block,
                       struct flo_observed_base *out)
{
    const struct flo_level_table *levels = &observed->readings->levels[reading];
    const struct flo_level *own = flo_levels_of(levels, observed->release);
    uint32_t count = own != NULL ? (uint32_t)own->mean.count : 0;
    uint32_t from = levels->running == observed->release ? levels->warm_from
                                                         : observed->moved + FLO_WARM_BLOCKS;

    assert(reading >= 0 && reading < FLO_READING_COUNT);
    from = from > block && from <= block + FLO_WARM_BLOCKS ? from : block;
    out->from[reading] = from + (count < FLO_LEVEL_THIN ? FLO_LEVEL_THIN - count : 0);
    out->whole[reading] = from + (count < FLO_LEVEL_FULL ? FLO_LEVEL_FULL - count : 0);
}

void flo_observed_base(const struct flo_observed *observed, uint32_t block,
                       struct flo_observed_base *out)
{
    bool is_heard = observed->heard > 0 &&
                    (observed->heard >= block || block - observed->heard <= SILENT_BLOCKS);

    *out = (struct flo_observed_base){0};
    for (int i = 0; i < FLO_READING_COUNT && observed->readings != NULL; i++) {
        const struct flo_level *level;
        enum flo_reference reference =
            flo_levels_reference(&observed->readings->levels[i], observed->release, block, &level);
        if (reference == FLO_REFERENCE_OWN) {
            out->kinds[i] = FLO_BASE_OWN;
        } else if (reference == FLO_REFERENCE_OLDER) {
            out->kinds[i] = FLO_BASE_OLDER;
        } else if (reference == FLO_REFERENCE_THIN) {
            out->kinds[i] = FLO_BASE_THIN;
            read_ahead(observed, i, block, out);
            out->from[i] = 0;
        } else if (is_heard && was_read(observed->readings, i)) {
            out->kinds[i] = FLO_BASE_LATER;
            read_ahead(observed, i, block, out);
        }
    }
}

enum flo_base flo_base_in(const struct flo_observed_base *base, enum flo_observed_reading reading,
                          uint32_t block)
{
    enum flo_base kind = (enum flo_base)base->kinds[reading];

    assert(reading < FLO_READING_COUNT);
    if (kind == FLO_BASE_LATER && block >= base->from[reading]) {
        kind = FLO_BASE_THIN;
    }
    return kind == FLO_BASE_THIN && block >= base->whole[reading] ? FLO_BASE_OWN : kind;
}
