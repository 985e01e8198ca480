/* Spent budget: stores on disk how many bytes were sent to neighbours within 24
 * hours.  A restart of the agent must not reset the budget of a metered
 * link. */
#include <inttypes.h>
#include <string.h>

#include "agent/shell/neighbours/neighbourhood.h"

#define DAY_MS (24ull * 3600 * 1000)
#define FILE_BYTES_MAX 256
#define JITTER_MS 60000 /* change of the day's begin in ms that is taken for another day */
/* Number of bytes by which the stored count is ahead of the sent bytes.  So the
 * count of a killed agent is too low by half a second's bytes at most, and the
 * flash gets few writes. */
#define KEEP_BYTES (64u << 20)
#define KEEP_PARTS 16
#define AGAIN_MS 10000 /* pause after a write that failed */
#define NUMBER_MAX ((uint64_t)INT64_MAX / 2)

/* Numbers of the stored file.  Within the same boot the time since boot is
 * used, because it does not jump.  After another boot the wall clock is
 * used. */
struct spent {
    uint64_t used_bytes;
    uint64_t began_at_ms; /* wall clock time at the beginning of the day */
    uint64_t kept_at_ms;  /* time since boot at the write of this file */
    uint64_t since_ms;    /* age of the budget's day at the write of this file */
    bool is_same_boot;
};

static int read_file(const struct flo_neighbourhood *hood, struct spent *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct spent spent = {0};
    size_t bytes = 0;

    FLO_TRY(flo_file_read(hood->spent_file, FILE_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, err));
    FLO_TRY(flo_json_get_u64(json, "used_bytes", 0, NUMBER_MAX, &spent.used_bytes, err));
    FLO_TRY(flo_json_get_u64(json, "began_at_ms", 0, NUMBER_MAX, &spent.began_at_ms, err));
    /* A file that an older agent wrote has no boot id. */
    const char *boot = json_string_value(json_object_get(json, "boot_id"));
    spent.is_same_boot =
        boot != NULL && strcmp(boot, hood->shell->boot_id) == 0 &&
        flo_json_get_u64(json, "kept_at_ms", 0, NUMBER_MAX, &spent.kept_at_ms, NULL) == 0 &&
        flo_json_get_u64(json, "since_ms", 0, NUMBER_MAX, &spent.since_ms, NULL) == 0;
    *out = spent;
    return 0;
}

/* Returns the age of the budget's day.  If the wall clock is before the
 * beginning of the day, it was not set yet: the age is 0 then, and the day
 * becomes longer. */
static uint64_t length_ms(const struct spent *spent, uint64_t now_ms)
{
    uint64_t wall_ms = flo_wall_ms();

    if (spent->is_same_boot && now_ms >= spent->kept_at_ms) {
        return spent->since_ms + (now_ms - spent->kept_at_ms);
    }
    return wall_ms > spent->began_at_ms ? wall_ms - spent->began_at_ms : 0;
}

void flo_spent_load(struct flo_neighbourhood *hood)
{
    struct spent spent = {0};
    struct flo_err err = {0};
    uint64_t now_ms = flo_now_ms();
    int rv = read_file(hood, &spent, &err);

    if (rv < 0) {
        if (rv != FLO_E_ABSENT) { /* a missing file is no error at the first start */
            flo_wrap(&err, rv, "the neighbours' budget begins anew: %s", hood->spent_file);
            flo_log_err(FLO_LOG_WARN, "neighbours", &err);
        }
        return;
    }
    uint64_t since_ms = length_ms(&spent, now_ms);
    if (since_ms >= DAY_MS) {
        return;
    }
    hood->shell->neighbours->counts.used_bytes = spent.used_bytes;
    hood->kept_bytes = spent.used_bytes;
    /* The day may have begun before the boot, so times are counted modulo
     * 2^64. */
    hood->day_began_ms = now_ms - since_ms;
    hood->kept_day_ms = hood->day_began_ms;
    hood->began_at_ms = spent.began_at_ms;
}

/* Returns the count to store: more than the bytes sent, but at most the budget.
 * At the end of the agent it is exact. */
static uint64_t ahead_of(uint64_t used, uint64_t budget, bool is_end)
{
    uint64_t step = budget / KEEP_PARTS;

    step = budget == 0 || step > KEEP_BYTES ? KEEP_BYTES : step;
    used = used < NUMBER_MAX ? used : NUMBER_MAX;
    if (is_end || (budget != 0 && used >= budget)) {
        return used;
    }
    uint64_t most = budget != 0 && budget < NUMBER_MAX ? budget : NUMBER_MAX;
    return most - used < step ? most : used + step;
}

/* Returns the beginning of the day by the wall clock.  Within one day the
 * latest value stays, so that an unset clock does not make the day old. */
static uint64_t began_at(const struct flo_neighbourhood *hood, bool is_new_day)
{
    uint64_t wall_ms = flo_wall_ms();
    uint64_t since_ms = flo_now_ms() - hood->day_began_ms;
    uint64_t began = wall_ms > since_ms ? wall_ms - since_ms : 0;

    return !is_new_day && began < hood->began_at_ms ? hood->began_at_ms : began;
}

static int write_file(const struct flo_neighbourhood *hood, uint64_t bytes, uint64_t began_at_ms,
                      struct flo_err *err)
{
    uint64_t now_ms = flo_now_ms();
    char text[FILE_BYTES_MAX];
    int chars =
        snprintf(text, sizeof(text),
                 "{\"used_bytes\":%" PRIu64 ",\"began_at_ms\":%" PRIu64
                 ",\"boot_id\":\"%s\",\"kept_at_ms\":%" PRIu64 ",\"since_ms\":%" PRIu64 "}\n",
                 bytes, began_at_ms, hood->shell->boot_id, now_ms, now_ms - hood->day_began_ms);

    return flo_file_write(hood->spent_file, text, (size_t)chars, 0600, err);
}

void flo_spent_keep(struct flo_neighbourhood *hood, bool is_end)
{
    const struct flo_neighbour_counts *counts = &hood->shell->neighbours->counts;
    uint64_t used = counts->used_bytes, kept = hood->kept_bytes;
    uint64_t ahead = ahead_of(used, counts->budget, is_end);
    int64_t moved_ms = (int64_t)(hood->day_began_ms - hood->kept_day_ms);
    bool is_new_day = kept > 0 && moved_ms > JITTER_MS;
    uint64_t now_ms = flo_now_ms();
    struct flo_err err = {0};

    if ((is_end ? used == kept : used <= kept && !is_new_day) ||
        (!is_end && now_ms < hood->keep_again_ms)) {
        return;
    }
    uint64_t began_at_ms = began_at(hood, is_new_day);
    if (write_file(hood, ahead, began_at_ms, &err) < 0) {
        /* The stored count is too low, so the next try comes soon. */
        hood->keep_again_ms = now_ms + AGAIN_MS;
        flo_log_err(FLO_LOG_WARN, "neighbours", &err);
        return;
    }
    hood->kept_bytes = ahead;
    hood->kept_day_ms = hood->day_began_ms;
    hood->began_at_ms = began_at_ms;
}
