/* Speeds: which variant of a model file is fastest on a device, as the device
 * measured it.
 *
 * A device measures a variant next to the one that serves, with the golden
 * prompts of its release.  The rows count for later releases of the model as
 * well, as long as variant, runtime and about the size of the file are the
 * same. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/release.h>

#include "base/host/json.h"
#include "updater/plan/variants.h"

/* divisor: sizes of model files that differ by more than one part are other
 * models */
#define SIZE_PARTS 8
#define ROWS_READ_MAX 64
#define TOKEN_US_MAX (UINT64_C(3600) * 1000000)

static bool is_about(uint64_t bytes, uint64_t of)
{
    uint64_t apart = bytes > of ? bytes - of : of - bytes;

    return apart <= of / SIZE_PARTS;
}

static const struct flo_speed_row *find(const struct flo_speeds *speeds,
                                        const struct flo_release *release, uint32_t variant)
{
    const struct flo_release_variant *facts = &release->variants[variant];
    const struct flo_release_file *entry = flo_release_entry(release, facts);

    assert(variant < release->variant_count);
    assert(speeds->count <= FLO_SPEED_ROWS_MAX);
    for (size_t i = 0; entry != NULL && i < speeds->count; i++) {
        const struct flo_speed_row *row = &speeds->rows[i];
        if (strcmp(row->model, release->model) == 0 && strcmp(row->variant, facts->name) == 0 &&
            strcmp(row->runtime, facts->runtime) == 0 && is_about(row->bytes, entry->bytes)) {
            return row;
        }
    }
    return NULL;
}

double flo_speed_ms(const struct flo_release *release, const struct flo_profile *profile,
                    uint32_t variant)
{
    const struct flo_speed_row *row = find(&profile->speeds, release, variant);

    return row != NULL ? (double)row->token_us / 1e3 : 0;
}

/* Tells whether both variants serve the same model file without an adapter, so
 * that only their speeds differ. */
static bool are_alike(const struct flo_release *release, uint32_t a, uint32_t b)
{
    const struct flo_release_variant *one = &release->variants[a], *other = &release->variants[b];
    const struct flo_release_file *file = flo_release_entry(release, one);

    assert(a < release->variant_count && b < release->variant_count);
    return file != NULL && file == flo_release_entry(release, other) &&
           flo_release_variant_file(release, one, "adapter") == NULL &&
           flo_release_variant_file(release, other, "adapter") == NULL;
}

static bool may_replace(const struct flo_release *release, const struct flo_profile *profile,
                        uint32_t variant, uint32_t other)
{
    return other != variant && are_alike(release, variant, other) &&
           flo_variant_judge(release, other, profile) == FLO_VARIANT_FITS;
}

static bool is_faster(const struct flo_speed_row *row, const struct flo_speed_row *than)
{
    return row != NULL && than != NULL && row->token_us > 0 && than->token_us > 0 &&
           row->token_us * 100 <= than->token_us * FLO_SPEED_PERCENT_MAX;
}

uint32_t flo_plan_fastest(const struct flo_release *release, const struct flo_profile *profile,
                          uint32_t variant)
{
    uint32_t best = variant;

    assert(variant < release->variant_count);
    for (uint32_t i = 0; i < release->variant_count; i++) {
        if (may_replace(release, profile, variant, i) &&
            is_faster(find(&profile->speeds, release, i), find(&profile->speeds, release, best))) {
            best = i;
        }
    }
    return best;
}

int flo_plan_unmeasured(const struct flo_release *release, const struct flo_profile *profile,
                        uint32_t variant)
{
    bool is_measured = find(&profile->speeds, release, variant) != NULL;

    assert(variant < release->variant_count);
    for (uint32_t i = 0; i < release->variant_count; i++) {
        if (may_replace(release, profile, variant, i)) {
            const struct flo_speed_row *row = find(&profile->speeds, release, i);
            if (row == NULL || (!is_measured && row->token_us > 0)) {
                return (int)i;
            }
        }
    }
    return -1;
}

/* ---- rows ---- */

void flo_speeds_put(struct flo_speeds *speeds, const struct flo_release *release, uint32_t variant,
                    uint64_t token_us)
{
    const struct flo_release_variant *facts = &release->variants[variant];
    const struct flo_release_file *entry = flo_release_entry(release, facts);
    struct flo_speed_row row = {.token_us = token_us};
    size_t at = 0;

    assert(variant < release->variant_count && entry != NULL);
    row.bytes = entry->bytes;
    snprintf(row.model, sizeof(row.model), "%s", release->model);
    snprintf(row.variant, sizeof(row.variant), "%s", facts->name);
    snprintf(row.runtime, sizeof(row.runtime), "%s", facts->runtime);
    while (at < speeds->count && (strcmp(speeds->rows[at].model, row.model) != 0 ||
                                  strcmp(speeds->rows[at].variant, row.variant) != 0)) {
        at++;
    }
    if (at == speeds->count && speeds->count == FLO_SPEED_ROWS_MAX) {
        at = 0; /* the oldest row goes */
    }
    if (at < speeds->count) {
        speeds->count--;
        memmove(&speeds->rows[at], &speeds->rows[at + 1],
                (speeds->count - at) * sizeof(speeds->rows[0]));
    }
    assert(speeds->count < FLO_SPEED_ROWS_MAX);
    speeds->rows[speeds->count++] = row;
}

static int read_row(const json_t *json, struct flo_speed_row *out, struct flo_err *err)
{
    const char *model = NULL, *variant = NULL, *runtime = NULL;

    FLO_TRY(flo_json_get_text(json, "model", sizeof(out->model) - 1, &model, err));
    FLO_TRY(flo_json_get_text(json, "variant", sizeof(out->variant) - 1, &variant, err));
    FLO_TRY(flo_json_get_text(json, "runtime", sizeof(out->runtime) - 1, &runtime, err));
    FLO_TRY(flo_json_get_u64(json, "bytes", 1, INT64_MAX, &out->bytes, err));
    FLO_TRY(flo_json_get_u64(json, "token_us", 0, TOKEN_US_MAX, &out->token_us, err));
    snprintf(out->model, sizeof(out->model), "%s", model);
    snprintf(out->variant, sizeof(out->variant), "%s", variant);
    snprintf(out->runtime, sizeof(out->runtime), "%s", runtime);
    return 0;
}

int flo_speeds_parse(const json_t *profile, struct flo_speeds *out, struct flo_err *err)
{
    json_t *list = NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(flo_json_opt_array(profile, "speeds", ROWS_READ_MAX, &list, err));
    size_t count = json_array_size(list);
    size_t from = count > FLO_SPEED_ROWS_MAX ? count - FLO_SPEED_ROWS_MAX : 0;
    for (size_t i = from; i < count; i++) {
        int rv = read_row(json_array_get(list, i), &out->rows[out->count], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "`profile.speeds[%zu]`", i);
        }
        out->count++;
    }
    return 0;
}

json_t *flo_speeds_json(const struct flo_speeds *speeds)
{
    json_t *list = json_array();

    assert(speeds->count <= FLO_SPEED_ROWS_MAX);
    for (size_t i = 0; i < speeds->count; i++) {
        const struct flo_speed_row *row = &speeds->rows[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I}", "model", row->model,
                                              "variant", row->variant, "runtime", row->runtime,
                                              "bytes", (json_int_t)row->bytes, "token_us",
                                              (json_int_t)row->token_us));
    }
    return list;
}
