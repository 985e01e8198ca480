#include <flotilla/newest.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>

#include "base/host/digest.h"
#include "base/host/json.h"

/* Marks that keep a leaf from passing for an inner node. */
#define LEAF 0
#define NODE 1
#define BUNDLE 2

int flo_newest_parse(const char *body, size_t bytes, const char *fleet, struct flo_newest *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    struct flo_newest read = {.number = 0};
    const char *found;
    uint64_t v;

    FLO_TRY(flo_json_parse(body, bytes, FLO_NEWEST_BYTES_MAX, &root, err));
    FLO_TRY(flo_json_check_critical(root, NULL, err));
    FLO_TRY(flo_json_get_u64(root, "v", 1, 1, &v, err));
    FLO_TRY(flo_json_get_name(root, "fleet", &found, err));
    if (fleet != NULL && strcmp(found, fleet) != 0) {
        return flo_fail(err, FLO_E_META_FLEET, "it is for fleet %s, this is fleet %s", found,
                        fleet);
    }
    strcpy(read.fleet, found);
#define FLO_NEWEST(name, least, most, meaning)                                                     \
    FLO_TRY(flo_json_get_u64(root, #name, least, most, &read.name, err));
#include "proto/newest.def"
    FLO_TRY(flo_json_get_digest(root, "root", &read.root, err));
    *out = read;
    return 0;
}

void flo_newest_write(const struct flo_newest *newest, struct flo_buf *out)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *root = json_pack("{s:i, s:s}", "v", 1, "fleet", newest->fleet);

#define FLO_NEWEST(name, least, most, meaning) flo_json_set_number(root, #name, newest->name);
#include "proto/newest.def"
    json_object_set_new(root, "root", flo_json_digest(&newest->root));
    flo_json_dump_canonical(root, out);
}

/* ---- leaves ---- */

static void add(const json_t *order, struct flo_buf *text)
{
    if (json_is_object(order)) {
        flo_json_dump_canonical(order, text);
        flo_buf_text(text, "\n");
    }
}

void flo_newest_desired(const json_t *desired, struct flo_digest *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const json_t *assignments = json_object_get(desired, "assignments");
    const json_t *statements = json_object_get(desired, "statements");

    add(json_object_get(desired, "groups"), &text);
    for (size_t i = 0; i < json_array_size(assignments); i++) {
        add(json_object_get(json_array_get(assignments, i), "order"), &text);
    }
    for (size_t i = 0; i < json_array_size(statements); i++) {
        add(json_array_get(statements, i), &text);
    }
    flo_sha256(text.data, text.bytes, out);
}

static void hash(uint8_t mark, const void *a, size_t a_bytes, const struct flo_digest *b,
                 struct flo_digest *out)
{
    uint8_t text[1 + FLO_NAME_MAX + sizeof(*b)] = {mark};

    assert(a_bytes <= FLO_NAME_MAX);
    memcpy(text + 1, a, a_bytes);
    memcpy(text + 1 + a_bytes, b->bytes, sizeof(b->bytes));
    flo_sha256(text, 1 + a_bytes + sizeof(b->bytes), out);
}

void flo_newest_leaf(const char *device, const struct flo_digest *desired, struct flo_digest *out)
{
    hash(LEAF, device, strlen(device), desired, out);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct flo_digest));
}

int flo_newest_bundle(const json_t *releases, struct flo_digest *out, struct flo_err *err)
{
    uint8_t text[1 + FLO_NEWEST_RELEASES_MAX * sizeof(*out)] = {BUNDLE};
    size_t count = json_array_size(releases);

    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(releases, i));
        if (i == FLO_NEWEST_RELEASES_MAX || id == NULL || !flo_digest_parse(id, out)) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `releases`: %zu are not at most %d ids",
                            count, FLO_NEWEST_RELEASES_MAX);
        }
        memcpy(text + 1 + i * sizeof(*out), out, sizeof(*out));
    }
    qsort(text + 1, count, sizeof(*out), compare);
    flo_sha256(text, 1 + count * sizeof(*out), out);
    return 0;
}

/* ---- the tree ---- */

static void join(const struct flo_digest *left, const struct flo_digest *right,
                 struct flo_digest *out)
{
    hash(NODE, left->bytes, sizeof(left->bytes), right, out);
}

void flo_newest_root(const struct flo_digest *leaf, const struct flo_newest_path *path,
                     struct flo_digest *out)
{
    struct flo_digest node = *leaf;

    for (uint32_t i = 0; i < path->count; i++) {
        bool is_right = (path->sides >> i & 1) != 0;
        join(is_right ? &path->hashes[i] : &node, is_right ? &node : &path->hashes[i], &node);
    }
    *out = node;
}

void flo_newest_tree(struct flo_digest *nodes, size_t leaves)
{
    for (size_t at = leaves; at-- > 1;) {
        join(&nodes[2 * at], &nodes[2 * at + 1], &nodes[at]);
    }
}

void flo_newest_path(const struct flo_digest *nodes, size_t leaves, size_t index,
                     struct flo_newest_path *out)
{
    assert(index < leaves);
    *out = (struct flo_newest_path){.count = 0};
    for (size_t at = leaves + index; at > 1; at /= 2) {
        out->sides |= (uint64_t)(at & 1) << out->count;
        out->hashes[out->count++] = nodes[at ^ 1];
    }
}

/* ---- a path's text ---- */

int flo_newest_path_read(const json_t *json, struct flo_newest_path *out, struct flo_err *err)
{
    struct flo_newest_path path = {.count = 0};
    uint8_t raw[FLO_NEWEST_HASHES_TEXT / 4 * 3];
    const char *text;

    FLO_TRY(flo_json_get_u64(json, "sides", 0, UINT64_MAX >> (64 - FLO_NEWEST_PATH_MAX),
                             &path.sides, err));
    FLO_TRY(flo_json_get_text(json, "hashes", FLO_NEWEST_HASHES_TEXT, &text, err));
    ptrdiff_t bytes = flo_base64_decode(text, strlen(text), raw);
    if (bytes < 0 || (size_t)bytes % sizeof(struct flo_digest) != 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `hashes`: %zu characters are no list of hashes", strlen(text));
    }
    path.count = (uint32_t)((size_t)bytes / sizeof(struct flo_digest));
    memcpy(path.hashes, raw, (size_t)bytes);
    *out = path;
    return 0;
}

void flo_newest_path_write(const struct flo_newest_path *path, struct flo_buf *out)
{
    char text[FLO_NEWEST_HASHES_TEXT + 1];

    flo_base64_encode(path->hashes, path->count * sizeof(path->hashes[0]), text);
    flo_buf_printf(out, "{\"sides\":%llu,\"hashes\":\"%s\"}", (unsigned long long)path->sides,
                   text);
}
