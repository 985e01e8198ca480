/* Release author: makes a release document and the blobs to upload from model
 * files.
 *
 * Several downloads of each file (raw, compressed, deltas) are made and
 * measured; only useful ones are kept.  A file that devices would refuse is
 * refused here, before signing. */
#include <flotilla/release.h>

#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/host/digest.h"
#include "base/host/json.h"
#include "updater/bundle/author.h"

#define SPEED_RATIO_DEFAULT 1.5

/* ---- one file ---- */

/* Tells whether a variant has a file.  A variant that lists none has every
 * file. */
static bool has_file(const struct flo_author_variant *variant, const char *name)
{
    bool is_found = variant->files[0] == NULL;

    for (size_t i = 0; i < FLO_RELEASE_FILES_MAX && variant->files[i] != NULL; i++) {
        is_found = is_found || strcmp(variant->files[i], name) == 0;
    }
    return is_found;
}

/* Tells whether our engine, which reads GGUF only, gets the file.  Other
 * runtimes may read any format. */
static bool is_for_engine(const struct flo_author *author, const char *name)
{
    for (size_t i = 0; i < author->variant_count; i++) {
        const char *runtime = author->variants[i].runtime;
        if ((runtime == NULL || strcmp(runtime, FLO_RUNTIME_NATIVE) == 0) &&
            has_file(&author->variants[i], name)) {
            return true;
        }
    }
    return author->variant_count == 0;
}

static int check_file(const struct author_build *build, const struct flo_author_file *source,
                      int fd, struct flo_err *err)
{
    bool is_model = strcmp(source->role, "model") == 0 || strcmp(source->role, "adapter") == 0;

    if (!is_model || build->author->allow_nonfinite) {
        return 0;
    }
    return is_for_engine(build->author, source->name)
               ? flo_model_scan(fd, NULL, NULL, err)
               : flo_file_scan(fd, source->name, NULL, NULL, err);
}

static int check_limits(const struct flo_author_file *source, const struct flo_release_file *file,
                        struct flo_err *err)
{
    if (!flo_release_name_is_valid(source->name) || strlen(source->role) >= sizeof file->role) {
        return flo_fail(err, FLO_E_META_NAME, "file \"%s\" with role \"%s\" has no valid name",
                        source->name, source->role);
    }
    if (source->base_count > FLO_AUTHOR_BASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%zu bases for %s, allowed are %d", source->base_count,
                        source->name, FLO_AUTHOR_BASES_MAX);
    }
    return 0;
}

static int build_opened(struct author_build *build, const struct flo_author_file *source,
                        struct flo_release_file *file, int fd, struct flo_err *err)
{
    FLO_TRY(build->out != NULL ? check_file(build, source, fd, err) : 0);
    FLO_TRY(flo_sha256_fd(fd, &file->digest, &file->bytes, err));
    if (file->bytes == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA, "it is empty");
    }
    if (build->out == NULL) {
        return 0;
    }
    FLO_TRY(flo_author_add_chunks(build, file, fd, err));
    return flo_author_make_ways(build, source, file, fd, err);
}

/* Copies the facts of an already published file into `file`, which keeps its
 * own name, role and scale. */
static void take_published(struct flo_release_file *file, const struct flo_release_file *published)
{
    struct flo_release_file named = *file;

    *file = *published;
    memcpy(file->name, named.name, sizeof file->name);
    memcpy(file->role, named.role, sizeof file->role);
    file->scale_ppm = named.scale_ppm;
}

static int build_file(struct author_build *build, const struct flo_author_file *source,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_release_file *file = &build->release.files[build->release.file_count];

    FLO_TRY(check_limits(source, file, err));
    (void)snprintf(file->name, sizeof file->name, "%s", source->name);
    (void)snprintf(file->role, sizeof file->role, "%s", source->role);
    if (strcmp(file->role, "adapter") == 0) {
        file->scale_ppm = source->scale_ppm != 0 ? source->scale_ppm : FLO_SCALE_PPM;
    }
    if (source->published != NULL) {
        take_published(file, source->published);
        build->release.file_count++;
        return 0;
    }
    if (build->out == NULL && source->path[0] == '\0') {
        /* The file does not exist yet, so its digest stays unknown. */
        build->release.file_count++;
        return 0;
    }
    FLO_TRY(flo_file_open(source->path, &fd, err));
    build->release.file_count++;
    int rv = build_opened(build, source, file, fd, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", source->path) : 0;
}

/* ---- variants and the rest ---- */

static int copy_name(char *out, size_t out_bytes, const char *text, const char *what,
                     struct flo_err *err)
{
    if (text == NULL) {
        return 0;
    }
    if (strlen(text) >= out_bytes) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s is longer than %zu bytes", what, out_bytes - 1);
    }
    (void)snprintf(out, out_bytes, "%s", text);
    return 0;
}

static int copy_words(char (*out)[FLO_NEED_WORD_MAX + 1], const char *const *words,
                      const char *what, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_NEED_WORDS_MAX && words[i] != NULL; i++) {
        FLO_TRY(copy_name(out[i], sizeof out[i], words[i], what, err));
    }
    return 0;
}

static int add_variant_file(const struct flo_release *release, struct flo_release_variant *variant,
                            const char *name, struct flo_err *err)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].name, name) == 0) {
            variant->files[variant->file_count++] = (uint8_t)i;
            return 0;
        }
    }
    return flo_fail(err, FLO_E_META_SCHEMA, "variant %s names no file \"%s\"", variant->name, name);
}

/* Reads the architecture and similar facts from the model file, when the author
 * gives none. */
static int read_architecture(const struct author_build *build, struct flo_release_variant *variant,
                             struct flo_err *err)
{
    const struct flo_author *author = build->author;
    struct flo_gguf_text text = {0};
    struct flo_gguf *gguf = NULL;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_author_file *file = &author->files[variant->files[i]];
        if (strcmp(file->role, "model") != 0 || file->path == NULL) {
            continue;
        }
        int rv = flo_gguf_open_path(file->path, &gguf, err);
        if (rv == 0) {
            rv = flo_gguf_string(gguf, "general.architecture", &text, err);
        }
        if (rv == 0 && text.bytes > 0 && text.bytes < 16) {
            memcpy(variant->engine[0], text.data, text.bytes);
        }
        flo_gguf_close(gguf);
        return rv;
    }
    return 0;
}

static int choose_entry(const struct flo_release *release, const struct flo_author_variant *source,
                        struct flo_release_variant *variant, struct flo_err *err)
{
    const struct flo_release_file *model = flo_release_variant_file(release, variant, "model");
    const struct flo_release_file *entry = source->entry != NULL
                                               ? flo_release_find(release, source->entry)
                                           : flo_release_is_native(variant) ? model
                                                                            : NULL;

    variant->entry = entry != NULL ? (uint8_t)(entry - release->files) : FLO_RELEASE_NO_FILE;
    return source->entry != NULL && entry == NULL
               ? flo_fail(err, FLO_E_META_SCHEMA, "no file `%s` to serve", source->entry)
               : 0;
}

static int build_variant(struct author_build *build, const struct flo_author_variant *source,
                         struct flo_err *err)
{
    struct flo_release *release = &build->release;
    struct flo_release_variant *variant = &release->variants[release->variant_count++];

    FLO_TRY(copy_name(variant->name, sizeof variant->name, source->name, "a variant's name", err));
#define FLO_RELEASE_WORDS(name, meaning)                                                           \
    FLO_TRY(copy_words(variant->name, source->name, "--needs " #name, err));
#define FLO_RELEASE_NEED(name, type, most, key, meaning) variant->name = source->name;
#include "proto/release.def"
    FLO_TRY(copy_name(variant->runtime, sizeof variant->runtime,
                      source->runtime != NULL ? source->runtime : FLO_RUNTIME_NATIVE, "a runtime",
                      err));
    for (size_t i = 0; i < FLO_RELEASE_FILES_MAX && source->files[i] != NULL; i++) {
        FLO_TRY(add_variant_file(release, variant, source->files[i], err));
    }
    for (uint32_t i = 0; source->files[0] == NULL && i < release->file_count; i++) {
        if (!flo_release_is_step(&release->files[i])) {
            variant->files[variant->file_count++] = (uint8_t)i;
        }
    }
    FLO_TRY(choose_entry(release, source, variant, err));
    return variant->engine[0][0] == '\0' && flo_release_is_native(variant)
               ? read_architecture(build, variant, err)
               : 0;
}

static int build_variants(struct author_build *build, struct flo_err *err)
{
    static const struct flo_author_variant standard = {.name = "default"};
    const struct flo_author *author = build->author;

    if (author->variant_count == 0) {
        return build_variant(build, &standard, err);
    }
    for (size_t i = 0; i < author->variant_count; i++) {
        FLO_TRY(build_variant(build, &author->variants[i], err));
    }
    return 0;
}

static void build_probe(struct author_build *build)
{
    struct flo_release *release = &build->release;
    const struct flo_author *author = build->author;

    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].role, "golden") == 0 &&
            release->golden_count < FLO_RELEASE_GOLDEN_MAX) {
            release->golden[release->golden_count++] = (uint8_t)i;
        }
    }
    release->probe_speed_ratio_max =
        author->speed_ratio_max > 0 ? author->speed_ratio_max : SPEED_RATIO_DEFAULT;
    release->probe_memory_bytes_max = author->memory_bytes_max;
}

static int build_serve(struct author_build *build, struct flo_err *err)
{
    const struct flo_release_serve *serve = build->author->serve;

    if (serve == NULL) {
        return 0;
    }
    build->release.serve = *serve;
    build->release.serve.system = NULL;
    if (serve->system != NULL) {
        build->release.serve.system = strdup(serve->system);
        if (build->release.serve.system == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "no memory for a prompt");
        }
    }
    return 0;
}

static int build_names(struct author_build *build, struct flo_err *err)
{
    struct flo_release *release = &build->release;
    const struct flo_author *author = build->author;

    if (author->serve != NULL && author->model != NULL &&
        strcmp(author->serve->split_of, author->model) == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "a release of model `%s` cannot share the requests of "
                        "its own model",
                        author->model);
    }
    if (!flo_name_is_valid(author->fleet) || !flo_name_is_valid(author->model) ||
        !flo_name_is_valid(author->version)) {
        return flo_fail(err, FLO_E_META_NAME,
                        "fleet \"%s\", model \"%s\", version \"%s\": not all "
                        "are names",
                        author->fleet, author->model, author->version);
    }
    (void)snprintf(release->fleet, sizeof release->fleet, "%s", author->fleet);
    (void)snprintf(release->model, sizeof release->model, "%s", author->model);
    (void)snprintf(release->version, sizeof release->version, "%s", author->version);
    release->number = author->number;
    release->floor = author->floor;
    release->base = author->base_release;
    release->base_number = author->base_number;
    release->created_at_ms = author->created_at_ms;
#define FLO_RELEASE_TEXT(name, bytes, value, meaning)                                              \
    FLO_TRY(copy_name(release->name, sizeof release->name, author->name, "the " #name, err));
#include "proto/release.def"
    return 0;
}

/* ---- the document ---- */

/* Adds the provenance as plain JSON: it is for display only, and proto's struct
 * does not have it. */
static int write_body(const struct author_build *build, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    const struct flo_author *author = build->author;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {.bytes_max = FLO_RELEASE_BYTES_MAX};

    FLO_TRY(flo_release_write(&build->release, &body, err));
    FLO_TRY(flo_json_parse(body.data, body.bytes, FLO_RELEASE_BYTES_MAX, &root, err));
    json_t *provenance = json_object();
    if (author->source != NULL) {
        json_object_set_new(provenance, "source", json_string(author->source));
    }
    if (author->base != NULL) {
        json_object_set_new(provenance, "base", json_string(author->base));
    }
    json_object_set_new(root, "provenance", provenance);
    build->out->body.bytes_max = FLO_RELEASE_BYTES_MAX;
    flo_json_dump_canonical(root, &build->out->body);
    if (build->out->body.failed) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "the release document is larger than %d bytes",
                        FLO_RELEASE_BYTES_MAX);
    }
    return 0;
}

/* Checks that the document parses as a release; a document that does not parse
 * is not signed. */
static int check_body(const struct author_build *build, struct flo_err *err)
{
    struct flo_release *release = NULL;
    int rv = flo_release_new(build->out->body.data, build->out->body.bytes, build->author->fleet,
                             &release, err);

    flo_release_free(release);
    return rv;
}

int flo_author_fill(struct author_build *build, struct flo_err *err)
{
    const struct flo_author *author = build->author;

    FLO_TRY(build_names(build, err));
    if (author->file_count == 0 || author->file_count > FLO_RELEASE_FILES_MAX ||
        author->variant_count > FLO_RELEASE_VARIANTS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "a release has 1 to %d files and at most %d variants",
                        FLO_RELEASE_FILES_MAX, FLO_RELEASE_VARIANTS_MAX);
    }
    for (size_t i = 0; i < author->file_count; i++) {
        FLO_TRY(build_file(build, &author->files[i], err));
    }
    FLO_TRY(build_variants(build, err));
    build_probe(build);
    return build_serve(build, err);
}

static int build_all(struct author_build *build, struct flo_err *err)
{
    FLO_TRY(flo_author_fill(build, err));
    FLO_TRY(write_body(build, err));
    return check_body(build, err);
}

int flo_release_build(const struct flo_author *author, const char *out_dir,
                      struct flo_author_result *out, struct flo_err *err)
{
    struct author_build *build = calloc(1, sizeof *build);
    int rv = 0;

    memset(out, 0, sizeof *out);
    if (build == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to build a release");
    }
    flo_release_serve_init(&build->release.serve);
    build->author = author;
    build->out_dir = out_dir;
    build->out = out;
    rv = flo_dir_make(out_dir, 0755, err);
    if (rv == 0) {
        rv = build_all(build, err);
    }
    flo_release_deinit(&build->release);
    free(build);
    if (rv < 0) {
        flo_author_result_deinit(out);
    }
    return rv;
}

void flo_author_result_deinit(struct flo_author_result *result)
{
    flo_buf_deinit(&result->body);
    free(result->blobs);
    result->blobs = NULL;
    result->blob_count = result->blob_room = 0;
}
