/* Serving options of a release, which are in its document: context, sessions,
 * cache, system prompt, sampling. */
#include "proto/serve.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT_MAX (1 << 20)
#define CONFIG_BYTES_MAX (64 * 1024)

static const char *const CACHES[] = {"f16", "f32", "q8_0", "q4_0"};

void flo_release_serve_init(struct flo_release_serve *serve)
{
    *serve = (struct flo_release_serve){.sampling = {
#define FLO_SAMPLING(name, max, meaning) .name = -1,
#include "proto/sampling.def"
                                        }};
}

void flo_release_serve_deinit(struct flo_release_serve *serve)
{
    free(serve->system);
    serve->system = NULL;
}

static int read_cache(const json_t *json, struct flo_release_serve *serve, struct flo_err *err)
{
    const char *cache;

    FLO_TRY(flo_json_opt_text(json, "cache", sizeof(serve->cache) - 1, serve->cache, &cache, err));
    if (cache == serve->cache) {
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(CACHES); i++) {
        if (strcmp(CACHES[i], cache) == 0) {
            strcpy(serve->cache, cache);
            return 0;
        }
    }
    return flo_fail(err, FLO_E_META_SCHEMA, "field `cache`: `%s` is none of f16 f32 q8_0 q4_0",
                    cache);
}

static int read_system(const json_t *json, struct flo_release_serve *serve, struct flo_err *err)
{
    const char *system;

    FLO_TRY(flo_json_opt_text(json, "system", FLO_SERVE_SYSTEM_BYTES_MAX, NULL, &system, err));
    if (system == NULL) {
        return 0;
    }
    char *copy = strdup(system);
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a prompt");
    }
    free(serve->system);
    serve->system = copy;
    return 0;
}

static int read_sampling(const json_t *json, struct flo_release_sampling *out, struct flo_err *err)
{
    json_t *sampling;
    uint64_t value;
    int rv = flo_json_opt_object(json, "sampling", &sampling, err);

    FLO_TRY(rv);
    if (sampling == NULL) {
        return 0;
    }
#define FLO_SAMPLING(name, max, meaning)                                                           \
    if (rv == 0 && json_object_get(sampling, #name) != NULL) {                                     \
        rv = flo_json_get_u64(sampling, #name, 0, max, &value, err);                               \
        out->name = rv == 0 ? (int64_t)value : out->name;                                          \
    }
#include "proto/sampling.def"
    return rv < 0 ? flo_wrap(err, rv, "field `sampling`") : 0;
}

static int read_split(const json_t *json, struct flo_release_serve *serve, struct flo_err *err)
{
    json_t *split;
    const char *model;
    uint64_t pct;

    FLO_TRY(flo_json_opt_object(json, "split_of", &split, err));
    if (split == NULL) {
        return 0;
    }
    int rv = flo_json_get_name(split, "model", &model, err);
    if (rv == 0) {
        rv = flo_json_get_u64(split, "pct", 1, FLO_SPLIT_PCT_MAX, &pct, err);
    }
    if (rv == 0) {
        snprintf(serve->split_of, sizeof(serve->split_of), "%s", model);
        serve->split_pct = (uint32_t)pct;
    }
    return rv < 0 ? flo_wrap(err, rv, "field `split_of`") : 0;
}

static int read_fields(const json_t *json, struct flo_release_serve *serve, struct flo_err *err)
{
    uint64_t context;
    uint64_t sessions;

    FLO_TRY(flo_json_opt_u64(json, "context", 0, CONTEXT_MAX, serve->context, &context, err));
    FLO_TRY(flo_json_opt_u64(json, "sessions", 0, FLO_SERVE_SESSIONS_MAX, serve->sessions,
                             &sessions, err));
    serve->context = (uint32_t)context;
    serve->sessions = (uint32_t)sessions;
    FLO_TRY(read_cache(json, serve, err));
    FLO_TRY(read_system(json, serve, err));
    FLO_TRY(read_split(json, serve, err));
    return read_sampling(json, &serve->sampling, err);
}

int flo_serve_read(const json_t *json, struct flo_release_serve *serve, struct flo_err *err)
{
    if (json == NULL || json_is_null(json)) {
        return 0;
    }
    return json_is_object(json) ? read_fields(json, serve, err)
                                : flo_fail(err, FLO_E_META_SCHEMA, "it is no object");
}

int flo_release_serve_parse(const char *text, size_t bytes, struct flo_release_serve *serve,
                            struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;

    FLO_TRY(flo_json_parse(text, bytes, CONFIG_BYTES_MAX, &root, err));
    FLO_TRY(flo_json_check_critical(root, NULL, err));
    return flo_serve_read(root, serve, err);
}

json_t *flo_serve_json(const struct flo_release_serve *serve)
{
    json_t *json = json_object();
    json_t *sampling = json_object();

#define FLO_SAMPLING(name, max, meaning)                                                           \
    if (serve->sampling.name >= 0) {                                                               \
        flo_json_set_number(sampling, #name, (uint64_t)serve->sampling.name);                      \
    }
#include "proto/sampling.def"
    flo_json_put_number(json, "context", serve->context);
    flo_json_put_number(json, "sessions", serve->sessions);
    flo_json_put_text(json, "cache", serve->cache);
    if (serve->system != NULL) {
        json_object_set_new(json, "system", json_string(serve->system));
    }
    if (serve->split_pct > 0) {
        json_object_set_new(
            json, "split_of",
            json_pack("{s:s,s:i}", "model", serve->split_of, "pct", (int)serve->split_pct));
    }
    flo_json_put_parts(json, "sampling", sampling);
    if (json_object_size(json) == 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}
