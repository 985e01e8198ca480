/* Scans over any devices: bounded answers without a NaN, or a refusal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/slices.h"
#include "tests/fuzz/must.h"

#define DEVICES_MAX 256
#define LABELS 3
#define VALUES 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct bytes {
    const uint8_t *at, *end;
};

static uint8_t next(struct bytes *bytes)
{
    return bytes->at < bytes->end ? *bytes->at++ : 0;
}

/* Mostly small steps, now and then what no device can measure. */
static double number(struct bytes *bytes)
{
    static const double wild[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 0, 27.6, 1e-300};
    uint8_t byte = next(bytes);

    return byte < 8 ? wild[byte] : ((double)byte - 128) / 64;
}

struct fleet {
    struct flo_scan_device devices[DEVICES_MAX];
    struct flo_count_scan_device counts[DEVICES_MAX];
    struct flo_spread_device members[DEVICES_MAX];
    struct flo_spread_group groups[DEVICES_MAX];
    uint32_t order[DEVICES_MAX];
    uint16_t values[LABELS][DEVICES_MAX];
    struct flo_slice_label labels[LABELS];
    uint8_t far[DEVICES_MAX];
    size_t count;
};

static void read_device(struct bytes *bytes, struct fleet *fleet, size_t i)
{
    uint8_t flags = next(bytes);
    bool is_updated = (flags & 1) != 0;
    uint8_t wave = flags >> 1 & 7;

    fleet->devices[i] =
        (struct flo_scan_device){.is_updated = is_updated,
                                 .wave = wave,
                                 .has_step = (flags & 16) != 0,
                                 .known = is_updated ? (uint8_t)(1u << wave) : next(bytes)};
    fleet->counts[i] = (struct flo_count_scan_device){
        .is_updated = is_updated, .wave = wave, .waves = 1 + (flags >> 5)};
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        bool is_read = is_updated ? p == wave : p < 2;
        fleet->devices[i].d[p] = is_read ? number(bytes) : 0;
        fleet->counts[i].events[p] = is_read ? fabs(number(bytes)) * 8 : 0;
        fleet->counts[i].expected[p] = is_read ? 0.25 : 0;
    }
    for (size_t l = 0; l < LABELS; l++) {
        fleet->values[l][i] = next(bytes) % (VALUES + 1);
    }
    fleet->members[i] =
        (struct flo_spread_device){.value = fleet->values[0][i], .bucket = flags, .id = "d"};
}

static bool is_slice(struct flo_slice slice)
{
    return slice.label < LABELS && slice.value >= 1 && slice.value <= VALUES;
}

static void check_probes(const struct flo_scan_probe *probes, size_t count)
{
    must(count <= FLO_SCAN_PROBES_MAX);
    for (size_t i = 0; i < count; i++) {
        must(is_slice(probes[i].slice) && probes[i].take >= 1 &&
             probes[i].take <= FLO_SCAN_PROBE_DEVICES);
    }
}

/* Each far device is of a row, and each row has as many as it says. */
static void check_far(const struct fleet *fleet, size_t row, uint32_t far)
{
    uint32_t found = 0;

    for (size_t i = 0; i < fleet->count; i++) {
        found += fleet->far[i] == row + 1 ? 1 : 0;
    }
    must(found == far);
}

static void scan(struct fleet *fleet)
{
    struct flo_scan_rule rule = {.alpha = 0.01,
                                 .weight = 1,
                                 .limit_pct = 10,
                                 .labels = fleet->labels,
                                 .label_count = LABELS};
    static struct flo_scan out;
    void *room = malloc(flo_scan_room_bytes(fleet->count));

    must(room != NULL);
    bool is_good = flo_scan_look(&rule, fleet->devices, fleet->count, room, fleet->far, &out);
    free(room);
    must(is_good || out.row_count == 0);
    must(out.row_count <= FLO_SCAN_ROWS_MAX);
    must(out.changed_count <= FLO_SCAN_CHANGED_MAX);
    check_probes(out.probes, out.probe_count);
    for (size_t i = 0; i < out.row_count; i++) {
        const struct flo_scan_row *row = &out.rows[i];
        must(is_slice(row->slice) && (!row->has_within || is_slice(row->within)));
        must(row->ln_e >= row->threshold && isfinite(row->delta));
        must(row->told.has_effect && !isnan(row->told.effect));
        must(row->same_count < LABELS);
        check_far(fleet, i, row->far);
    }
    for (size_t i = 0; i < out.changed_count; i++) {
        must(is_slice(out.changed[i].slice) && isfinite(out.changed[i].ln_e));
    }
}

static void count_scan(struct fleet *fleet)
{
    struct flo_count_scan_rule rule = {
        .alpha = 0.01, .weight = 1, .least = 8, .labels = fleet->labels, .label_count = LABELS};
    struct flo_count_scan out;
    void *room = malloc(flo_count_scan_room_bytes(fleet->count));

    must(room != NULL);
    bool is_good = flo_count_scan_look(&rule, fleet->counts, fleet->count, room, fleet->far, &out);
    free(room);
    must(is_good || out.row_count == 0);
    must(out.row_count <= FLO_SCAN_ROWS_MAX);
    check_probes(out.probes, out.probe_count);
    for (size_t i = 0; i < out.row_count; i++) {
        must(is_slice(out.rows[i].slice));
        must(isfinite(out.rows[i].ln_e) && isfinite(out.rows[i].ln_e_own));
        check_far(fleet, i, out.rows[i].far);
    }
}

/* All members once. */
static void spread(struct fleet *fleet, size_t hold_out)
{
    bool seen[DEVICES_MAX] = {false};
    struct flo_spread_sizes sizes;

    if (!flo_spread_order(fleet->members, fleet->count, hold_out, fleet->groups, fleet->order,
                          &sizes)) {
        must(hold_out > fleet->count);
        return;
    }
    must(sizes.held >= hold_out && sizes.held <= fleet->count &&
         sizes.cover <= fleet->count - sizes.held);
    for (size_t i = 0; i < fleet->count; i++) {
        must(fleet->order[i] < fleet->count && !seen[fleet->order[i]]);
        seen[fleet->order[i]] = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct fleet fleet;
    struct bytes input = {data, data + bytes};

    fleet.count = 0;
    for (size_t l = 0; l < LABELS; l++) {
        fleet.labels[l] = (struct flo_slice_label){
            .values = fleet.values[l], .count = VALUES, .judged = VALUES, .tau2 = 0.001};
    }
    size_t hold_out = next(&input);
    while (input.at < input.end && fleet.count < DEVICES_MAX) {
        read_device(&input, &fleet, fleet.count);
        fleet.count++;
    }
    scan(&fleet);
    count_scan(&fleet);
    spread(&fleet, hold_out);
    return 0;
}
