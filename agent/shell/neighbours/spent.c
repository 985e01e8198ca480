/* Bytes that the device has given to its neighbours in these 24 hours, on the
 * disk: a budget of a metered link does not begin again with the agent. */
#include <inttypes.h>

#include "agent/shell/neighbours/inside.h"

#define DAY_MS (24ull * 3600 * 1000)
#define FILE_BYTES_MAX 256
#define JITTER_MS 60000 /* a begin that moved by more is another day */
/* Bytes that the file is ahead of those given, so that a kill gives none back
 * but half a second's: a part of the budget, and few writes for the flash. */
#define KEEP_BYTES (64u << 20)
#define KEEP_PARTS 16

static int read_file(const struct flo_neighbourhood *hood, uint64_t *used,
                     uint64_t *began_at_ms)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    size_t bytes = 0;
    int rv =
        flo_file_read(hood->spent_file, FILE_BYTES_MAX, &text, &bytes, NULL);

    if (rv == 0) {
        rv = flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, NULL);
    }
    if (rv == 0) {
        rv = flo_json_get_u64(json, "used_bytes", 0, INT64_MAX / 2, used, NULL);
    }
    return rv < 0 ? rv
                  : flo_json_get_u64(json, "began_at_ms", 0, INT64_MAX / 2,
                                     began_at_ms, NULL);
}

/* A clock that stands before the day's begin has not been set yet: the day is
 * as long as that takes longer. */
void flo_spent_load(struct flo_neighbourhood *hood)
{
    uint64_t used = 0, began_at_ms = 0, wall_ms = flo_wall_ms();
    uint64_t now_ms = flo_now_ms();

    if (read_file(hood, &used, &began_at_ms) < 0) {
        return;
    }
    uint64_t since_ms = wall_ms > began_at_ms ? wall_ms - began_at_ms : 0;
    if (since_ms >= DAY_MS) {
        return;
    }
    hood->shell->neighbour_counts.used_bytes = used;
    hood->kept_bytes = used;
    /* It may lie before the boot: these times are counted modulo 2^64. */
    hood->day_began_ms = now_ms - since_ms;
    hood->kept_day_ms = hood->day_began_ms;
}

/* Bytes that the file is to name: more than was given, but never more than the
 * budget. At the end of the agent it is what was given. */
static uint64_t ahead_of(uint64_t used, uint64_t budget, bool is_end)
{
    uint64_t step = budget / KEEP_PARTS;

    step = budget == 0 || step > KEEP_BYTES ? KEEP_BYTES : step;
    if (is_end || (budget != 0 && used >= budget)) {
        return used;
    }
    return budget != 0 && budget - used < step ? budget : used + step;
}

void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end)
{
    const struct flo_neighbour_counts *counts = &hood->shell->neighbour_counts;
    uint64_t used = counts->used_bytes, kept = hood->kept_bytes;
    uint64_t ahead = ahead_of(used, counts->budget, is_end);
    int64_t moved_ms = (int64_t)(hood->day_began_ms - hood->kept_day_ms);
    bool is_new_day = kept > 0 && moved_ms > JITTER_MS;
    struct flo_err err = {0};
    char text[FILE_BYTES_MAX];

    if (is_end ? used == kept : used <= kept && !is_new_day) {
        return;
    }
    int bytes =
        snprintf(text, sizeof(text),
                 "{\"used_bytes\":%" PRIu64 ",\"began_at_ms\":%" PRIu64 "}\n",
                 ahead, flo_wall_ms() - (flo_now_ms() - hood->day_began_ms));
    hood->kept_bytes = ahead;
    hood->kept_day_ms = hood->day_began_ms;
    if (flo_file_write(hood->spent_file, text, (size_t)bytes, 0600, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "neighbours", &err);
    }
}
