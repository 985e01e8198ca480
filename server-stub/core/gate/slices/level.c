/* Levels: keeps the baselines of at most four releases for a device and
 * metric. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/level.h"

#define WARM_BLOCKS 2     /* blocks after a change of release that do not count: caches are cold */
#define RESUME_BLOCKS 288 /* 24 h: longest pause after which a level is continued */
#define OLD_BLOCKS 2016   /* 7 days: a level this old may serve as baseline */

static struct flo_level *level_of(struct flo_level_table *levels, uint32_t release)
{
    assert(release != 0);
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        if (levels->levels[i].release == release) {
            return &levels->levels[i];
        }
    }
    return NULL;
}

const struct flo_level *flo_levels_of(const struct flo_level_table *levels, uint32_t release)
{
    for (size_t i = 0; i < FLO_LEVELS_MAX && release != 0; i++) {
        if (levels->levels[i].release == release) {
            return &levels->levels[i];
        }
    }
    return NULL;
}

/* Makes a level for a release.  In a full table it replaces the level that was
 * read longest ago. */
static struct flo_level *place_for(struct flo_level_table *levels, uint32_t release)
{
    struct flo_level *place = &levels->levels[0];

    assert(release != 0 && flo_levels_of(levels, release) == NULL);
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        struct flo_level *one = &levels->levels[i];
        if (one->release == 0) {
            place = one;
            break;
        }
        if (one->last < place->last) {
            place = one;
        }
    }
    *place = (struct flo_level){.release = release};
    return place;
}

/* Returns the blocks since `then`; 0 when the clock was set back. */
static uint32_t since(uint32_t then, uint32_t block)
{
    return block > then ? block - then : 0;
}

static void change(struct flo_level_table *levels, uint32_t release, uint32_t block)
{
    struct flo_level *old = level_of(levels, release);

    assert(release != 0 && release != levels->running);
    /* Before the first telemetry window no change of release is known, so no
     * reading is dropped. */
    levels->warm_from = levels->running == 0 ? block : block + WARM_BLOCKS;
    levels->running = release;
    if (old != NULL && since(old->last, block) > RESUME_BLOCKS) {
        *old = (struct flo_level){0};
    }
}

bool flo_levels_add(struct flo_level_table *levels, uint32_t release, const double *y,
                    uint32_t block)
{
    assert(release != 0);
    if (y != NULL && !isfinite(*y)) {
        return false;
    }
    if (levels->running != release) {
        change(levels, release, block);
    }
    if (levels->warm_from > block + WARM_BLOCKS) {
        levels->warm_from = block; /* the clock was set back */
    }
    if (y == NULL || block < levels->warm_from) {
        return true;
    }
    struct flo_level *level = level_of(levels, release);
    if (level == NULL) {
        level = place_for(levels, release);
    }
    level->mean.sum += *y;
    level->mean.count++;
    flo_shape_day(level->day, flo_shape_hour(block), level->mean.count);
    level->last = block;
    if (level->mean.count >= FLO_BASE_READINGS_MAX) {
        level->mean.sum /= 2;
        level->mean.count /= 2;
    }
    return true;
}

static bool is_older_choice(const struct flo_level *one, uint32_t block)
{
    return one->release != 0 && one->mean.count >= FLO_LEVEL_FULL &&
           since(one->last, block) <= OLD_BLOCKS;
}

enum flo_reference flo_levels_reference(const struct flo_level_table *levels, uint32_t running,
                                        uint32_t block, const struct flo_level **level)
{
    const struct flo_level *own = flo_levels_of(levels, running);
    const struct flo_level *older = NULL;

    assert(level != NULL);
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        const struct flo_level *one = &levels->levels[i];
        if (one != own && is_older_choice(one, block) &&
            (older == NULL || one->last > older->last)) {
            older = one;
        }
    }
    *level = own;
    if (own != NULL && own->mean.count >= FLO_LEVEL_FULL) {
        return FLO_REFERENCE_OWN;
    }
    if (older != NULL) {
        *level = older;
        return FLO_REFERENCE_OLDER;
    }
    if (own != NULL && own->mean.count >= FLO_LEVEL_THIN) {
        return FLO_REFERENCE_THIN;
    }
    *level = NULL;
    return FLO_REFERENCE_NONE;
}

bool flo_levels_control(struct flo_series *series, double x, double curve, bool is_gauge)
{
    if (!isfinite(x)) {
        return false;
    }
    if (series->before.count < FLO_LEVEL_FULL) {
        flo_series_grow(series, x, curve);
    } else {
        flo_series_after(series, x, curve, is_gauge);
    }
    return true;
}
