/* The release document: canonical writing. */
#include <string.h>

#include <flotilla/proto.h>

#include "base/host/json.h"

static json_t *digest_json(const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];
    flo_digest_text(digest, text);
    return json_string(text);
}

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *words_json(const char (*words)[16])
{
    json_t *list = json_array();
    for (size_t i = 0; i < 4 && words[i][0] != '\0'; i++) {
        json_array_append_new(list, json_string(words[i]));
    }
    return list;
}

static json_t *way_json(const struct flo_way *way)
{
    json_t *json = json_object();

    json_object_set_new(json, "codec", json_string(flo_codec_word(way->codec)));
    json_object_set_new(json, "digest", digest_json(&way->digest));
    json_object_set_new(json, "bytes", integer(way->bytes));
    if (!flo_digest_is_zero(&way->base)) {
        json_object_set_new(json, "base", digest_json(&way->base));
    }
    if (way->memory_bytes > 0) {
        json_object_set_new(json, "memory_bytes", integer(way->memory_bytes));
    }
    return json;
}

static json_t *file_json(const struct flo_release *release,
                         const struct flo_release_file *file)
{
    json_t *json = json_object();
    json_t *ways = json_array();

    json_object_set_new(json, "name", json_string(file->name));
    json_object_set_new(json, "role", json_string(file->role));
    json_object_set_new(json, "digest", digest_json(&file->digest));
    json_object_set_new(json, "bytes", integer(file->bytes));
    for (uint32_t i = 0; i < file->way_count; i++) {
        json_array_append_new(ways, way_json(&file->ways[i]));
    }
    json_object_set_new(json, "get", ways);
    if (file->chunk_bytes > 0) {
        json_t *chunks = json_array();
        for (uint32_t i = 0; i < file->chunk_count; i++) {
            char hex[2 * FLO_DIGEST_BYTES + 1];
            flo_hex_encode(release->chunks[file->chunk_first + i].bytes,
                           FLO_DIGEST_BYTES, hex);
            json_array_append_new(chunks, json_string(hex));
        }
        json_object_set_new(json, "chunk_bytes", integer(file->chunk_bytes));
        json_object_set_new(json, "chunks", chunks);
    }
    return json;
}

static json_t *variant_json(const struct flo_release *release,
                            const struct flo_release_variant *variant)
{
    json_t *json = json_object();
    json_t *needs = json_object();
    json_t *files = json_array();

    json_object_set_new(json, "name", json_string(variant->name));
    if (variant->arch[0][0] != '\0') {
        json_object_set_new(needs, "arch", words_json(variant->arch));
    }
    if (variant->engine[0][0] != '\0') {
        json_object_set_new(needs, "engine", words_json(variant->engine));
    }
    if (variant->memory_bytes > 0) {
        json_object_set_new(needs, "memory_bytes",
                            integer(variant->memory_bytes));
    }
    if (variant->disk_bytes > 0) {
        json_object_set_new(needs, "disk_bytes", integer(variant->disk_bytes));
    }
    if (variant->context > 0) {
        json_object_set_new(needs, "context", integer(variant->context));
    }
    json_object_set_new(json, "needs", needs);
    for (uint32_t i = 0; i < variant->file_count; i++) {
        json_array_append_new(
            files, json_string(release->files[variant->files[i]].name));
    }
    json_object_set_new(json, "files", files);
    return json;
}

static json_t *probe_json(const struct flo_release *release)
{
    json_t *json = json_object();

    if (release->probe_golden[0] != '\0') {
        json_object_set_new(json, "golden", json_string(release->probe_golden));
    }
    if (release->probe_speed_ratio_max > 0) {
        json_object_set_new(json, "speed_ratio_max",
                            json_real(release->probe_speed_ratio_max));
    }
    if (release->probe_memory_bytes_max > 0) {
        json_object_set_new(json, "memory_bytes_max",
                            integer(release->probe_memory_bytes_max));
    }
    return json;
}

int flo_release_write(const struct flo_release *release, struct flo_buf *out,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = json_object();
    json_t *variants = json_array();
    json_t *files = json_array();

    json_object_set_new(root, "v", json_integer(1));
    json_object_set_new(root, "fleet", json_string(release->fleet));
    json_object_set_new(root, "model", json_string(release->model));
    json_object_set_new(root, "version", json_string(release->version));
    json_object_set_new(root, "number", integer(release->number));
    json_object_set_new(root, "label", json_string(release->label));
    json_object_set_new(root, "license", json_string(release->license));
    json_object_set_new(root, "created_at_ms", integer(release->created_at_ms));
    for (uint32_t i = 0; i < release->variant_count; i++) {
        json_array_append_new(variants,
                              variant_json(release, &release->variants[i]));
    }
    json_object_set_new(root, "variants", variants);
    for (uint32_t i = 0; i < release->file_count; i++) {
        json_array_append_new(files, file_json(release, &release->files[i]));
    }
    json_object_set_new(root, "files", files);
    json_object_set_new(root, "probe", probe_json(release));
    size_t before = out->bytes;
    flo_json_dump_canonical(root, out);
    if (out->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release document");
    }
    if (out->bytes - before > FLO_RELEASE_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "release document has %zu bytes, %d allowed",
                        out->bytes - before, FLO_RELEASE_BYTES_MAX);
    }
    return 0;
}
