/* Kept: evidence of a device and the waves of a rollout, as rows.
 *
 *   u8 'X', u16 bytes of what was observed (saved.c), those bytes; then
 *   u32 rollout, u32 crashed, u8 wave, counts, u8 waves, each of them u8 known
 *   and, if so, counts, f32 errors, f32 requests, u8 hours, u8 died;
 *   u8 speeds, each of them a mean, for each wave u8 (bit 0 known, bit 1 has
 *   the first), a mean, f64 before, f64 first, u32 stratum; u8 last, each f64;
 *   step and first as means; u32 first block of its memory, for each wave u32
 *   first block, u8 begun and, if so, u32 readings and f64 t, t2, y, ty
 *
 * A row that begins with 'W' ends before its memory: slopes then cover all its
 * time as a control.  A device that is in no rollout is a row of saved.c alone.
 * Counts are four u32.  The waves of a rollout:
 *
 *   u8 'R', u8 waves, each of them u32 block, u8 is_probe; for each speed u8
 *   labels, each f64 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/observe/bytes.h"
#include "server-stub/core/gate/observe/since.h"

#define MEMBER 'X' /* row of a member; no format of saved.c begins with this byte */
#define MEMBER_BEFORE 'W'
#define ROLLOUT 'R'
#define HEAD_BYTES 3

static void counts(struct flo_bytes *bytes, struct flo_since_counts *value)
{
    flo_bytes_u32(bytes, &value->errors);
    flo_bytes_u32(bytes, &value->requests);
    flo_bytes_u32(bytes, &value->blocks);
    flo_bytes_u32(bytes, &value->crashes);
}

static void small_real(struct flo_bytes *bytes, float *value)
{
    uint32_t bits;

    memcpy(&bits, value, sizeof(bits));
    flo_bytes_u32(bytes, &bits);
    memcpy(value, &bits, sizeof(*value));
    flo_bytes_want(bytes, isfinite(*value) && *value >= 0);
}

static void past(struct flo_bytes *bytes, struct flo_since *since, size_t wave)
{
    struct flo_since_past *of = &since->pasts[wave];
    const struct flo_since_counts *total = &since->total;

    assert(wave < FLO_SCAN_WAVES_MAX);
    flo_bytes_truth(bytes, &of->is_known);
    if (!of->is_known) {
        return;
    }
    counts(bytes, &of->at);
    small_real(bytes, &of->errors);
    small_real(bytes, &of->requests);
    flo_bytes_count(bytes, &of->hours, 8);
    flo_bytes_count(bytes, &of->died, 8);
    flo_bytes_want(bytes, of->at.errors <= total->errors && of->at.requests <= total->requests &&
                              of->at.blocks <= total->blocks && of->at.crashes <= total->crashes);
}

static void speed_wave(struct flo_bytes *bytes, struct flo_since_speed *speed, size_t wave)
{
    struct flo_since_wave *of = &speed->waves[wave];
    struct flo_mean at = {.sum = of->at_sum, .count = of->at_count};
    uint8_t flags = (uint8_t)((speed->known >> wave & 1) | (speed->has_first >> wave & 1) << 1);

    assert(wave < FLO_SCAN_WAVES_MAX);
    flo_bytes_count(bytes, &flags, 3);
    speed->known |= (uint8_t)((flags & 1) << wave);
    speed->has_first |= (uint8_t)((flags >> 1) << wave);
    flo_bytes_mean(bytes, &at);
    of->at_sum = at.sum;
    of->at_count = at.count;
    flo_bytes_real(bytes, &of->before);
    flo_bytes_real(bytes, &of->first);
    flo_bytes_u32(bytes, &of->stratum);
    flo_bytes_want(bytes, of->at_count <= speed->total.count);
}

static void speed(struct flo_bytes *bytes, struct flo_since_speed *of, uint8_t waves)
{
    assert(waves <= FLO_SCAN_WAVES_MAX);
    flo_bytes_mean(bytes, &of->total);
    for (size_t p = 0; p < waves && !bytes->is_broken; p++) {
        speed_wave(bytes, of, p);
    }
    flo_bytes_count(bytes, &of->last_count, FLO_STEP_READINGS);
    for (size_t i = 0; i < of->last_count && !bytes->is_broken; i++) {
        flo_bytes_real(bytes, &of->last[i]);
    }
    flo_bytes_mean(bytes, &of->step);
    flo_bytes_mean(bytes, &of->first);
    flo_bytes_want(bytes,
                   of->step.count <= FLO_STEP_READINGS && of->first.count <= FLO_SLOW_READINGS);
}

static uint8_t waves_of(const struct flo_since *since)
{
    uint8_t waves = 0;

    for (uint8_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        waves = since->pasts[p].is_known ? p + 1 : waves;
    }
    return waves;
}

static void memory(struct flo_bytes *bytes, struct flo_since *since, uint8_t waves)
{
    assert(waves <= FLO_SCAN_WAVES_MAX);
    flo_bytes_u32(bytes, &since->memory_from);
    for (size_t p = 0; p < waves && !bytes->is_broken; p++) {
        struct flo_since_memory *of = &since->memory[p];
        flo_bytes_u32(bytes, &of->from);
        flo_bytes_truth(bytes, &of->has_begun);
        flo_bytes_want(bytes, of->from != 0 || !of->has_begun);
        if (of->has_begun) {
            flo_bytes_u32(bytes, &of->at.count);
            flo_bytes_real(bytes, &of->at.t);
            flo_bytes_real(bytes, &of->at.t2);
            flo_bytes_real(bytes, &of->at.y);
            flo_bytes_real(bytes, &of->at.ty);
        }
    }
}

static void all_since(struct flo_bytes *bytes, struct flo_since *since,
                      struct flo_since_speed *speeds, uint8_t *speed_count, bool has_memory)
{
    uint8_t waves = waves_of(since);

    flo_bytes_u32(bytes, &since->rollout);
    flo_bytes_u32(bytes, &since->crashed);
    flo_bytes_count(bytes, &since->wave, FLO_SCAN_WAVES_MAX);
    counts(bytes, &since->total);
    flo_bytes_count(bytes, &waves, FLO_SCAN_WAVES_MAX);
    for (size_t p = 0; p < waves && !bytes->is_broken; p++) {
        past(bytes, since, p);
    }
    flo_bytes_want(bytes, since->rollout != 0 && waves == waves_of(since));
    flo_bytes_u8(bytes, speed_count);
    flo_bytes_want(bytes, *speed_count == 0 || *speed_count == FLO_SPEEDS);
    for (size_t i = 0; i < *speed_count && !bytes->is_broken; i++) {
        speed(bytes, &speeds[i], waves);
    }
    if (has_memory) {
        memory(bytes, since, waves);
    }
}

size_t flo_kept_member_pack(const struct flo_observed *observed, const struct flo_since *since,
                            uint8_t *out)
{
    if (since == NULL) {
        return flo_observed_pack(observed, out);
    }
    struct flo_since copy = *since;
    size_t used = flo_observed_pack(observed, out + HEAD_BYTES);
    uint8_t speed_count = since->speeds != NULL ? FLO_SPEEDS : 0;
    struct flo_bytes bytes = {.out = out, .at = HEAD_BYTES + used, .bytes = FLO_KEPT_BYTES_MAX};
    out[0] = MEMBER;
    out[1] = (uint8_t)used;
    out[2] = (uint8_t)(used >> 8);
    all_since(&bytes, &copy, since->speeds, &speed_count, true);
    assert(!bytes.is_broken);
    return bytes.at;
}

int flo_kept_member_unpack(const uint8_t *data, size_t bytes, struct flo_kept_member *out,
                           struct flo_err *err)
{
    size_t used = bytes;
    uint8_t speed_count = 0;

    memset(out, 0, sizeof(*out));
    out->has_since = bytes >= HEAD_BYTES && (data[0] == MEMBER || data[0] == MEMBER_BEFORE);
    if (out->has_since) {
        used = (size_t)data[1] | (size_t)data[2] << 8;
        struct flo_bytes rest = {.in = data, .at = HEAD_BYTES + used, .bytes = bytes};
        rest.is_broken = rest.at > bytes;
        all_since(&rest, &out->since, out->speeds, &speed_count, data[0] == MEMBER);
        if (rest.is_broken || rest.at != bytes) {
            return flo_fail(err, FLO_E_DB, "evidence of a member: %zu bytes cannot be read", bytes);
        }
        out->has_speeds = speed_count > 0;
        data += HEAD_BYTES;
    }
    return flo_observed_unpack(data, used, &out->observed, &out->readings, &out->has_readings, err);
}

/* ---- of a rollout ---- */

static void all_waves(struct flo_bytes *bytes, struct flo_waves *of)
{
    flo_bytes_count(bytes, &of->count, FLO_SCAN_WAVES_MAX);
    for (size_t p = 0; p < of->count && !bytes->is_broken; p++) {
        flo_bytes_u32(bytes, &of->waves[p].block);
        flo_bytes_truth(bytes, &of->waves[p].is_probe);
        flo_bytes_want(bytes, p == 0 || of->waves[p].block >= of->waves[p - 1].block);
    }
}

static void all_tau2(struct flo_bytes *bytes, double *tau2)
{
    uint8_t labels = FLO_SLICE_LABELS_MAX;

    while (bytes->out != NULL && labels > 0 && tau2[labels - 1] == 0) {
        labels--;
    }
    flo_bytes_count(bytes, &labels, FLO_SLICE_LABELS_MAX);
    for (size_t l = 0; l < labels && !bytes->is_broken; l++) {
        flo_bytes_real(bytes, &tau2[l]);
        flo_bytes_want(bytes, tau2[l] >= 0);
    }
    flo_bytes_want(bytes, labels == 0 || tau2[labels - 1] > 0);
}

static void all_kept(struct flo_bytes *bytes, struct flo_kept_waves *of)
{
    uint8_t kind = ROLLOUT;

    flo_bytes_u8(bytes, &kind);
    flo_bytes_want(bytes, kind == ROLLOUT);
    all_waves(bytes, &of->waves);
    for (size_t i = 0; i < FLO_SPEEDS && !bytes->is_broken; i++) {
        all_tau2(bytes, of->tau2[i]);
    }
}

size_t flo_kept_waves_pack(const struct flo_kept_waves *waves, uint8_t *out)
{
    struct flo_kept_waves copy = *waves;
    struct flo_bytes bytes = {.out = out, .bytes = FLO_KEPT_WAVES_BYTES_MAX};

    assert(waves->waves.count <= FLO_SCAN_WAVES_MAX);
    all_kept(&bytes, &copy);
    assert(!bytes.is_broken);
    return bytes.at;
}

int flo_kept_waves_unpack(const uint8_t *data, size_t bytes, struct flo_kept_waves *out,
                          struct flo_err *err)
{
    struct flo_bytes all = {.in = data, .bytes = bytes};

    memset(out, 0, sizeof(*out));
    all_kept(&all, out);
    return all.is_broken || all.at != bytes
               ? flo_fail(err, FLO_E_DB, "waves of a rollout: %zu bytes cannot be read", bytes)
               : 0;
}
