/* Bundle writer: writes the envelopes, then the blobs, as a plain tar or a
 * tar.zst that every device can read.  The same input gives the same bytes. */
#include <flotilla/errors/bundle.h>
#include <flotilla/release.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/host/digest.h"
#include "base/scratch.h"

#define PIECE_BYTES (256u << 10)
#define BLOBS_MAX (FLO_BUNDLE_ENTRIES_MAX - FLO_BUNDLE_RELEASES_MAX)
/* Level 9 has windows of at most 4 MiB; blobs hardly compress anyway. */
#define ZSTD_LEVEL "9"

struct writer {
    struct archive *archive;
    const struct flo_bundle_spec *spec;
    /* parsed release documents, in the order of spec->documents */
    struct flo_release *releases[FLO_BUNDLE_RELEASES_MAX];
    struct flo_digest ids[FLO_BUNDLE_RELEASES_MAX];
    /* indices of the documents, in the order in which the bundle has them */
    size_t order[FLO_BUNDLE_RELEASES_MAX];
    struct flo_bundle_facts facts;
    uint8_t piece[PIECE_BYTES];
};

static int archive_fail(const struct writer *writer, struct flo_err *err)
{
    const char *text = archive_error_string(writer->archive);

    errno = archive_errno(writer->archive);
    if (errno == ENOSPC || errno == EDQUOT) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "bundle");
    }
    return flo_fail(err, FLO_E_IO_WRITE, "bundle: %s", text == NULL ? "cannot be written" : text);
}

static int open_archive(struct writer *writer, int fd, struct flo_err *err)
{
    writer->archive = archive_write_new();
    if (writer->archive == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to write a bundle");
    }
    int result = archive_write_set_format_pax_restricted(writer->archive);
    if (result == ARCHIVE_OK && writer->spec->compress) {
        result = archive_write_add_filter_zstd(writer->archive);
        if (result == ARCHIVE_OK) {
            result = archive_write_set_filter_option(writer->archive, "zstd", "compression-level",
                                                     ZSTD_LEVEL);
        }
    }
    if (result == ARCHIVE_OK) {
        result = archive_write_open_fd(writer->archive, fd);
    }
    return result == ARCHIVE_OK ? 0 : archive_fail(writer, err);
}

static int begin_entry(struct writer *writer, const char *name, uint64_t bytes, struct flo_err *err)
{
    struct archive_entry *entry = archive_entry_new();

    if (entry == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to write a bundle");
    }
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)bytes);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    int result = archive_write_header(writer->archive, entry);
    archive_entry_free(entry);
    return result == ARCHIVE_OK ? 0 : archive_fail(writer, err);
}

static int add_data(struct writer *writer, const void *data, size_t bytes, struct flo_err *err)
{
    la_ssize_t written = archive_write_data(writer->archive, data, bytes);

    return written == (la_ssize_t)bytes ? 0 : archive_fail(writer, err);
}

/* ---- blobs ---- */

static int copy_blob(struct writer *writer, int fd, uint64_t bytes, const struct flo_digest *digest,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    struct flo_digest found;

    FLO_TRY(flo_sha256_init(&sha, err));
    for (uint64_t offset = 0; offset < bytes;) {
        uint64_t left = bytes - offset;
        size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(fd, writer->piece, count, offset, err));
        flo_sha256_update(&sha, writer->piece, count);
        FLO_TRY(add_data(writer, writer->piece, count, err));
        offset += count;
    }
    flo_sha256_final(&sha, &found);
    if (!flo_digest_equal(&found, digest)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "it has other bytes");
    }
    return 0;
}

/* A blob to put into the bundle. */
struct carried {
    struct flo_digest digest;
    uint64_t bytes;
    bool is_list; /* true: a list of chunk hashes, which comes first */
};

static int add_blob(struct writer *writer, const struct carried *way, struct flo_err *err)
{
    char hex[2 * FLO_DIGEST_BYTES + 1];
    char name[96];
    char path[PATH_MAX];
    struct stat facts;

    flo_hex_encode(way->digest.bytes, FLO_DIGEST_BYTES, hex);
    (void)snprintf(name, sizeof name, "blobs/sha256-%s", hex);
    if (!flo_path_join(path, sizeof path, writer->spec->blob_dir, name + strlen("blobs/"))) {
        return flo_fail(err, FLO_E_IO_OPEN, "a path is too long");
    }
    FLO_CLEANUP(flo_fd_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING, "%s: %s", path, strerror(errno));
    }
    if (fstat(fd, &facts) != 0 || (uint64_t)facts.st_size != way->bytes) {
        return flo_fail(err, FLO_E_TARGET_HASH, "%s has another size than the release says", path);
    }
    int rv = begin_entry(writer, name, way->bytes, err);
    if (rv == 0) {
        rv = copy_blob(writer, fd, way->bytes, &way->digest, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    writer->facts.blobs++;
    writer->facts.bytes += way->bytes;
    return 0;
}

static const struct flo_way *way_of(const struct flo_release *release,
                                    const struct flo_digest *digest)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        for (uint32_t j = 0; j < release->files[i].way_count; j++) {
            if (flo_digest_equal(&release->files[i].ways[j].digest, digest)) {
                return &release->files[i].ways[j];
            }
        }
    }
    return NULL;
}

static const struct flo_way *find_way(const struct writer *writer, const struct flo_digest *digest)
{
    const struct flo_way *way = NULL;

    for (size_t i = 0; way == NULL && i < writer->spec->document_count; i++) {
        way = way_of(writer->releases[i], digest);
    }
    return way;
}

/* ---- the choice ---- */

static const struct flo_release_variant *variant_of(const struct flo_bundle_spec *spec,
                                                    const struct flo_release *release)
{
    return spec->variant != NULL ? flo_release_variant_named(release, spec->variant) : NULL;
}

bool flo_bundle_takes(const struct flo_bundle_spec *spec, const struct flo_release *release,
                      uint32_t file)
{
    const struct flo_release_variant *variant = variant_of(spec, release);

    for (size_t i = 0; i < spec->without_count; i++) {
        if (strcmp(spec->without[i], release->files[file].name) == 0) {
            return false;
        }
    }
    if (flo_release_is_step(&release->files[file])) {
        return false; /* a bundle has the complete file, so it needs no intermediate file */
    }
    return variant == NULL || memchr(variant->files, (int)file, variant->file_count) != NULL;
}

static bool has_file(const struct flo_release *const *releases, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_release_find(releases[i], name) != NULL) {
            return true;
        }
    }
    return false;
}

static int check_one(const struct flo_bundle_spec *spec, const struct flo_release *release,
                     struct flo_err *err)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < release->file_count; i++) {
        taken += flo_bundle_takes(spec, release, i);
    }
    return taken > 0 ? 0
                     : flo_fail(err, FLO_E_USAGE,
                                "without all of its files nothing is left of "
                                "%s@%s",
                                release->model, release->version);
}

int flo_bundle_check(const struct flo_bundle_spec *spec, const struct flo_release *const *releases,
                     size_t count, struct flo_err *err)
{
    bool has_variant = spec->variant == NULL;
    int rv = 0;

    for (size_t i = 0; i < count; i++) {
        has_variant = has_variant || variant_of(spec, releases[i]) != NULL;
    }
    if (!has_variant) {
        return flo_fail(err, FLO_E_USAGE, "%s@%s has no variant `%.80s`", releases[0]->model,
                        releases[0]->version, spec->variant);
    }
    for (size_t i = 0; i < spec->without_count; i++) {
        if (!has_file(releases, count, spec->without[i])) {
            return flo_fail(err, FLO_E_USAGE, "%s@%s has no file `%.130s`", releases[0]->model,
                            releases[0]->version, spec->without[i]);
        }
    }
    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = check_one(spec, releases[i], err);
    }
    return rv;
}

/* Tells whether the list already has this digest: equal files share one
 * entry. */
static bool is_carried(const struct carried *list, size_t count, const struct flo_digest *digest)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_digest_equal(&list[i].digest, digest)) {
            return true;
        }
    }
    return false;
}

static int carry(struct carried *list, size_t *count, struct carried one, struct flo_err *err)
{
    if (is_carried(list, *count, &one.digest)) {
        return 0;
    }
    if (*count == BLOBS_MAX) {
        return flo_fail(err, FLO_E_BUNDLE_LIMIT, "more than %d blobs", BLOBS_MAX);
    }
    list[(*count)++] = one;
    return 0;
}

static int carry_way(struct carried *list, size_t *count, const struct flo_way *way,
                     struct flo_err *err)
{
    if (way == NULL) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING, "the release has no such way to get a file");
    }
    return carry(list, count, (struct carried){way->digest, way->bytes, false}, err);
}

/* Adds the list of chunk hashes of a file that the bundle has complete, so that
 * a device can later repair the file by chunks. */
static int carry_chunks(struct carried *list, size_t *count, const struct flo_release_file *file,
                        struct flo_err *err)
{
    struct carried chunks = {file->chunk_list,
                             (uint64_t)flo_release_chunks(file) * FLO_DIGEST_BYTES, true};

    return file->chunk_bytes == 0 || !is_carried(list, *count, &file->digest)
               ? 0
               : carry(list, count, chunks, err);
}

static int compare(const void *a, const void *b)
{
    const struct carried *x = a, *y = b;

    if (x->is_list != y->is_list) {
        return x->is_list ? -1 : 1;
    }
    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? -1 : 1;
    }
    return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

static int choose_of(const struct writer *writer, const struct flo_release *release,
                     struct carried *list, size_t *count, struct flo_err *err)
{
    const struct flo_bundle_spec *spec = writer->spec;

    for (uint32_t i = 0; spec->blob_count == 0 && i < release->file_count; i++) {
        if (flo_bundle_takes(spec, release, i)) {
            FLO_TRY(carry_way(list, count, flo_release_full_way(&release->files[i]), err));
        }
    }
    for (uint32_t i = 0; i < release->file_count; i++) {
        FLO_TRY(carry_chunks(list, count, &release->files[i], err));
    }
    return 0;
}

/* Chooses the blobs of the bundle.  Sorts them: lists of chunk hashes first,
 * then the others by ascending size. */
static int choose(const struct writer *writer, struct carried *list, size_t *count,
                  struct flo_err *err)
{
    const struct flo_bundle_spec *spec = writer->spec;
    int rv = flo_bundle_check(spec, (const struct flo_release *const *)writer->releases,
                              spec->document_count, err);

    for (size_t i = 0; rv == 0 && i < spec->blob_count; i++) {
        rv = carry_way(list, count, find_way(writer, &spec->blobs[i]), err);
    }
    for (size_t i = 0; rv == 0 && i < spec->document_count; i++) {
        rv = choose_of(writer, writer->releases[i], list, count, err);
    }
    qsort(list, *count, sizeof(*list), compare);
    return rv;
}

/* ---- the documents ---- */

/* Tells whether release a must be installed before release b. */
static bool goes_before(const struct writer *writer, size_t a, size_t b)
{
    const struct flo_release *x = writer->releases[a], *y = writer->releases[b];

    return flo_digest_equal(&writer->ids[a], &y->base) ||
           (strcmp(x->model, y->model) == 0 && x->number < y->number);
}

static bool may_come(const struct writer *writer, const bool *is_placed, size_t candidate)
{
    for (size_t i = 0; i < writer->spec->document_count; i++) {
        if (!is_placed[i] && i != candidate && goes_before(writer, i, candidate)) {
            return false;
        }
    }
    return !is_placed[candidate];
}

/* Orders the releases as the caller gave them, but puts a release after those
 * that must be installed before it. */
static void put_in_order(struct writer *writer)
{
    bool is_placed[FLO_BUNDLE_RELEASES_MAX] = {false};
    size_t count = writer->spec->document_count;

    for (size_t place = 0; place < count; place++) {
        size_t next = 0;
        while (next < count && !may_come(writer, is_placed, next)) {
            next++;
        }
        /* Documents that were signed by hand may need each other in a cycle;
         * then any order will do. */
        for (size_t i = 0; next == count; i++) {
            next = is_placed[i] ? count : i;
        }
        is_placed[next] = true;
        writer->order[place] = next;
        writer->facts.releases[place] = writer->ids[next];
    }
    writer->facts.release_count = (uint32_t)count;
}

static int add_documents(struct writer *writer, struct flo_err *err)
{
    const struct flo_bundle_spec *spec = writer->spec;

    if (spec->trust != NULL) {
        FLO_TRY(begin_entry(writer, "trust.json", spec->trust->bytes, err));
        FLO_TRY(add_data(writer, spec->trust->envelope, spec->trust->bytes, err));
    }
    for (size_t i = 0; i < spec->document_count; i++) {
        const struct flo_bundle_document *document = &spec->documents[writer->order[i]];
        char name[32] = "release.json";
        if (spec->document_count > 1) {
            (void)snprintf(name, sizeof name, "release-%zu.json", i);
        }
        FLO_TRY(begin_entry(writer, name, document->bytes, err));
        FLO_TRY(add_data(writer, document->envelope, document->bytes, err));
    }
    return 0;
}

/* ---- the file ---- */

static void carried_free(struct carried **list)
{
    free(*list);
}

static int write_bundle(struct writer *writer, int fd, struct flo_err *err)
{
    FLO_CLEANUP(carried_free)
    struct carried *list = calloc(FLO_BUNDLE_ENTRIES_MAX, sizeof(*list));
    size_t count = 0;

    FLO_TRY(list == NULL ? flo_fail(err, FLO_E_MEMORY, "a list of blobs")
                         : choose(writer, list, &count, err));
    FLO_TRY(open_archive(writer, fd, err));
    FLO_TRY(add_documents(writer, err));
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(add_blob(writer, &list[i], err));
    }
    if (archive_write_close(writer->archive) != ARCHIVE_OK) {
        return archive_fail(writer, err);
    }
    return 0;
}

static int write_file(struct writer *writer, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_output_open(path, &fd, err));
    int rv = write_bundle(writer, fd, err);
    if (rv == 0) {
        return flo_output_commit(fd, path, err);
    }
    flo_output_end();
    return rv;
}

static int parse_one(struct writer *writer, size_t index, struct flo_err *err)
{
    const struct flo_bundle_document *document = &writer->spec->documents[index];
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};

    FLO_TRY(
        flo_envelope_parse(document->envelope, document->bytes, FLO_TYPE_RELEASE, &envelope, err));
    flo_sha256(envelope.body, envelope.body_bytes, &writer->ids[index]);
    FLO_TRY(
        flo_release_new(envelope.body, envelope.body_bytes, NULL, &writer->releases[index], err));
    for (size_t i = 0; i < index; i++) {
        if (flo_digest_equal(&writer->ids[i], &writer->ids[index])) {
            return flo_fail(err, FLO_E_USAGE, "%s@%s stands twice", writer->releases[i]->model,
                            writer->releases[i]->version);
        }
    }
    return 0;
}

static int parse_releases(struct writer *writer, struct flo_err *err)
{
    size_t count = writer->spec->document_count;

    FLO_TRY(count > 0 && count <= FLO_BUNDLE_RELEASES_MAX
                ? 0
                : flo_fail(err, FLO_E_USAGE, "a bundle has 1 to %d releases, not %zu",
                           FLO_BUNDLE_RELEASES_MAX, count));
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(parse_one(writer, i, err));
    }
    put_in_order(writer);
    return 0;
}

int flo_bundle_create(const char *path, const struct flo_bundle_spec *spec,
                      struct flo_bundle_facts *out, struct flo_err *err)
{
    struct writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to write a bundle");
    }
    writer->spec = spec;
    writer->facts.compressed = spec->compress;
    int rv = parse_releases(writer, err);
    if (rv == 0) {
        rv = write_file(writer, path, err);
    }
    (void)archive_write_free(writer->archive);
    if (rv == 0 && out != NULL) {
        *out = writer->facts;
    }
    for (size_t i = 0; i < FLO_BUNDLE_RELEASES_MAX; i++) {
        flo_release_free(writer->releases[i]);
    }
    free(writer);
    return rv;
}
