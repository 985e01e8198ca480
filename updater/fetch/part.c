/* Download in progress; part.h has its guarantees.
 *
 * partial/<hex>.part has its full size from the beginning.  partial/<hex>.map
 * says how much of it is valid.  The map has two alternating records, because
 * it is rewritten after each unit and a write may be torn.
 *
 *     0  magic "FLPM"    4  u16 format 1     6  u16 zero
 *     8  u64 generation
 *    16  u64 bytes of the artifact
 *    24  u64 done        contiguous units that were written
 *    32  u64 synced      the part of `done` that was synced before this record
 *    40  u64 tail        bytes of the unit after `done`, at an orderly end
 *    48  boot id[16]
 *    64  etag[96]
 *   160  zero          508  u32 crc32c
 *
 * In the same boot `done` holds even after SIGKILL, because the page cache
 * survives.  After a reboot only `synced` holds: its data was on disk before
 * the record was written.  All bytes that the map claims are hashed again
 * before use. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/net.h>

#include "base/host/digest.h"
#include "updater/fetch/part.h"

static const struct flo_record_kind MAP = {"FLPM", 1, 512};

struct flo_part {
    struct flo_store *store;
    struct flo_artifact artifact;
    int fd;
    int map_fd;
    size_t unit;
    uint8_t *buffer; /* [unit] */
    size_t buffered;
    uint64_t done; /* bytes on disk, verified and hashed: [0, done) */
    uint64_t synced;
    uint8_t *is_here;      /* one bit for each chunk after `done` that is correct on disk */
    struct flo_sha256 sha; /* hash of [0, done) */
    uint8_t boot_id[16];
    char etag[FLO_PART_ETAG];
    uint64_t map_generation;
    int map_newest;
};

/* ---- map ---- */

struct claims {
    uint64_t done;
    uint64_t synced;
    uint64_t tail;
    bool is_valid;
};

static void read_boot_id(uint8_t out[16])
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;
    char digits[33];
    size_t n = 0;

    memset(out, 0, 16);
    if (flo_file_read("/proc/sys/kernel/random/boot_id", 64, &text, &bytes, NULL) < 0) {
        return;
    }
    for (size_t i = 0; i < bytes && n < 32; i++) {
        if (text[i] != '-') {
            digits[n++] = text[i];
        }
    }
    digits[n] = '\0';
    if (n != 32 || !flo_hex_decode(digits, out, 16)) {
        memset(out, 0, 16);
    }
}

static struct claims read_map(struct flo_part *part)
{
    static const uint8_t unknown[16];
    uint8_t records[2][512] = {{0}};
    struct claims claims = {.is_valid = false};

    for (int i = 0; i < 2; i++) {
        if (pread(part->map_fd, records[i], 512, i * FLO_RECORD_OFFSET) < 0) {
            return claims;
        }
    }
    part->map_newest = flo_record_choose(&MAP, records[0], records[1], &part->map_generation);
    if (part->map_newest < 0) {
        return claims;
    }
    const uint8_t *record = records[part->map_newest];
    uint64_t done = flo_get_u64(record + 24);
    uint64_t synced = flo_get_u64(record + 32);
    uint64_t tail = flo_get_u64(record + 40);
    bool is_same_boot =
        memcmp(record + 48, part->boot_id, 16) == 0 && memcmp(part->boot_id, unknown, 16) != 0;

    if (flo_get_u64(record + 16) != part->artifact.bytes || done > part->artifact.bytes ||
        synced > done || tail >= part->unit || tail > part->artifact.bytes - done ||
        (done % part->unit != 0 && done != part->artifact.bytes)) {
        return claims;
    }
    claims.is_valid = true;
    claims.done = is_same_boot ? done : synced;
    claims.synced = synced;
    claims.tail = is_same_boot ? tail : 0;
    memcpy(part->etag, record + 64, sizeof(part->etag));
    part->etag[sizeof(part->etag) - 1] = '\0';
    return claims;
}

static int write_map(struct flo_part *part, uint64_t tail, struct flo_err *err)
{
    uint8_t record[512] = {0};
    int which = part->map_newest == 0 ? 1 : 0;

    memcpy(record, MAP.magic, 4);
    flo_put_u16(record + 4, MAP.format);
    flo_put_u64(record + 8, part->map_generation + 1);
    flo_put_u64(record + 16, part->artifact.bytes);
    flo_put_u64(record + 24, part->done);
    flo_put_u64(record + 32, part->synced);
    flo_put_u64(record + 40, tail);
    memcpy(record + 48, part->boot_id, 16);
    memcpy(record + 64, part->etag, sizeof(part->etag));
    flo_put_u32(record + 508, flo_crc32c(0, record, 508));
    int rv = flo_fd_pwrite_all(part->map_fd, record, sizeof(record),
                               (uint64_t)which * FLO_RECORD_OFFSET, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "the download's map");
    }
    part->map_generation++;
    part->map_newest = which;
    return 0;
}

/* Writes a record of the map, after the data that the record claims. */
static int checkpoint(struct flo_part *part, struct flo_err *err)
{
    bool sync = part->done - part->synced >= FLO_PART_SYNC_BYTES;

    if (sync) {
        if (fdatasync(part->fd) < 0) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "sync the download");
        }
        part->synced = part->done;
    }
    FLO_TRY(write_map(part, 0, err));
    if (sync && fdatasync(part->map_fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync the download's map");
    }
    return 0;
}

/* ---- units ---- */

static size_t unit_bytes(const struct flo_part *part, uint64_t offset)
{
    uint64_t rest = part->artifact.bytes - offset;

    return rest < part->unit ? (size_t)rest : part->unit;
}

static bool is_right(const struct flo_part *part, uint64_t offset, const void *data, size_t bytes)
{
    struct flo_digest digest;

    if (part->artifact.chunks == NULL) {
        return true;
    }
    flo_sha256(data, bytes, &digest);
    return flo_digest_equal(&digest, &part->artifact.chunks[offset / part->unit]);
}

static void set_here(struct flo_part *part, uint64_t offset)
{
    uint64_t i = offset / part->unit;

    part->is_here[i / 8] |= (uint8_t)(1u << (i % 8));
}

static bool get_here(const struct flo_part *part, uint64_t offset)
{
    uint64_t i = offset / part->unit;

    return (part->is_here[i / 8] >> (i % 8) & 1) != 0;
}

/* Counts the next unit (a chunk, or 1 MiB) of `bytes` bytes as done, because it
 * is on disk and correct. */
static void advance(struct flo_part *part, const void *data, size_t bytes)
{
    flo_sha256_update(&part->sha, data, bytes);
    part->done += bytes;
}

/* Tells whether the unit at `offset` is correct in the file.  If it is not,
 * tries to copy it from the damaged blob `rotten` (-1: none).  Returns false
 * when both fail; then the unit is fetched. */
static bool find_unit(const struct flo_part *part, bool is_claimed, int rotten, uint64_t offset)
{
    size_t bytes = unit_bytes(part, offset);

    if (is_claimed && flo_fd_pread_all(part->fd, part->buffer, bytes, offset, NULL) == 0 &&
        is_right(part, offset, part->buffer, bytes)) {
        return true;
    }
    return rotten >= 0 && flo_fd_pread_all(rotten, part->buffer, bytes, offset, NULL) == 0 &&
           is_right(part, offset, part->buffer, bytes) &&
           flo_fd_pwrite_all(part->fd, part->buffer, bytes, offset, NULL) == 0;
}

/* Checks the units in [0, end), which the map says are on disk.  With a damaged
 * blob (`rotten` >= 0) checks every unit, because the blob may have any of
 * them. */
static void check_claims(struct flo_part *part, uint64_t end, int rotten)
{
    uint64_t last = rotten >= 0 ? part->artifact.bytes : end;

    for (uint64_t offset = 0; offset < last; offset += part->unit) {
        if (!find_unit(part, offset < end, rotten, offset)) {
            continue;
        }
        if (part->done == offset) {
            advance(part, part->buffer, unit_bytes(part, offset));
        } else if (part->is_here != NULL) {
            set_here(part, offset);
        }
    }
}

/* Counts the correct chunks that follow a gap that was just filled, reading
 * them from disk. */
static int skip_present(struct flo_part *part, struct flo_err *err)
{
    while (part->done < part->artifact.bytes && part->is_here != NULL &&
           get_here(part, part->done)) {
        size_t bytes = unit_bytes(part, part->done);
        FLO_TRY(flo_fd_pread_all(part->fd, part->buffer, bytes, part->done, err));
        advance(part, part->buffer, bytes);
    }
    return 0;
}

/* ---- open and close ---- */

static int open_file(struct flo_part *part, const char *suffix, bool *is_fresh, int *fd,
                     struct flo_err *err)
{
    char name[FLO_PART_NAME];

    flo_store_part_name(&part->artifact.digest, suffix, name);
    int rv = flo_store_partial_open(part->store, name, O_RDWR | O_CLOEXEC, fd, err);
    *is_fresh = rv == FLO_E_ABSENT;
    if (rv == FLO_E_ABSENT) {
        rv = flo_file_open_beneath(part->store->partial_fd, name,
                                   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, fd, err);
    }
    return rv;
}

/* Reserves the disk space of the whole artifact, so that a full disk shows
 * before the first byte is downloaded. */
static int reserve(struct flo_part *part, struct flo_err *err)
{
    uint64_t bytes = part->artifact.bytes;
    struct stat st;

    if (fstat(part->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "the partial download is no regular file");
    }
    if (bytes > INT64_MAX) {
        return flo_fail(err, FLO_E_DISK_FULL, "%llu bytes cannot be stored",
                        (unsigned long long)bytes);
    }
    if ((uint64_t)st.st_size > bytes && ftruncate(part->fd, (off_t)bytes) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "cut the partial download");
    }
    int failure = bytes == 0 ? 0 : posix_fallocate(part->fd, 0, (off_t)bytes);

    if (failure == ENOSPC) { /* gives up the damaged blob: better to fetch all
                              * its bytes again than to fail */
        flo_store_rotten_remove(part->store, &part->artifact.digest);
        failure = posix_fallocate(part->fd, 0, (off_t)bytes);
    }
    if (failure == ENOSPC || failure == EDQUOT || failure == EFBIG) {
        return flo_fail(err, FLO_E_DISK_FULL, "%llu bytes needed, %llu free",
                        (unsigned long long)bytes,
                        (unsigned long long)flo_store_disk_free(part->store));
    }
    if (failure != 0) {
        errno = failure;
        return flo_fail_errno(err, FLO_E_IO_WRITE, "reserve %llu bytes", (unsigned long long)bytes);
    }
    return 0;
}

static int resume(struct flo_part *part, bool is_fresh, struct flo_err *err)
{
    struct claims claims = read_map(part);

    /* The file was missing and is new, so the map says nothing about its
     * bytes. */
    if (is_fresh) {
        claims = (struct claims){.is_valid = false};
    }
    uint64_t end = claims.done;
    FLO_CLEANUP(flo_fd_cleanup)
    int rotten = part->artifact.chunks == NULL
                     ? -1
                     : flo_store_rotten_open(part->store, &part->artifact.digest);

    /* Without a map, chunk hashes still tell which bytes are correct. */
    if (!claims.is_valid && !is_fresh && part->artifact.chunks != NULL) {
        end = part->artifact.bytes;
    }
    check_claims(part, end, rotten);
    if (rotten >= 0 && fdatasync(part->fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync the download");
    }
    flo_store_rotten_remove(part->store, &part->artifact.digest);
    part->synced = claims.synced < part->done ? claims.synced : part->done;
    FLO_TRY(skip_present(part, err));
    if (claims.is_valid && claims.tail > 0 && part->done == claims.done &&
        flo_fd_pread_all(part->fd, part->buffer, (size_t)claims.tail, part->done, NULL) == 0) {
        part->buffered = (size_t)claims.tail;
    }
    return 0;
}

static int open_part(struct flo_part *part, struct flo_err *err)
{
    bool is_fresh = false;
    bool is_map_fresh = false;

    FLO_TRY(open_file(part, ".part", &is_fresh, &part->fd, err));
    int rv = reserve(part, err);
    if (rv == 0) {
        rv = open_file(part, ".map", &is_map_fresh, &part->map_fd, err);
    }
    if (rv < 0 && is_fresh) {
        flo_store_part_remove(part->store, &part->artifact.digest);
    }
    if (rv == 0) {
        rv = flo_sha256_init(&part->sha, err);
    }
    FLO_TRY(rv);
    return resume(part, is_fresh, err);
}

static int new_part(struct flo_store *store, const struct flo_artifact *artifact,
                    struct flo_part **out, struct flo_err *err)
{
    bool has_chunks = artifact->chunks != NULL && artifact->chunk_bytes > 0;
    uint64_t unit = has_chunks ? artifact->chunk_bytes : FLO_PART_UNIT;
    struct flo_part *part = calloc(1, sizeof(*part));

    if (part == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a download");
    }
    part->store = store;
    part->artifact = *artifact;
    part->fd = -1;
    part->map_fd = -1;
    part->map_newest = -1;
    part->unit = (size_t)unit;
    part->buffer = malloc(part->unit);
    if (has_chunks) {
        part->is_here = calloc(artifact->chunk_count / 8 + 1, 1);
    } else {
        part->artifact.chunks = NULL;
    }
    if (part->buffer == NULL || (has_chunks && part->is_here == NULL)) {
        flo_part_close(part);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a download");
    }
    read_boot_id(part->boot_id);
    *out = part;
    return 0;
}

int flo_part_open(struct flo_store *store, const struct flo_artifact *artifact,
                  struct flo_part **out, struct flo_err *err)
{
    struct flo_part *part = NULL;
    char name[FLO_PART_NAME];
    int rv = 0;

    if (artifact->chunks != NULL && artifact->chunk_bytes > 0 &&
        (artifact->bytes + artifact->chunk_bytes - 1) / artifact->chunk_bytes !=
            artifact->chunk_count) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%u chunks do not cover %llu bytes",
                        artifact->chunk_count, (unsigned long long)artifact->bytes);
    }
    rv = new_part(store, artifact, &part, err);
    if (rv == 0) {
        rv = open_part(part, err);
    }
    if (rv < 0) {
        if (part != NULL) {
            part->buffered = 0;
        }
        flo_part_close(part);
        flo_store_part_name(&artifact->digest, ".part", name);
        return flo_wrap(err, rv, "%s/partial/%s", store->path, name);
    }
    *out = part;
    return 0;
}

/* Writes the bytes of the incomplete unit, so that they are not fetched again
 * after the next start. */
static void keep_tail(struct flo_part *part)
{
    if (part->fd < 0 || part->map_fd < 0 || part->buffered == 0) {
        return;
    }
    if (flo_fd_pwrite_all(part->fd, part->buffer, part->buffered, part->done, NULL) < 0 ||
        write_map(part, part->buffered, NULL) < 0) {
        flo_log(FLO_LOG_WARN, "fetch", "%zu bytes will be fetched again", part->buffered);
    }
}

void flo_part_close(struct flo_part *part)
{
    if (part == NULL) {
        return;
    }
    keep_tail(part);
    flo_sha256_deinit(&part->sha);
    flo_fd_cleanup(&part->fd);
    flo_fd_cleanup(&part->map_fd);
    free(part->is_here);
    free(part->buffer);
    free(part);
}

/* ---- bytes ---- */

uint64_t flo_part_position(const struct flo_part *part)
{
    return part->done + part->buffered;
}

uint64_t flo_part_kept(const struct flo_part *part)
{
    return part->done;
}

const char *flo_part_etag(const struct flo_part *part)
{
    return part->etag;
}

void flo_part_set_etag(struct flo_part *part, const char *etag)
{
    if (strlen(etag) < sizeof(part->etag)) {
        memset(part->etag, 0, sizeof(part->etag));
        memcpy(part->etag, etag, strlen(etag));
    }
}

/* Writes the complete unit in the buffer. */
static int flush(struct flo_part *part, struct flo_err *err)
{
    size_t bytes = part->buffered;

    part->buffered = 0;
    if (!is_right(part, part->done, part->buffer, bytes)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "chunk %llu of %u does not have its digest",
                        (unsigned long long)(part->done / part->unit), part->artifact.chunk_count);
    }
    int rv = flo_fd_pwrite_all(part->fd, part->buffer, bytes, part->done, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "the download");
    }
    advance(part, part->buffer, bytes);
    FLO_TRY(skip_present(part, err));
    return checkpoint(part, err);
}

int flo_part_write(struct flo_part *part, const void *data, size_t bytes, struct flo_err *err)
{
    const uint8_t *p = data;

    while (bytes > 0) {
        if (part->done == part->artifact.bytes) {
            return flo_fail(err, FLO_E_NET_CONTENT, "more than the %llu bytes of the release came",
                            (unsigned long long)part->artifact.bytes);
        }
        uint64_t before = part->done;
        size_t unit = unit_bytes(part, part->done);
        size_t take = unit - part->buffered;
        take = take < bytes ? take : bytes;
        memcpy(part->buffer + part->buffered, p, take);
        part->buffered += take;
        p += take;
        bytes -= take;
        if (part->buffered == unit) {
            int rv = flush(part, err);
            FLO_TRY(rv);
            if (part->done != before + unit) {
                return 0; /* the position jumped: the disk already has the rest of `data` */
            }
        }
    }
    return 0;
}

static int begin_again(struct flo_part *part, struct flo_err *err)
{
    part->done = 0;
    part->synced = 0;
    part->buffered = 0;
    if (part->is_here != NULL) {
        memset(part->is_here, 0, part->artifact.chunk_count / 8 + 1);
    }
    FLO_TRY(flo_sha256_init(&part->sha, err));
    return write_map(part, 0, err);
}

int flo_part_finish(struct flo_part *part, int *fd, struct flo_err *err)
{
    struct flo_digest actual;
    char text[FLO_DIGEST_TEXT];

    if (part->done != part->artifact.bytes) {
        return flo_fail(err, FLO_E_STATE, "%llu of %llu bytes are here",
                        (unsigned long long)flo_part_position(part),
                        (unsigned long long)part->artifact.bytes);
    }
    flo_sha256_final(&part->sha, &actual);
    if (!flo_digest_equal(&actual, &part->artifact.digest)) {
        FLO_TRY(begin_again(part, err));
        flo_digest_text(&actual, text);
        return flo_fail(err, FLO_E_TARGET_HASH, "the bytes that came hash to %s", text);
    }
    *fd = part->fd;
    part->fd = -1;
    return 0;
}
