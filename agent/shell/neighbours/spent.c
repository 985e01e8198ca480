/* Bytes that the device has given to its neighbours in these 24 hours, on the
 * disk: a budget of a metered link does not begin again with the agent. */
#include <inttypes.h>

#include "agent/shell/neighbours/inside.h"

#define DAY_MS (24ull * 3600 * 1000)
#define FILE_BYTES_MAX 256
/* A kill may lose so much; a write at most each so often spares the flash. */
#define KEEP_BYTES (64u << 20)
#define KEEP_MS (10ull * 60 * 1000)

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
    hood->kept_at_ms = now_ms;
    hood->day_began_ms = now_ms > since_ms ? now_ms - since_ms : 1;
}

void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end)
{
    uint64_t used = hood->shell->neighbour_counts.used_bytes;
    uint64_t now_ms = flo_now_ms();
    uint64_t moved = used > hood->kept_bytes ? used - hood->kept_bytes : used;
    bool is_spent = hood->shell->neighbour_counts.budget > 0 &&
                    used >= hood->shell->neighbour_counts.budget;
    struct flo_err err = {0};
    char text[FILE_BYTES_MAX];

    if (used == hood->kept_bytes ||
        (!is_end && !is_spent && moved < KEEP_BYTES &&
         now_ms - hood->kept_at_ms < KEEP_MS)) {
        return;
    }
    int bytes =
        snprintf(text, sizeof(text),
                 "{\"used_bytes\":%" PRIu64 ",\"began_at_ms\":%" PRIu64 "}\n",
                 used, flo_wall_ms() - (now_ms - hood->day_began_ms));
    hood->kept_bytes = used;
    hood->kept_at_ms = now_ms;
    if (flo_file_write(hood->spent_file, text, (size_t)bytes, 0600, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "neighbours", &err);
    }
}
