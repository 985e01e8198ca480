/* From model files to a release document and the blobs to upload.
 *
 * For every file each way to get it is made and measured; those that are worth
 * a device's trouble stay.  What devices would refuse is refused here, before
 * anybody signs it. */
#include <flotilla/release.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gguf/gguf.h"
#include "base/host/digest.h"
#include "base/host/json.h"

#define PIECE_BYTES (256u << 10)
#define CHUNK_BYTES_MIN (1u << 20)
#define CHUNK_BYTES_MAX (8u << 20)
/* 27 KiB of the document's 64; larger chunks before more of them. */
#define CHUNKS_WANTED_MAX 400
#define CHUNKS_MAX 700
#define SPEED_RATIO_DEFAULT 1.5

struct build {
    const struct flo_author *author;
    const char *out_dir;
    struct flo_release release;
    struct flo_author_result *out;
};

/* ---- files
 * -----------------------------------------------------------------------------
 */

static int open_regular(const char *path, int *fd, struct flo_err *err)
{
    struct stat facts;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (opened < 0) {
        return flo_fail_errno(
            err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "%s", path);
    }
    if (fstat(opened, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        (void)close(opened);
        return flo_fail(err, FLO_E_IO_OPEN, "%s is no regular file", path);
    }
    *fd = opened;
    return 0;
}

static int open_nameless(const char *dir, int *fd, struct flo_err *err)
{
    int opened = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);

    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", dir);
    }
    *fd = opened;
    return 0;
}

/* Give a nameless file its digest as name; one that is there already has the
 * same bytes. */
static int name_blob(const char *dir, int fd, const struct flo_digest *digest,
                     struct flo_err *err)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char name[80];
    char path[PATH_MAX];
    char source[64];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    (void)snprintf(name, sizeof name, "sha256-%s", hex);
    (void)snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (!flo_path_join(path, sizeof path, dir, name)) {
        return flo_fail(err, FLO_E_IO_WRITE, "a path is too long");
    }
    if (fdatasync(fd) != 0 ||
        (linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0 &&
         errno != EEXIST)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return 0;
}

/* ---- chunk hashes
 * ------------------------------------------------------------------------ */

static uint64_t choose_chunk_bytes(uint64_t bytes)
{
    uint64_t chunk_bytes = CHUNK_BYTES_MIN;

    while (bytes / chunk_bytes > CHUNKS_WANTED_MAX &&
           chunk_bytes < CHUNK_BYTES_MAX) {
        chunk_bytes *= 2;
    }
    return bytes / chunk_bytes > CHUNKS_MAX ? 0 : chunk_bytes;
}

static int hash_chunk(int fd, uint64_t offset, uint64_t bytes,
                      struct flo_digest *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(PIECE_BYTES);
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    int rv = flo_sha256_init(&sha, err);

    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to hash");
    }
    while (rv == 0 && bytes > 0) {
        size_t count = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        rv = flo_fd_pread_all(fd, piece, count, offset, err);
        if (rv == 0) {
            flo_sha256_update(&sha, piece, count);
        }
        offset += count;
        bytes -= count;
    }
    if (rv == 0) {
        flo_sha256_final(&sha, out);
    }
    return rv;
}

static int add_chunks(struct build *build, struct flo_release_file *file,
                      int fd, struct flo_err *err)
{
    struct flo_release *release = &build->release;
    uint64_t chunk_bytes = choose_chunk_bytes(file->bytes);

    if (chunk_bytes == 0 || file->bytes <= chunk_bytes) {
        return 0; /* the file's own digest says as much */
    }
    uint64_t count = (file->bytes + chunk_bytes - 1) / chunk_bytes;
    size_t total = release->chunk_count + (size_t)count;
    struct flo_digest *grown =
        realloc(release->chunks, total * sizeof *release->chunks);
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the chunks");
    }
    release->chunks = grown;
    file->chunk_bytes = chunk_bytes;
    file->chunk_first = release->chunk_count;
    file->chunk_count = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t offset = i * chunk_bytes;
        uint64_t left = file->bytes - offset;
        int rv = hash_chunk(fd, offset, left < chunk_bytes ? left : chunk_bytes,
                            &grown[release->chunk_count], err);
        if (rv < 0) {
            return rv;
        }
        release->chunk_count++;
    }
    return 0;
}

/* ---- ways
 * -----------------------------------------------------------------------------------
 */

static struct flo_author_blob *add_blob(struct build *build,
                                        const struct flo_release_file *file,
                                        const struct flo_delta_made *made)
{
    struct flo_author_blob *blob = &build->out->blobs[build->out->blob_count];

    build->out->blob_count++;
    *blob = (struct flo_author_blob){.digest = made->digest,
                                     .bytes = made->bytes,
                                     .codec = made->codec,
                                     .create_ms = made->create_ms};
    (void)snprintf(blob->file, sizeof blob->file, "%s", file->name);
    return blob;
}

static void add_way(struct flo_release_file *file,
                    const struct flo_author_blob *blob, uint64_t memory_bytes)
{
    file->ways[file->way_count++] =
        (struct flo_way){.codec = blob->codec,
                         .digest = blob->digest,
                         .bytes = blob->bytes,
                         .base = blob->base,
                         .memory_bytes = memory_bytes};
}

static uint64_t best_full_bytes(const struct flo_release_file *file)
{
    uint64_t best = UINT64_MAX;

    for (uint32_t i = 0; i < file->way_count; i++) {
        if (flo_digest_is_zero(&file->ways[i].base) &&
            file->ways[i].bytes < best) {
            best = file->ways[i].bytes;
        }
    }
    return best;
}

/* Worth a way?  A compressed download for 3 %, a delta for half. */
static bool is_worth(const struct flo_release_file *file,
                     const struct flo_author_blob *blob)
{
    if (blob->codec == FLO_CODEC_RAW) {
        return true;
    }
    if (blob->codec == FLO_CODEC_ZSTD) {
        return blob->bytes <= file->bytes - file->bytes * 3 / 100;
    }
    return blob->bytes <= best_full_bytes(file) / 2;
}

/* Make one way; base_fd -1: one that needs no base. */
static int make_way(struct build *build, struct flo_release_file *file, int fd,
                    enum flo_codec codec, int base_fd,
                    const struct flo_digest *base, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int patch_fd = -1;
    struct flo_delta_made made;
    struct flo_delta_facts facts;
    int rv = open_nameless(build->out_dir, &patch_fd, err);

    if (rv == 0) {
        rv = flo_delta_create(flo_codec_word(codec), base_fd < 0 ? fd : base_fd,
                              fd, patch_fd, &made, err);
    }
    if (rv < 0) {
        return rv;
    }
    struct flo_author_blob *blob = add_blob(build, file, &made);
    if (base != NULL) {
        blob->base = *base;
    }
    if (!is_worth(file, blob)) {
        return 0;
    }
    if (codec == FLO_CODEC_RAW) {
        facts.memory_bytes = 0; /* whatever the model begins with */
    } else {
        rv = flo_delta_inspect(patch_fd, &facts, err);
    }
    if (rv == 0) {
        rv = name_blob(build->out_dir, patch_fd, &blob->digest, err);
    }
    if (rv == 0) {
        blob->kept = true;
        add_way(file, blob, facts.memory_bytes);
    }
    return rv;
}

static bool has_base(const struct flo_release_file *file,
                     const struct flo_digest *base)
{
    for (uint32_t i = 0; i < file->way_count; i++) {
        if (flo_digest_equal(&file->ways[i].base, base)) {
            return true;
        }
    }
    return flo_digest_equal(&file->digest, base); /* nothing changed */
}

static int make_delta(struct build *build, struct flo_release_file *file,
                      int fd, const char *base_path, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int base_fd = -1;
    struct flo_digest base;
    int rv = open_regular(base_path, &base_fd, err);

    if (rv == 0) {
        rv = flo_sha256_fd(base_fd, &base, NULL, err);
    }
    if (rv < 0 || has_base(file, &base)) {
        return rv;
    }
    rv = make_way(build, file, fd, FLO_CODEC_BSDIFF40, base_fd, &base, err);
    return rv < 0 ? flo_wrap(err, rv, "delta from %s", base_path) : 0;
}

/* ---- one file
 * ----------------------------------------------------------------------------------
 */

static int check_file(const struct build *build,
                      const struct flo_author_file *source, int fd,
                      struct flo_err *err)
{
    if (strcmp(source->role, "model") != 0 || build->author->allow_nonfinite) {
        return 0;
    }
    return flo_model_scan(fd, NULL, NULL, err);
}

static int check_limits(const struct flo_author_file *source,
                        const struct flo_release_file *file,
                        struct flo_err *err)
{
    if (!flo_name_is_valid(source->name) ||
        strlen(source->role) >= sizeof file->role) {
        return flo_fail(err, FLO_E_META_NAME,
                        "file \"%s\" with role \"%s\" has no valid name",
                        source->name, source->role);
    }
    if (source->base_count > FLO_AUTHOR_BASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%zu bases for %s, allowed are %d",
                        source->base_count, source->name, FLO_AUTHOR_BASES_MAX);
    }
    return 0;
}

static int build_opened(struct build *build,
                        const struct flo_author_file *source,
                        struct flo_release_file *file, int fd,
                        struct flo_err *err)
{
    int rv = check_file(build, source, fd, err);

    if (rv == 0) {
        rv = flo_sha256_fd(fd, &file->digest, &file->bytes, err);
    }
    if (rv == 0 && file->bytes == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "it is empty");
    }
    if (rv == 0) {
        rv = add_chunks(build, file, fd, err);
    }
    if (rv == 0) {
        rv = make_way(build, file, fd, FLO_CODEC_RAW, -1, NULL, err);
    }
    if (rv == 0) {
        rv = make_way(build, file, fd, FLO_CODEC_ZSTD, -1, NULL, err);
    }
    for (size_t i = 0; rv == 0 && i < source->base_count; i++) {
        rv = make_delta(build, file, fd, source->base_paths[i], err);
    }
    return rv;
}

static int build_file(struct build *build, const struct flo_author_file *source,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_release_file *file =
        &build->release.files[build->release.file_count];
    int rv = check_limits(source, file, err);

    if (rv == 0) {
        (void)snprintf(file->name, sizeof file->name, "%s", source->name);
        (void)snprintf(file->role, sizeof file->role, "%s", source->role);
        rv = open_regular(source->path, &fd, err);
    }
    if (rv < 0) {
        return rv;
    }
    build->release.file_count++;
    rv = build_opened(build, source, file, fd, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", source->path) : 0;
}

/* ---- variants and the rest
 * ---------------------------------------------------------------------------
 */

static int copy_name(char *out, size_t out_bytes, const char *text,
                     const char *what, struct flo_err *err)
{
    if (text == NULL) {
        return 0;
    }
    if (strlen(text) >= out_bytes) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s is longer than %zu bytes",
                        what, out_bytes - 1);
    }
    (void)snprintf(out, out_bytes, "%s", text);
    return 0;
}

static int copy_words(char (*out)[16], const char *const *words,
                      const char *what, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < 4 && words[i] != NULL; i++) {
        rv = copy_name(out[i], sizeof out[i], words[i], what, err);
    }
    return rv;
}

static int add_variant_file(const struct flo_release *release,
                            struct flo_release_variant *variant,
                            const char *name, struct flo_err *err)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].name, name) == 0) {
            variant->files[variant->file_count++] = (uint8_t)i;
            return 0;
        }
    }
    return flo_fail(err, FLO_E_META_SCHEMA, "variant %s names no file \"%s\"",
                    variant->name, name);
}

/* What the engine must know, by the model itself, when the author is silent. */
static int read_architecture(const struct build *build,
                             struct flo_release_variant *variant,
                             struct flo_err *err)
{
    const struct flo_author *author = build->author;
    struct flo_gguf_text text = {0};
    struct flo_gguf *gguf = NULL;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_author_file *file = &author->files[variant->files[i]];
        if (strcmp(file->role, "model") != 0) {
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

static int build_variant(struct build *build,
                         const struct flo_author_variant *source,
                         struct flo_err *err)
{
    struct flo_release *release = &build->release;
    struct flo_release_variant *variant =
        &release->variants[release->variant_count++];
    int rv = copy_name(variant->name, sizeof variant->name, source->name,
                       "a variant's name", err);

    if (rv == 0) {
        rv = copy_words(variant->arch, source->arch, "an arch", err);
    }
    if (rv == 0) {
        rv = copy_words(variant->engine, source->engine, "an engine", err);
    }
    variant->memory_bytes = source->memory_bytes;
    variant->context = source->context;
    for (size_t i = 0;
         rv == 0 && i < FLO_RELEASE_FILES_MAX && source->files[i] != NULL;
         i++) {
        rv = add_variant_file(release, variant, source->files[i], err);
    }
    for (uint32_t i = 0; source->files[0] == NULL && i < release->file_count;
         i++) {
        variant->files[variant->file_count++] = (uint8_t)i;
    }
    if (rv == 0 && variant->engine[0][0] == '\0') {
        rv = read_architecture(build, variant, err);
    }
    return rv;
}

static int build_variants(struct build *build, struct flo_err *err)
{
    static const struct flo_author_variant standard = {.name = "default"};
    const struct flo_author *author = build->author;

    if (author->variant_count == 0) {
        return build_variant(build, &standard, err);
    }
    for (size_t i = 0; i < author->variant_count; i++) {
        int rv = build_variant(build, &author->variants[i], err);
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

static void build_probe(struct build *build)
{
    struct flo_release *release = &build->release;
    const struct flo_author *author = build->author;

    for (uint32_t i = 0; i < release->file_count; i++) {
        if (strcmp(release->files[i].role, "golden") == 0) {
            memcpy(release->probe_golden, release->files[i].name,
                   sizeof release->probe_golden);
        }
    }
    release->probe_speed_ratio_max = author->speed_ratio_max > 0
                                         ? author->speed_ratio_max
                                         : SPEED_RATIO_DEFAULT;
    release->probe_memory_bytes_max = author->memory_bytes_max;
}

static int build_names(struct build *build, struct flo_err *err)
{
    struct flo_release *release = &build->release;
    const struct flo_author *author = build->author;

    if (!flo_name_is_valid(author->fleet) ||
        !flo_name_is_valid(author->model) ||
        !flo_name_is_valid(author->version)) {
        return flo_fail(err, FLO_E_META_NAME,
                        "fleet \"%s\", model \"%s\", version \"%s\": not all "
                        "are names",
                        author->fleet, author->model, author->version);
    }
    (void)snprintf(release->fleet, sizeof release->fleet, "%s", author->fleet);
    (void)snprintf(release->model, sizeof release->model, "%s", author->model);
    (void)snprintf(release->version, sizeof release->version, "%s",
                   author->version);
    release->number = author->number;
    release->created_at_ms = author->created_at_ms;
    int rv = copy_name(release->label, sizeof release->label, author->label,
                       "the label", err);
    return rv < 0 ? rv
                  : copy_name(release->license, sizeof release->license,
                              author->license, "the license", err);
}

/* ---- the document
 * ----------------------------------------------------------------------------------------
 */

/* Provenance is for people: proto's struct does not carry it. */
static int write_body(const struct build *build, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *root = NULL;
    const struct flo_author *author = build->author;
    struct flo_buf body = {.bytes_max = FLO_RELEASE_BYTES_MAX};
    int rv = flo_release_write(&build->release, &body, err);

    if (rv == 0) {
        rv = flo_json_parse(body.data, body.bytes, FLO_RELEASE_BYTES_MAX, &root,
                            err);
    }
    flo_buf_deinit(&body);
    if (rv < 0) {
        return rv;
    }
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
        return flo_fail(err, FLO_E_META_TOO_LARGE,
                        "the release document is larger than %d bytes",
                        FLO_RELEASE_BYTES_MAX);
    }
    return 0;
}

/* What was written reads back as a release: nothing else is signed. */
static int check_body(const struct build *build, struct flo_err *err)
{
    struct flo_release release = {0};
    int rv = flo_release_parse(build->out->body.data, build->out->body.bytes,
                               build->author->fleet, &release, err);

    if (rv == 0) {
        flo_release_deinit(&release);
    }
    return rv;
}

static int build_all(struct build *build, struct flo_err *err)
{
    const struct flo_author *author = build->author;
    int rv = build_names(build, err);

    if (rv == 0 && (author->file_count == 0 ||
                    author->file_count > FLO_RELEASE_FILES_MAX ||
                    author->variant_count > FLO_RELEASE_VARIANTS_MAX)) {
        rv = flo_fail(err, FLO_E_USAGE,
                      "a release has 1 to %d files and at most %d variants",
                      FLO_RELEASE_FILES_MAX, FLO_RELEASE_VARIANTS_MAX);
    }
    for (size_t i = 0; rv == 0 && i < author->file_count; i++) {
        rv = build_file(build, &author->files[i], err);
    }
    if (rv == 0) {
        rv = build_variants(build, err);
    }
    if (rv == 0) {
        build_probe(build);
        rv = write_body(build, err);
    }
    return rv < 0 ? rv : check_body(build, err);
}

int flo_release_build(const struct flo_author *author, const char *out_dir,
                      struct flo_author_result *out, struct flo_err *err)
{
    struct build *build = calloc(1, sizeof *build);
    int rv = 0;

    memset(out, 0, sizeof *out);
    if (build == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to build a release");
    }
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
}
