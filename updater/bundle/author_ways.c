/* The ways to get one file of a release: made, measured, kept when they are
 * worth a device's trouble; and the hashes of its chunks. */
#include "updater/bundle/author.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/host/digest.h"

#define PIECE_BYTES (256u << 10)
#define CHUNK_BYTES_MIN (1u << 20)
#define CHUNK_BYTES_MAX (8u << 20)
/* 27 KiB of the document's 64; larger chunks before more of them. */
#define CHUNKS_WANTED_MAX 400
#define CHUNKS_MAX 700

/* ---- files ---- */

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

/* ---- chunk hashes ---- */

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

int flo_author_add_chunks(struct author_build *build,
                          struct flo_release_file *file, int fd,
                          struct flo_err *err)
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

/* ---- ways ---- */

static struct flo_author_blob *add_blob(struct author_build *build,
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

int flo_author_make_way(struct author_build *build,
                        struct flo_release_file *file, int fd,
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

int flo_author_make_delta(struct author_build *build,
                          struct flo_release_file *file, int fd,
                          const char *base_path, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int base_fd = -1;
    struct flo_digest base;
    int rv = flo_file_open(base_path, &base_fd, err);

    if (rv == 0) {
        rv = flo_sha256_fd(base_fd, &base, NULL, err);
    }
    if (rv < 0 || has_base(file, &base)) {
        return rv;
    }
    rv = flo_author_make_way(build, file, fd, FLO_CODEC_BSDIFF40, base_fd,
                             &base, err);
    return rv < 0 ? flo_wrap(err, rv, "delta from %s", base_path) : 0;
}
