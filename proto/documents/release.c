/* Release documents: parses them strictly into plain structs.
 *
 * Format: docs/internals/contracts/documents.md section 2.1. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/proto.h>

#include "base/host/json.h"
#include "proto/serve.h"

#define BYTES_MAX (UINT64_C(1) << 44)         /* largest size of a file, or of a variant */
#define NUMBER_MAX UINT64_C(9007199254740991) /* 2^53 - 1 */
#define CHUNK_BYTES_MIN 65536
#define CHUNK_BYTES_MAX (8 << 20)

/* State of the reader of one document. */
struct release {
    struct flo_release *out;
    bool is_first; /* true: version 1, with chunk hashes inline and one golden file */
};

static int read_way(const json_t *json, struct flo_way *out, struct flo_err *err)
{
    const char *word;

    FLO_TRY(flo_json_get_text(json, "codec", 32, &word, err));
    if (!flo_codec_parse(word, &out->codec)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `codec`: `%s` is none", word);
    }
    FLO_TRY(flo_json_get_digest(json, "digest", &out->digest, err));
    FLO_TRY(flo_json_get_u64(json, "bytes", 1, BYTES_MAX, &out->bytes, err));
    FLO_TRY(flo_json_opt_digest(json, "base", &out->base, err));
    FLO_TRY(flo_json_opt_u64(json, "memory_bytes", 0, BYTES_MAX, 0, &out->memory_bytes, err));
    FLO_TRY(flo_json_opt_digest(json, "head", &out->head, err));
    if (out->codec == FLO_CODEC_BSDIFF40 && flo_digest_is_zero(&out->base)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `base`: a bsdiff40 way needs one");
    }
    return 0;
}

static int read_ways(const json_t *json, struct flo_release_file *out, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(json, "get", FLO_RELEASE_WAYS_MAX, &list, err);

    FLO_TRY(rv);
    for (size_t i = 0; i < json_array_size(list); i++) {
        /* A way to get the file whose codec this version does not know is
         * skipped, because the file may have other ways. */
        const char *word = json_string_value(json_object_get(json_array_get(list, i), "codec"));
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
        return flo_fail(err, FLO_E_META_SCHEMA, "field `get`: no way that this version knows");
    }
    return 0;
}

/* Reads the chunk hashes of a file.  The inline hashes of version 1 are
 * ignored: the file's own digest proves as much, but damage then costs the
 * whole file. */
static int read_chunks(const json_t *json, struct flo_release *release,
                       struct flo_release_file *out, struct flo_err *err)
{
    json_t *chunks;

    if (release->is_first) {
        return 0;
    }
    FLO_TRY(flo_json_opt_object(json, "chunks", &chunks, err));
    if (chunks == NULL) {
        return 0;
    }
    int rv =
        flo_json_get_u64(chunks, "bytes", CHUNK_BYTES_MIN, CHUNK_BYTES_MAX, &out->chunk_bytes, err);
    if (rv == 0) {
        rv = flo_json_get_digest(chunks, "digest", &out->chunk_list, err);
    }
    if (rv == 0 && (out->bytes - 1) / out->chunk_bytes >= FLO_RELEASE_CHUNKS_MAX) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "%llu bytes are more than %d chunks of %llu",
                      (unsigned long long)out->bytes, FLO_RELEASE_CHUNKS_MAX,
                      (unsigned long long)out->chunk_bytes);
    }
    return rv < 0 ? flo_wrap(err, rv, "field `chunks`") : 0;
}

uint32_t flo_release_chunks(const struct flo_release_file *file)
{
    return file->chunk_bytes == 0
               ? 0
               : (uint32_t)((file->bytes + file->chunk_bytes - 1) / file->chunk_bytes);
}

/* ---- names of files ---- */

static bool is_part_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Returns the length of the part of `name` before the first slash, or 0 when
 * that part is invalid. */
static size_t part_of(const char *name)
{
    size_t i = 1;

    if (!is_part_character(name[0])) {
        return 0;
    }
    while (is_part_character(name[i]) || name[i] == '.' || name[i] == '-') {
        i++;
    }
    return name[i] == '/' || name[i] == '\0' ? i : 0;
}

bool flo_release_name_is_valid(const char *name)
{
    int parts = 0;

    if (name == NULL || strlen(name) > FLO_FILE_NAME_MAX) {
        return false;
    }
    for (;;) {
        size_t chars = part_of(name);
        if (chars == 0 || ++parts > FLO_FILE_NAME_PARTS_MAX) {
            return false;
        }
        if (name[chars] == '\0') {
            return true;
        }
        name += chars + 1;
    }
}

/* Tells whether two names collide: they are equal, or one is a folder of the
 * other. */
static bool are_in_the_way(const char *a, const char *b)
{
    size_t chars = 0;

    while (a[chars] != '\0' && a[chars] == b[chars]) {
        chars++;
    }
    return (a[chars] == '\0' && (b[chars] == '\0' || b[chars] == '/')) ||
           (b[chars] == '\0' && a[chars] == '/');
}

static int check_name(const struct flo_release *release, const char *name, struct flo_err *err)
{
    if (!flo_release_name_is_valid(name)) {
        return flo_fail(err, FLO_E_META_NAME,
                        "field `name`: `%.140s` is no name of a file (%d bytes "
                        "in %d parts of letters, digits and `._-`)",
                        name, FLO_FILE_NAME_MAX, FLO_FILE_NAME_PARTS_MAX);
    }
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (are_in_the_way(release->files[i].name, name)) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "file `%s` stands twice, or `%s` is a folder of it", name,
                            release->files[i].name);
        }
    }
    return 0;
}

/* ---- files ---- */

static int read_scale(const json_t *json, struct flo_release_file *out, struct flo_err *err)
{
    uint64_t scale = 0;
    int rv = 0;

    if (strcmp(out->role, "adapter") == 0) {
        rv = flo_json_opt_u64(json, "scale_ppm", 0, FLO_SCALE_PPM_MAX, FLO_SCALE_PPM, &scale, err);
    }
    out->scale_ppm = (uint32_t)scale;
    return rv;
}

static int read_file(const json_t *json, struct flo_release *release, struct flo_release_file *out,
                     struct flo_err *err)
{
    const char *name;
    const char *role;

    FLO_TRY(flo_json_get_text(json, "name", 4096, &name, err));
    FLO_TRY(flo_json_get_text(json, "role", sizeof(out->role) - 1, &role, err));
    FLO_TRY(check_name(release, name, err));
    if (!flo_name_is_valid(role)) {
        return flo_fail(err, FLO_E_META_NAME, "field `role`: `%s` is no word", role);
    }
    strcpy(out->name, name);
    strcpy(out->role, role);
    FLO_TRY(flo_json_get_digest(json, "digest", &out->digest, err));
    FLO_TRY(flo_json_get_u64(json, "bytes", 1, BYTES_MAX, &out->bytes, err));
    FLO_TRY(read_scale(json, out, err));
    FLO_TRY(read_ways(json, out, err));
    return read_chunks(json, release, out, err);
}

static int read_files(const json_t *root, struct flo_release *release, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(root, "files", FLO_RELEASE_FILES_MAX, &list, err);

    for (size_t i = 0; rv == 0 && i < json_array_size(list); i++) {
        rv = read_file(json_array_get(list, i), release, &release->files[i], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "files[%zu]", i);
        }
        release->file_count++;
    }
    return rv;
}

static int index_of(const struct flo_release *release, const char *name, uint8_t *out,
                    struct flo_err *err)
{
    const struct flo_release_file *file = name != NULL ? flo_release_find(release, name) : NULL;

    if (file == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "no file of that name");
    }
    *out = (uint8_t)(file - release->files);
    return 0;
}

/* ---- variants ---- */

/* Reads an optional array of a few short words. */
static int read_words(const json_t *json, const char *key, char (*out)[FLO_NEED_WORD_MAX + 1],
                      struct flo_err *err)
{
    json_t *list;

    FLO_TRY(flo_json_opt_array(json, key, FLO_NEED_WORDS_MAX, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word == NULL || strlen(word) > FLO_NEED_WORD_MAX || !flo_name_is_valid(word)) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `%s[%zu]` is not a short word", key, i);
        }
        strcpy(out[i], word);
    }
    return 0;
}

static int read_runtime(const json_t *needs, struct flo_release_variant *out, struct flo_err *err)
{
    const char *runtime;

    FLO_TRY(flo_json_opt_name(needs, "runtime", FLO_RUNTIME_NATIVE, &runtime, err));
    if (strlen(runtime) >= sizeof(out->runtime)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `runtime` has more than %zu bytes",
                        sizeof(out->runtime) - 1);
    }
    strcpy(out->runtime, runtime);
    return 0;
}

static int read_needs(const json_t *json, struct flo_release_variant *out, struct flo_err *err)
{
    json_t *needs;
    uint64_t number;

    FLO_TRY(flo_json_opt_object(json, "needs", &needs, err));
    FLO_TRY(read_runtime(needs, out, err));
#define FLO_RELEASE_WORDS(name, meaning) FLO_TRY(read_words(needs, #name, out->name, err));
#define FLO_RELEASE_NEED(name, type, most, key, meaning)                                           \
    FLO_TRY(flo_json_opt_u64(needs, #name, 0, most, 0, &number, err));                             \
    out->name = (type)number;
#include "proto/release.def"
    return 0;
}

static bool holds(const struct flo_release_variant *variant, uint8_t file)
{
    for (uint32_t i = 0; i < variant->file_count; i++) {
        if (variant->files[i] == file) {
            return true;
        }
    }
    return false;
}

/* Reads `entry`, the name of the file that a variant serves.  Without `entry` a
 * variant for our own engine serves its file of role `model`. */
static int read_entry(const json_t *json, const struct flo_release *release,
                      struct flo_release_variant *out, struct flo_err *err)
{
    const struct flo_release_file *model = flo_release_variant_file(release, out, "model");
    const char *entry = NULL;

    out->entry = FLO_RELEASE_NO_FILE;
    FLO_TRY(flo_json_opt_text(json, "entry", FLO_FILE_NAME_MAX, NULL, &entry, err));
    if (entry != NULL) {
        int rv = index_of(release, entry, &out->entry, err);
        if (rv == 0 && !holds(out, out->entry)) {
            rv = flo_fail(err, FLO_E_META_SCHEMA, "`%s` is not among its files", entry);
        }
        if (rv < 0) {
            return flo_wrap(err, rv, "field `entry`");
        }
    } else if (flo_release_is_native(out) && model != NULL) {
        out->entry = (uint8_t)(model - release->files);
    }
    return flo_release_is_native(out) && (out->entry == FLO_RELEASE_NO_FILE ||
                                          strcmp(release->files[out->entry].role, "model") != 0)
               ? flo_fail(err, FLO_E_META_SCHEMA, "no file of role `model` to serve")
               : 0;
}

static uint32_t count_role(const struct flo_release *release,
                           const struct flo_release_variant *variant, const char *role)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        count += strcmp(release->files[variant->files[i]].role, role) == 0 ? 1 : 0;
    }
    return count;
}

/* Checks the draft of a variant.  Our engine alone reads drafts. */
static int check_drafts(const struct flo_release *release,
                        const struct flo_release_variant *variant, struct flo_err *err)
{
    uint32_t drafts = count_role(release, variant, FLO_ROLE_DRAFT);

    if (drafts > 1) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%u drafts, 1 is allowed", drafts);
    }
    return drafts == 1 && !flo_release_is_native(variant)
               ? flo_fail(err, FLO_E_META_SCHEMA, "it has a draft, which runtime `%s` cannot read",
                          variant->runtime)
               : 0;
}

static int check_variant(const struct flo_release *release,
                         const struct flo_release_variant *variant, struct flo_err *err)
{
    uint32_t adapters = count_role(release, variant, "adapter");
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        /* the sum of 64 files of 2^44 bytes stays below 2^64 */
        bytes += release->files[variant->files[i]].bytes;
    }
    if (bytes > BYTES_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "its files have %llu bytes, %llu are allowed",
                        (unsigned long long)bytes, (unsigned long long)BYTES_MAX);
    }
    if (adapters > FLO_RELEASE_ADAPTERS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%u adapters, %d are allowed", adapters,
                        FLO_RELEASE_ADAPTERS_MAX);
    }
    FLO_TRY(check_drafts(release, variant, err));
    return adapters > 0 && flo_digest_is_zero(&release->base)
               ? flo_fail(err, FLO_E_META_SCHEMA,
                          "it has an adapter, and the release has no `base`")
               : 0;
}

static int read_variant_files(const json_t *json, const struct flo_release *release,
                              struct flo_release_variant *out, struct flo_err *err)
{
    json_t *list;

    FLO_TRY(flo_json_get_array(json, "files", FLO_RELEASE_FILES_MAX, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint8_t *next = &out->files[out->file_count];
        int rv = index_of(release, json_string_value(json_array_get(list, i)), next, err);
        if (rv == 0 && holds(out, *next)) {
            rv = flo_fail(err, FLO_E_META_SCHEMA, "it stands twice");
        }
        if (rv < 0) {
            return flo_wrap(err, rv, "files[%zu]", i);
        }
        out->file_count++;
    }
    return out->file_count == 0 ? flo_fail(err, FLO_E_META_SCHEMA, "field `files` is empty") : 0;
}

static int read_variant(const json_t *json, const struct flo_release *release,
                        struct flo_release_variant *out, struct flo_err *err)
{
    const char *name;

    FLO_TRY(flo_json_get_name(json, "name", &name, err));
    strcpy(out->name, name);
    FLO_TRY(read_needs(json, out, err));
    FLO_TRY(read_variant_files(json, release, out, err));
    FLO_TRY(read_entry(json, release, out, err));
    return check_variant(release, out, err);
}

static int read_variants(const json_t *root, struct flo_release *out, struct flo_err *err)
{
    json_t *list;
    int rv = flo_json_get_array(root, "variants", FLO_RELEASE_VARIANTS_MAX, &list, err);

    FLO_TRY(rv);
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

/* ---- probe ---- */

static int add_golden(struct flo_release *out, const char *name, struct flo_err *err)
{
    int rv = index_of(out, name, &out->golden[out->golden_count], err);

    if (rv < 0) {
        return flo_wrap(err, rv, "field `probe.golden`: `%.140s`", name != NULL ? name : "?");
    }
    out->golden_count++;
    return 0;
}

static int read_golden(const json_t *probe, struct flo_release *release, struct flo_err *err)
{
    const char *name = "";
    json_t *list = NULL;

    if (release->is_first) {
        FLO_TRY(flo_json_opt_name(probe, "golden", "", &name, err));
        return name[0] == '\0' ? 0 : add_golden(release, name, err);
    }
    FLO_TRY(flo_json_opt_array(probe, "golden", FLO_RELEASE_GOLDEN_MAX, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        FLO_TRY(add_golden(release, json_string_value(json_array_get(list, i)), err));
    }
    return 0;
}

static int read_probe(const json_t *root, struct flo_release *release, struct flo_err *err)
{
    json_t *probe;

    FLO_TRY(flo_json_opt_object(root, "probe", &probe, err));
    if (probe == NULL) {
        return 0;
    }
    FLO_TRY(read_golden(probe, release, err));
    FLO_TRY(flo_json_opt_real(probe, "speed_ratio_max", 0, 1000, 0, &release->probe_speed_ratio_max,
                              err));
    return flo_json_opt_u64(probe, "memory_bytes_max", 0, BYTES_MAX, 0,
                            &release->probe_memory_bytes_max, err);
}

/* ---- the head ---- */

static int read_names(const json_t *root, struct flo_release *out, struct flo_err *err)
{
    struct {
        const char *key;
        char *to;
    } names[] = {{"fleet", out->fleet}, {"model", out->model}, {"version", out->version}};
    const char *text;

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        FLO_TRY(flo_json_get_name(root, names[i].key, &text, err));
        strcpy(names[i].to, text);
    }
#define FLO_RELEASE_TEXT(name, bytes, value, meaning)                                              \
    FLO_TRY(flo_json_opt_text(root, #name, bytes, "", &text, err));                                \
    strcpy(out->name, text);
#include "proto/release.def"
    return 0;
}

static int read_base(const json_t *root, struct flo_release *out, struct flo_err *err)
{
    json_t *base;

    FLO_TRY(flo_json_opt_object(root, "base", &base, err));
    if (base == NULL) {
        return 0;
    }
    int rv = flo_json_get_digest(base, "release", &out->base, err);
    if (rv == 0) {
        rv = flo_json_opt_u64(base, "number", 0, NUMBER_MAX, 0, &out->base_number, err);
    }
    if (rv == 0 && flo_digest_is_zero(&out->base)) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "field `release` is zero");
    }
    return rv < 0 ? flo_wrap(err, rv, "field `base`") : 0;
}

static int read_head(const json_t *root, struct flo_release *release, struct flo_err *err)
{
    uint64_t v;

    FLO_TRY(flo_json_check_critical(root, NULL, err));
    FLO_TRY(flo_json_get_u64(root, "v", 1, 2, &v, err));
    release->is_first = v == 1;
    FLO_TRY(read_names(root, release, err));
    FLO_TRY(flo_json_get_u64(root, "number", 1, NUMBER_MAX, &release->number, err));
    FLO_TRY(flo_json_opt_u64(root, "floor", 0, release->number, 0, &release->floor, err));
    FLO_TRY(flo_json_opt_u64(root, "created_at_ms", 0, INT64_MAX, 0, &release->created_at_ms, err));
    return read_base(root, release, err);
}

static int read_all(const json_t *root, const char *fleet, struct flo_release *release,
                    struct flo_err *err)
{
    FLO_TRY(read_head(root, release, err));
    if (fleet != NULL && strcmp(fleet, release->fleet) != 0) {
        return flo_fail(err, FLO_E_META_FLEET, "release is for fleet `%s`, this is `%s`",
                        release->fleet, fleet);
    }
    FLO_TRY(read_files(root, release, err));
    FLO_TRY(read_variants(root, release, err));
    FLO_TRY(read_probe(root, release, err));
    int rv = flo_serve_read(json_object_get(root, "serve"), &release->serve, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "field `serve`");
    }
    if (strcmp(release->serve.split_of, release->model) == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `serve`: field `split_of` names the release's own "
                        "model `%s`",
                        release->model);
    }
    return 0;
}

int flo_release_new(const char *body, size_t bytes, const char *fleet, struct flo_release **out,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    struct flo_release *release = calloc(1, sizeof(*release));

    if (release == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a release document");
    }
    flo_release_serve_init(&release->serve);
    int rv = flo_json_parse(body, bytes, FLO_RELEASE_BYTES_MAX, &root, err);
    if (rv == 0) {
        rv = read_all(root, fleet, release, err);
    }
    if (rv < 0) {
        flo_release_free(release);
        return flo_wrap(err, rv, "release document");
    }
    *out = release;
    return 0;
}

void flo_release_free(struct flo_release *release)
{
    if (release != NULL) {
        flo_release_deinit(release);
        free(release);
    }
}

int flo_release_parse(const char *body, size_t bytes, const char *fleet, struct flo_release *out,
                      struct flo_err *err)
{
    struct flo_release *release;

    FLO_TRY(flo_release_new(body, bytes, fleet, &release, err));
    *out = *release;
    free(release);
    return 0;
}

void flo_release_deinit(struct flo_release *release)
{
    flo_release_serve_deinit(&release->serve);
}

/* ---- looking into one ---- */

const struct flo_release_file *flo_release_find(const struct flo_release *release, const char *name)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].name, name) == 0) {
            return &release->files[i];
        }
    }
    return NULL;
}

const struct flo_release_variant *flo_release_variant_named(const struct flo_release *release,
                                                            const char *name)
{
    for (uint32_t i = 0; i < release->variant_count; i++) {
        if (strcmp(release->variants[i].name, name) == 0) {
            return &release->variants[i];
        }
    }
    return NULL;
}

const struct flo_release_file *flo_release_variant_file(const struct flo_release *release,
                                                        const struct flo_release_variant *variant,
                                                        const char *role)
{
    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
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
        if (flo_digest_is_zero(&way->base) && (best == NULL || way->bytes < best->bytes)) {
            best = way;
        }
    }
    return best;
}

const struct flo_release_file *flo_release_entry(const struct flo_release *release,
                                                 const struct flo_release_variant *variant)
{
    return variant->entry != FLO_RELEASE_NO_FILE
               ? &release->files[variant->entry]
               : flo_release_variant_file(release, variant, "model");
}

bool flo_release_is_native(const struct flo_release_variant *variant)
{
    return variant->runtime[0] == '\0' || strcmp(variant->runtime, FLO_RUNTIME_NATIVE) == 0;
}

bool flo_release_is_step(const struct flo_release_file *file)
{
    return strcmp(file->role, "step") == 0;
}

bool flo_release_is_draft(const struct flo_release_file *file)
{
    return strcmp(file->role, FLO_ROLE_DRAFT) == 0;
}

void flo_release_title(const struct flo_release *release, char *out)
{
    snprintf(out, 2 * FLO_NAME_MAX + 2, "%s@%s", release->model, release->version);
}

int flo_release_title_parse(const char *text, char *model, char *version, struct flo_err *err)
{
    const char *at = strchr(text, '@');
    char name[FLO_NAME_MAX + 1];

    if (at == NULL || at - text > FLO_NAME_MAX) {
        return flo_fail(err, FLO_E_META_NAME, "`%.80s` is no release name (model@version)", text);
    }
    memcpy(name, text, (size_t)(at - text));
    name[at - text] = '\0';
    if (!flo_name_is_valid(name) || !flo_name_is_valid(at + 1)) {
        return flo_fail(err, FLO_E_META_NAME, "`%.140s` is no release name (model@version)", text);
    }
    strcpy(model, name);
    strcpy(version, at + 1);
    return 0;
}
