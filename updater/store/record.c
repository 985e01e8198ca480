/* Two-record file: two records written in turn.  No other kind of file is
 * changed in place.
 *
 * Record A is at 0, record B at 4096: other sectors, mostly another flash page.
 * A write overwrites the record that is *not* the newest; fdatasync follows.  Power loss
 * has two cases:
 *   - before or during the pwrite: the record being written is old, torn or new. A torn record
 * fails its CRC, and the other record is the newest valid one. So the reader gets old or new, never
 * a mix.
 *   - after fdatasync: new.
 * A process killed between the two leaves a newest record that may not be on
 * disk.  So a file is synced before it is written: the record that is not
 * overwritten is on disk then.
 *
 * The file itself appears complete.  It is written as <name>.new with its first
 * record, synced and renamed, and the folder is synced.  So a torn first write
 * never appears under the real name.  The same is done when both records are
 * damaged, so no damage survives a write.
 *
 * Only a device that loses acknowledged data can tear the sector next to the
 * written one (the other record).  Then both CRCs fail, and FLO_E_STATE_SLOT is
 * reported. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#include "updater/store/store.h"

static bool is_valid(const struct flo_record_kind *kind, const uint8_t *record)
{
    return memcmp(record, kind->magic, 4) == 0 && flo_get_u16(record + 4) == kind->format &&
           flo_get_u64(record + 8) > 0 &&
           flo_get_u32(record + kind->bytes - 4) == flo_crc32c(0, record, kind->bytes - 4);
}

int flo_record_choose(const struct flo_record_kind *kind, const uint8_t *first,
                      const uint8_t *second, uint64_t *generation)
{
    uint64_t a = is_valid(kind, first) ? flo_get_u64(first + 8) : 0;
    uint64_t b = is_valid(kind, second) ? flo_get_u64(second + 8) : 0;

    *generation = a > b ? a : b;
    return a == 0 && b == 0 ? -1 : (a > b ? 0 : 1);
}

static bool is_blank(const uint8_t *record, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (record[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Both records of a file; bytes past the end of the file read as zero. */
struct images {
    uint8_t record[2][FLO_RECORD_BYTES_MAX];
    bool is_there; /* true: the file exists and has bytes */
};

static int load(struct flo_store *store, const char *name, const struct flo_record_kind *kind,
                int flags, int *fd, struct images *images, struct flo_err *err)
{
    struct stat st;
    int rv = flo_file_open_beneath(store->slots_fd, name, flags | O_CLOEXEC, 0, fd, err);

    memset(images, 0, sizeof(*images));
    FLO_TRY(rv);
    if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "slots/%s: not a regular file", name);
    }
    images->is_there = st.st_size > 0;
    for (int i = 0; i < 2; i++) {
        size_t done = 0;
        while (done < kind->bytes) {
            ssize_t got = pread(*fd, images->record[i] + done, kind->bytes - done,
                                i * FLO_RECORD_OFFSET + (off_t)done);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                return flo_fail_errno(err, FLO_E_IO_READ, "slots/%s", name);
            }
            if (got == 0) {
                break;
            }
            done += (size_t)got;
        }
    }
    return 0;
}

int flo_record_read(struct flo_store *store, const char *name, const struct flo_record_kind *kind,
                    uint8_t *record, uint64_t *generation, bool *is_repaired, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct images images;
    int rv = load(store, name, kind, O_RDONLY, &fd, &images, err);

    *generation = 0;
    *is_repaired = false;
    if (rv == FLO_E_ABSENT || (rv == 0 && !images.is_there)) {
        return 0;
    }
    FLO_TRY(rv);
    int newest = flo_record_choose(kind, images.record[0], images.record[1], generation);
    if (newest < 0) {
        return flo_fail(err, FLO_E_STATE_SLOT, "%s/slots/%s: neither of its two records is valid",
                        store->path, name);
    }
    const uint8_t *other = images.record[1 - newest];
    *is_repaired = !is_valid(kind, other) && !is_blank(other, kind->bytes);
    memcpy(record, images.record[newest], kind->bytes);
    return 0;
}

/* Writes the whole file under a temporary name, then renames it. */
static int create(struct flo_store *store, const char *name, const struct flo_record_kind *kind,
                  const uint8_t *record, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint8_t image[2 * FLO_RECORD_OFFSET] = {0};
    char temporary[FLO_NAME_MAX + 16];

    snprintf(temporary, sizeof(temporary), "%s.new", name);
    memcpy(image, record, kind->bytes);
    int rv = flo_file_open_beneath(store->slots_fd, temporary,
                                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &fd, err);
    if (rv == 0) {
        rv = flo_fd_write_all(fd, image, sizeof(image), err);
    }
    if (rv == 0 && fdatasync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "sync");
    }
    if (rv == 0 && renameat(store->slots_fd, temporary, store->slots_fd, name) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "rename");
    }
    if (rv < 0) {
        unlinkat(store->slots_fd, temporary, 0);
        return flo_wrap(err, rv, "%s/slots/%s", store->path, name);
    }
    return flo_store_sync_dir(store->slots_fd, "slots", err);
}

/* Overwrites one record and syncs.  Restores the old record when the new one
 * could not be synced.  Then the next write must overwrite the same half: the
 * other half is the only record known to be on disk. */
static int overwrite(int fd, const struct flo_record_kind *kind, const uint8_t *record,
                     const uint8_t *old, int which, struct flo_err *err)
{
    uint64_t offset = (uint64_t)which * FLO_RECORD_OFFSET;
    int rv = flo_fd_pwrite_all(fd, record, kind->bytes, offset, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "the record");
    }
    if (fdatasync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "sync the record");
        (void)!flo_fd_pwrite_all(fd, old, kind->bytes, offset, NULL);
    }
    return rv;
}

int flo_record_write(struct flo_store *store, const char *name, const struct flo_record_kind *kind,
                     uint8_t *record, uint64_t *generation, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct images images;
    uint64_t newest_generation = 0;

    if (store->lock_fd < 0) {
        return flo_fail(err, FLO_E_STATE, "%s is open without its lock: slots/%s not written",
                        store->path, name);
    }
    int rv = load(store, name, kind, O_RDWR, &fd, &images, err);
    if (rv != FLO_E_ABSENT) {
        FLO_TRY(rv);
    }
    if (rv == 0 && fdatasync(fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s/slots/%s: sync", store->path, name);
    }
    int newest = flo_record_choose(kind, images.record[0], images.record[1], &newest_generation);
    memcpy(record, kind->magic, 4);
    flo_put_u16(record + 4, kind->format);
    flo_put_u64(record + 8, newest_generation + 1);
    flo_put_u32(record + kind->bytes - 4, flo_crc32c(0, record, kind->bytes - 4));
    if (newest < 0) {
        rv = create(store, name, kind, record, err);
    } else {
        rv = overwrite(fd, kind, record, images.record[1 - newest], 1 - newest, err);
        if (rv < 0) {
            flo_wrap(err, rv, "%s/slots/%s", store->path, name);
        }
    }
    if (rv == 0) {
        *generation = newest_generation + 1;
    }
    return rv;
}
