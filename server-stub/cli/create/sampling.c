/* Sampling: takes the sampling that a model's makers recommend into the release.
 *
 * An imported model names it in its keys general.sampling.*; those are of the
 * folder's generation_config.json.  A value of --serve comes first. */
#include <math.h>
#include <stdio.h>

#include "base/gguf/gguf.h"
#include "server-stub/cli/create/create.h"

#define PPM 1e6

/* Reads a number of any type; NAN: the file has no such number. */
static double number_of(const struct flo_gguf *gguf, const char *name)
{
    char key[64];
    uint32_t whole = UINT32_MAX;
    float real = NAN;

    snprintf(key, sizeof(key), "general.sampling.%s", name);
    if (flo_gguf_find(gguf, key) == NULL) {
        return (double)NAN;
    }
    if (flo_gguf_f32(gguf, key, &real, NULL) == 0) {
        return (double)real;
    }
    return flo_gguf_u32(gguf, key, &whole, NULL) == 0 ? (double)whole : (double)NAN;
}

/* Puts in a number that is in its range, unless --serve has set it. */
static bool put(const struct flo_gguf *gguf, const char *name, double scale, int64_t most,
                int64_t *out)
{
    double value = round(number_of(gguf, name) * scale);

    if (*out >= 0 || !(value >= 0 && value <= (double)most)) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

static bool take(const struct flo_gguf *gguf, struct flo_release_sampling *out)
{
    static const struct flo_release_sampling most = {
#define FLO_SAMPLING(name, max, meaning) .name = max,
#include "proto/sampling.def"
    };
    const struct {
        const char *name;
        double scale;
        int64_t most;
        int64_t *out;
    } rows[] = {
        {"temp", PPM, most.temperature_ppm, &out->temperature_ppm},
        {"top_p", PPM, most.top_p_ppm, &out->top_p_ppm},
        {"min_p", PPM, most.min_p_ppm, &out->min_p_ppm},
        {"top_k", 1, most.top_k, &out->top_k},
        {"penalty_repeat", PPM, most.repeat_penalty_ppm, &out->repeat_penalty_ppm},
    };
    bool has_any = false;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        has_any = put(gguf, rows[i].name, rows[i].scale, rows[i].most, rows[i].out) || has_any;
    }
    return has_any;
}

void flo_create_sampling(struct flo_create *create)
{
    struct flo_gguf *gguf = NULL;

    if (create->files[0].path != NULL &&
        flo_gguf_open_path(create->files[0].path, &gguf, NULL) == 0 &&
        take(gguf, &create->parts.serve.sampling)) {
        create->author.serve = &create->parts.serve;
    }
    flo_gguf_close(gguf);
}
