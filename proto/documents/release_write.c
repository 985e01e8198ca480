/* Release documents: writes their canonical text. */
#include <string.h>

#include <flotilla/proto.h>

#include "base/host/json.h"
#include "proto/serve.h"

static json_t *way_json(const struct flo_way *way)
{
    json_t *json = json_object();

    json_object_set_new(json, "codec", json_string(flo_codec_word(way->codec)));
    json_object_set_new(json, "digest", flo_json_digest(&way->digest));
    json_object_set_new(json, "bytes", flo_json_u64(way->bytes));
    if (!flo_digest_is_zero(&way->base)) {
        json_object_set_new(json, "base", flo_json_digest(&way->base));
    }
    flo_json_put_number(json, "memory_bytes", way->memory_bytes);
    if (!flo_digest_is_zero(&way->head)) {
        json_object_set_new(json, "head", flo_json_digest(&way->head));
    }
    return json;
}

static json_t *file_json(const struct flo_release_file *file)
{
    json_t *json = json_object();
    json_t *ways = json_array();

    json_object_set_new(json, "name", json_string(file->name));
    json_object_set_new(json, "role", json_string(file->role));
    json_object_set_new(json, "digest", flo_json_digest(&file->digest));
    json_object_set_new(json, "bytes", flo_json_u64(file->bytes));
    for (uint32_t i = 0; i < file->way_count; i++) {
        json_array_append_new(ways, way_json(&file->ways[i]));
    }
    json_object_set_new(json, "get", ways);
    if (strcmp(file->role, "adapter") == 0) {
        json_object_set_new(json, "scale_ppm", flo_json_u64(file->scale_ppm));
    }
    if (file->chunk_bytes > 0) {
        json_t *chunks = json_object();
        json_object_set_new(chunks, "bytes", flo_json_u64(file->chunk_bytes));
        json_object_set_new(chunks, "digest", flo_json_digest(&file->chunk_list));
        json_object_set_new(json, "chunks", chunks);
    }
    return json;
}

static json_t *words_json(const char (*words)[FLO_NEED_WORD_MAX + 1])
{
    json_t *list = json_array();

    for (size_t i = 0; i < FLO_NEED_WORDS_MAX && words[i][0] != '\0'; i++) {
        json_array_append_new(list, json_string(words[i]));
    }
    return list;
}

static json_t *needs_json(const struct flo_release_variant *variant)
{
    json_t *needs = json_object();

    if (!flo_release_is_native(variant)) {
        json_object_set_new(needs, "runtime", json_string(variant->runtime));
    }
#define FLO_RELEASE_WORDS(name, meaning)                                                           \
    flo_json_put_parts(needs, #name, words_json(variant->name));
#define FLO_RELEASE_NEED(name, type, most, key, meaning)                                           \
    flo_json_put_number(needs, #name, variant->name);
#include "proto/release.def"
    return needs;
}

static json_t *variant_json(const struct flo_release *release,
                            const struct flo_release_variant *variant)
{
    json_t *json = json_object();
    json_t *files = json_array();

    json_object_set_new(json, "name", json_string(variant->name));
    json_object_set_new(json, "needs", needs_json(variant));
    for (uint32_t i = 0; i < variant->file_count; i++) {
        json_array_append_new(files, json_string(release->files[variant->files[i]].name));
    }
    json_object_set_new(json, "files", files);
    if (variant->entry != FLO_RELEASE_NO_FILE) {
        json_object_set_new(json, "entry", json_string(release->files[variant->entry].name));
    }
    return json;
}

static json_t *probe_json(const struct flo_release *release)
{
    json_t *json = json_object();

    json_t *golden = json_array();
    for (uint32_t i = 0; i < release->golden_count; i++) {
        json_array_append_new(golden, json_string(release->files[release->golden[i]].name));
    }
    if (release->golden_count > 0) {
        json_object_set(json, "golden", golden);
    }
    json_decref(golden);
    if (release->probe_speed_ratio_max > 0) {
        json_object_set_new(json, "speed_ratio_max", json_real(release->probe_speed_ratio_max));
    }
    flo_json_put_number(json, "memory_bytes_max", release->probe_memory_bytes_max);
    return json;
}

static void put_base(json_t *root, const struct flo_release *release)
{
    if (!flo_digest_is_zero(&release->base)) {
        json_t *base = json_object();
        json_object_set_new(base, "release", flo_json_digest(&release->base));
        flo_json_put_number(base, "number", release->base_number);
        json_object_set_new(root, "base", base);
    }
}

int flo_release_write(const struct flo_release *release, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = json_object();
    json_t *variants = json_array();
    json_t *files = json_array();

    json_object_set_new(root, "v", json_integer(2));
    json_object_set_new(root, "fleet", json_string(release->fleet));
    json_object_set_new(root, "model", json_string(release->model));
    json_object_set_new(root, "version", json_string(release->version));
    json_object_set_new(root, "number", flo_json_u64(release->number));
    flo_json_put_number(root, "floor", release->floor);
#define FLO_RELEASE_TEXT(name, bytes, value, meaning)                                              \
    json_object_set_new(root, #name, json_string(release->name));
#include "proto/release.def"
    json_object_set_new(root, "created_at_ms", flo_json_u64(release->created_at_ms));
    for (uint32_t i = 0; i < release->variant_count; i++) {
        json_array_append_new(variants, variant_json(release, &release->variants[i]));
    }
    json_object_set_new(root, "variants", variants);
    for (uint32_t i = 0; i < release->file_count; i++) {
        json_array_append_new(files, file_json(&release->files[i]));
    }
    json_object_set_new(root, "files", files);
    json_object_set_new(root, "probe", probe_json(release));
    put_base(root, release);
    json_t *serve = flo_serve_json(&release->serve);
    if (serve != NULL) {
        json_object_set_new(root, "serve", serve);
    }
    size_t before = out->bytes;
    flo_json_dump_canonical(root, out);
    if (out->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release document");
    }
    if (out->bytes - before > FLO_RELEASE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "release document has %zu bytes, %d allowed",
                        out->bytes - before, FLO_RELEASE_BYTES_MAX);
    }
    return 0;
}
