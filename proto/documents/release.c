/* The release document: strict reading into plain structs.
 *
 * Format: docs/internals/contracts.md section 2.1. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "base/host/json.h"

#define BYTES_MAX (UINT64_C(1) << 44) /* of one artifact */

static int read_way(const json_t *json, struct flo_way *out,
                    struct flo_err *err)
{
    const char *word;
    int rv = flo_json_get_text(json, "codec", 32, &word, err);

    if (rv < 0) {
        return rv;
    }
    if (!flo_codec_parse(word, &out->codec)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `codec`: `%s` is none",
                        word);
    }
    rv = flo_json_get_digest(json, "digest", &out->digest, err);
    if (rv == 0) {
        rv = flo_json_get_u64(json, "bytes", 1, BYTES_MAX, &out->bytes, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_digest(json, "base", &out->base, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_u64(json, "memory_bytes", 0, BYTES_MAX, 0,
                              &out->memory_bytes, err);
    }
    if (rv == 0 && out->codec == FLO_CODEC_BSDIFF40 &&
        flo_digest_is_zero(&out->base)) {
        rv = flo_fail(err, FLO_E_META_SCHEMA,
                      "field `base`: a bsdiff40 way needs one");
    }
    return rv;
}

static int read_ways(const json_t *json, struct flo_release_file *out,
                     struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(json, "get", FLO_RELEASE_WAYS_MAX, &list, err);

    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        /* A codec of a newer publisher is skipped, not refused: there may be
         * another way. */
        const char *word = json_string_value(
            json_object_get(json_array_get(list, i), "codec"));
        enum flo_codec known;
        if (word != NULL && !flo_codec_parse(word, &known)) {
            continue;
        }
        rv = read_way(json_array_get(list, i), &out->ways[out->way_count], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "get[%zu]", i);
        }
        out->way_count++;
    }
    if (out->way_count == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `get`: no way that this version knows");
    }
    return 0;
}

static int read_chunks(const json_t *json, struct flo_release *release,
                       struct flo_release_file *out, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_opt_u64(json, "chunk_bytes", 65536, 8 << 20, 0,
                              &out->chunk_bytes, err);

    if (rv == 0) {
        rv = flo_json_opt_array(json, "chunks", FLO_RELEASE_CHUNKS_MAX, &list,
                                err);
    }
    if (rv < 0 || list == NULL || out->chunk_bytes == 0) {
        out->chunk_bytes = 0;
        return rv;
    }
    size_t count = json_array_size(list);
    if ((out->bytes + out->chunk_bytes - 1) / out->chunk_bytes != count) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `chunks`: %zu do not cover %llu bytes", count,
                        (unsigned long long)out->bytes);
    }
    struct flo_digest *grown =
        realloc(release->chunks,
                (release->chunk_count + count) * sizeof(release->chunks[0]));
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu chunks", count);
    }
    release->chunks = grown;
    out->chunk_first = release->chunk_count;
    for (size_t i = 0; i < count; i++) {
        const char *hex = json_string_value(json_array_get(list, i));
        if (hex == NULL ||
            !flo_hex_decode(hex, grown[release->chunk_count].bytes,
                            FLO_DIGEST_BYTES)) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "chunks[%zu] is not 64 lower-case hex digits", i);
        }
        release->chunk_count++;
    }
    out->chunk_count = (uint32_t)count;
    return 0;
}

static int read_file(const json_t *json, struct flo_release *release,
                     struct flo_release_file *out, struct flo_err *err)
{
    const char *name;
    const char *role;
    int rv = flo_json_get_name(json, "name", &name, err);

    if (rv == 0) {
        rv = flo_json_get_text(json, "role", sizeof(out->role) - 1, &role, err);
    }
    if (rv < 0) {
        return rv;
    }
    if (flo_release_find(release, name) != NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "file `%s` stands twice", name);
    }
    strcpy(out->name, name);
    strcpy(out->role, role);
    rv = flo_json_get_digest(json, "digest", &out->digest, err);
    if (rv == 0) {
        rv = flo_json_get_u64(json, "bytes", 1, BYTES_MAX, &out->bytes, err);
    }
    if (rv == 0) {
        rv = read_ways(json, out, err);
    }
    if (rv == 0) {
        rv = read_chunks(json, release, out, err);
    }
    return rv;
}

static int read_files(const json_t *root, struct flo_release *out,
                      struct flo_err *err)
{
    json_t *list;
    int rv =
        flo_json_get_array(root, "files", FLO_RELEASE_FILES_MAX, &list, err);

    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        rv = read_file(json_array_get(list, i), out, &out->files[i], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "files[%zu]", i);
        }
        out->file_count++;
    }
    return 0;
}

/* An optional array of at most four short words. */
static int read_words(const json_t *json, const char *key, char (*out)[16],
                      struct flo_err *err)
{
    json_t *list = NULL;
    int rv = json != NULL ? flo_json_opt_array(json, key, 4, &list, err) : 0;

    for (size_t i = 0; rv == 0 && list != NULL && i < json_array_size(list);
         i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word == NULL || strlen(word) > 15 || !flo_name_is_valid(word)) {
            rv = flo_fail(err, FLO_E_META_SCHEMA,
                          "field `%s[%zu]` is not a short word", key, i);
        } else {
            strcpy(out[i], word);
        }
    }
    return rv;
}

static int read_variant_files(const json_t *json,
                              const struct flo_release *release,
                              struct flo_release_variant *out,
                              struct flo_err *err)
{
    json_t *list;
    int rv =
        flo_json_get_array(json, "files", FLO_RELEASE_FILES_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        const struct flo_release_file *file =
            name != NULL ? flo_release_find(release, name) : NULL;
        if (file == NULL) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "files[%zu]: no file of that name", i);
        }
        out->files[out->file_count++] = (uint8_t)(file - release->files);
    }
    if (rv == 0 && flo_release_variant_file(release, out, "model") == NULL) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "no file of role `model`");
    }
    return rv;
}

static int read_variant(const json_t *json, const struct flo_release *release,
                        struct flo_release_variant *out, struct flo_err *err)
{
    const char *name;
    json_t *needs;
    uint64_t context = 0;
    int rv = flo_json_get_name(json, "name", &name, err);

    if (rv == 0) {
        strcpy(out->name, name);
        rv = flo_json_opt_object(json, "needs", &needs, err);
    }
    if (rv == 0) {
        rv = read_words(needs, "arch", out->arch, err);
    }
    if (rv == 0) {
        rv = read_words(needs, "engine", out->engine, err);
    }
    if (rv == 0 && needs != NULL) {
        rv = flo_json_opt_u64(needs, "memory_bytes", 0, BYTES_MAX, 0,
                              &out->memory_bytes, err);
    }
    if (rv == 0 && needs != NULL) {
        rv = flo_json_opt_u64(needs, "disk_bytes", 0, BYTES_MAX, 0,
                              &out->disk_bytes, err);
    }
    if (rv == 0 && needs != NULL) {
        rv = flo_json_opt_u64(needs, "context", 0, 1 << 20, 0, &context, err);
    }
    out->context = (uint32_t)context;
    return rv < 0 ? rv : read_variant_files(json, release, out, err);
}

static int read_variants(const json_t *root, struct flo_release *out,
                         struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(root, "variants", FLO_RELEASE_VARIANTS_MAX,
                                &list, err);

    if (rv < 0) {
        return rv;
    }
    if (json_array_size(list) == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `variants` is empty");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        rv = read_variant(json_array_get(list, i), out, &out->variants[i], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "variants[%zu]", i);
        }
        out->variant_count++;
    }
    return 0;
}

static int read_probe(const json_t *root, struct flo_release *out,
                      struct flo_err *err)
{
    json_t *probe;
    const char *golden = "";
    int rv = flo_json_opt_object(root, "probe", &probe, err);

    if (rv < 0 || probe == NULL) {
        return rv;
    }
    rv = flo_json_opt_name(probe, "golden", "", &golden, err);
    if (rv == 0 && golden[0] != '\0' && flo_release_find(out, golden) == NULL) {
        rv = flo_fail(err, FLO_E_META_SCHEMA,
                      "field `probe.golden`: no file `%s`", golden);
    }
    if (rv == 0) {
        strcpy(out->probe_golden, golden);
        rv = flo_json_opt_real(probe, "speed_ratio_max", 0, 1000, 0,
                               &out->probe_speed_ratio_max, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_u64(probe, "memory_bytes_max", 0, BYTES_MAX, 0,
                              &out->probe_memory_bytes_max, err);
    }
    return rv;
}

static int read_head(const json_t *root, struct flo_release *out,
                     struct flo_err *err)
{
    const char *fleet = "";
    const char *model = "";
    const char *version = "";
    const char *label = "";
    const char *license = "";
    uint64_t v;
    int rv = flo_json_check_critical(root, err);

    if (rv == 0) {
        rv = flo_json_get_u64(root, "v", 1, 1, &v, err);
    }
    if (rv == 0) {
        rv = flo_json_get_name(root, "fleet", &fleet, err);
    }
    if (rv == 0) {
        rv = flo_json_get_name(root, "model", &model, err);
    }
    if (rv == 0) {
        rv = flo_json_get_name(root, "version", &version, err);
    }
    if (rv == 0) {
        rv = flo_json_get_u64(root, "number", 1, INT64_MAX, &out->number, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_text(root, "label", sizeof(out->label) - 1, "",
                               &label, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_text(root, "license", sizeof(out->license) - 1, "",
                               &license, err);
    }
    if (rv == 0) {
        rv = flo_json_opt_u64(root, "created_at_ms", 0, INT64_MAX, 0,
                              &out->created_at_ms, err);
    }
    if (rv == 0) {
        strcpy(out->fleet, fleet);
        strcpy(out->model, model);
        strcpy(out->version, version);
        strcpy(out->label, label);
        strcpy(out->license, license);
    }
    return rv;
}

int flo_release_parse(const char *body, size_t bytes, const char *fleet,
                      struct flo_release *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    struct flo_release parsed = {0};
    int rv = flo_json_parse(body, bytes, FLO_RELEASE_BYTES_MAX, &root, err);

    if (rv == 0) {
        rv = read_head(root, &parsed, err);
    }
    if (rv == 0 && fleet != NULL && strcmp(fleet, parsed.fleet) != 0) {
        rv = flo_fail(err, FLO_E_META_FLEET,
                      "release is for fleet `%s`, this is `%s`", parsed.fleet,
                      fleet);
    }
    if (rv == 0) {
        rv = read_files(root, &parsed, err);
    }
    if (rv == 0) {
        rv = read_variants(root, &parsed, err);
    }
    if (rv == 0) {
        rv = read_probe(root, &parsed, err);
    }
    if (rv < 0) {
        flo_release_deinit(&parsed);
        return flo_wrap(err, rv, "release document");
    }
    *out = parsed;
    return 0;
}

void flo_release_deinit(struct flo_release *release)
{
    free(release->chunks);
    release->chunks = NULL;
    release->chunk_count = 0;
}

const struct flo_release_file *
flo_release_find(const struct flo_release *release, const char *name)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].name, name) == 0) {
            return &release->files[i];
        }
    }
    return NULL;
}

const struct flo_release_file *
flo_release_variant_file(const struct flo_release *release,
                         const struct flo_release_variant *variant,
                         const char *role)
{
    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file =
            &release->files[variant->files[i]];
        if (strcmp(file->role, role) == 0) {
            return file;
        }
    }
    return NULL;
}

const struct flo_way *flo_release_full_way(const struct flo_release_file *file)
{
    const struct flo_way *best = NULL;

    for (uint32_t i = 0; i < file->way_count; i++) {
        const struct flo_way *way = &file->ways[i];
        if (flo_digest_is_zero(&way->base) &&
            (best == NULL || way->bytes < best->bytes)) {
            best = way;
        }
    }
    return best;
}

void flo_release_title(const struct flo_release *release, char *out)
{
    snprintf(out, 2 * FLO_NAME_MAX + 2, "%s@%s", release->model,
             release->version);
}

int flo_release_title_parse(const char *text, char *model, char *version,
                            struct flo_err *err)
{
    const char *at = strchr(text, '@');
    char name[FLO_NAME_MAX + 1];

    if (at == NULL || at - text > FLO_NAME_MAX) {
        return flo_fail(err, FLO_E_META_NAME,
                        "`%.80s` is no release name (model@version)", text);
    }
    memcpy(name, text, (size_t)(at - text));
    name[at - text] = '\0';
    if (!flo_name_is_valid(name) || !flo_name_is_valid(at + 1)) {
        return flo_fail(err, FLO_E_META_NAME,
                        "`%.140s` is no release name (model@version)", text);
    }
    strcpy(model, name);
    strcpy(version, at + 1);
    return 0;
}
