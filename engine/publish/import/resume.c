#include "engine/publish/import/resume.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x31524946u /* 'FIR1' */
#define FIRST_BYTES (64u << 10)
#define PIECE_BYTES (1u << 20)

/* ---- the inputs ---- */

/* Adds the bytes of a file from `from` to `to` to a CRC. */
static int add_bytes(int fd, uint64_t from, uint64_t to, uint32_t *crc, struct flo_err *err)
{
    static uint8_t piece[PIECE_BYTES];

    while (from < to) {
        uint64_t some = to - from < sizeof(piece) ? to - from : sizeof(piece);
        FLO_TRY(flo_fd_pread_all(fd, piece, (size_t)some, from, err));
        *crc = flo_crc32c(*crc, piece, (size_t)some);
        from += some;
    }
    return 0;
}

static int add_shard(int fd, uint32_t *crc, struct flo_err *err)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a file of weights");
    }
    const uint64_t about[] = {(uint64_t)status.st_dev, (uint64_t)status.st_ino,
                              (uint64_t)status.st_size, (uint64_t)status.st_mtim.tv_sec,
                              (uint64_t)status.st_mtim.tv_nsec};
    *crc = flo_crc32c(*crc, about, sizeof(about));
    uint64_t bytes = (uint64_t)status.st_size;
    return add_bytes(fd, 0, bytes < FIRST_BYTES ? bytes : FIRST_BYTES, crc, err);
}

/* The head has all keys, types and places, so it covers the options and the
 * folder's small files. */
static int read_inputs(struct flo_resume *resume, const struct flo_import *import,
                       struct flo_err *err)
{
    static const char version[] = FLO_VERSION;

    resume->head_crc = flo_crc32c(0, version, sizeof(version));
    FLO_TRY(add_bytes(resume->fd, 0, resume->data_at, &resume->head_crc, err));
    for (size_t i = 0; i < import->folder.shard_count; i++) {
        FLO_TRY(add_shard(import->folder.fds[i], &resume->shards_crc, err));
    }
    return 0;
}

/* ---- the record ---- */

static void make_record(const struct flo_resume *resume, size_t tensors, uint64_t bytes,
                        uint8_t *record)
{
    flo_put_u32(record, MAGIC);
    flo_put_u32(record + 4, resume->crc);
    flo_put_u64(record + 8, tensors);
    flo_put_u64(record + 16, bytes);
    flo_put_u32(record + 24, resume->head_crc);
    flo_put_u32(record + 28, resume->shards_crc);
    flo_put_u32(record + 32, flo_crc32c(0, record, 32));
}

/* Checks a record, and the bytes that it tells of. */
static int check_record(struct flo_resume *resume, const uint8_t *record,
                        const struct flo_gguf_tensor *heads, size_t count, struct flo_err *err)
{
    uint8_t same[FLO_RESUME_RECORD_BYTES];
    uint64_t tensors = flo_get_u64(record + 8), bytes = flo_get_u64(record + 16);

    if (tensors == 0 || tensors > count ||
        bytes != heads[tensors - 1].offset + heads[tensors - 1].bytes) {
        return 0;
    }
    FLO_TRY(add_bytes(resume->fd, resume->data_at, resume->data_at + bytes, &resume->crc, err));
    make_record(resume, (size_t)tensors, bytes, same);
    if (memcmp(record, same, sizeof(same)) != 0) {
        resume->crc = 0;
        return 0;
    }
    resume->tensors = (size_t)tensors;
    resume->bytes = resume->noted = bytes;
    return 0;
}

int flo_resume_find(struct flo_resume *resume, const struct flo_import *import,
                    const struct flo_gguf_tensor *heads, uint64_t data_bytes, int fd,
                    struct flo_err *err)
{
    uint8_t record[FLO_RESUME_RECORD_BYTES];
    off_t at = lseek(fd, 0, SEEK_CUR);
    struct stat status;

    if (at < 0 || fstat(fd, &status) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "the new file");
    }
    *resume = (struct flo_resume){.fd = fd,
                                  .data_at = (uint64_t)at,
                                  .end = (uint64_t)at + data_bytes,
                                  .step_bytes = resume->step_bytes};
    FLO_TRY(read_inputs(resume, import, err));
    if ((uint64_t)status.st_size == resume->end + sizeof(record)) {
        FLO_TRY(flo_fd_pread_all(fd, record, sizeof(record), resume->end, err));
        FLO_TRY(check_record(resume, record, heads, import->output_count, err));
    }
    /* A part of other inputs must not be read again after a second end. */
    if (resume->tensors == 0 && ftruncate(fd, at) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "the new file");
    }
    return lseek(fd, at + (off_t)resume->bytes, SEEK_SET) >= 0
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "the new file");
}

/* Returns how many bytes have to come before the record is renewed. */
static uint64_t step_of(const struct flo_resume *resume)
{
    uint64_t step = resume->noted;

    step = step > FLO_RESUME_STEP_BYTES ? step : FLO_RESUME_STEP_BYTES;
    step = step < FLO_RESUME_STEP_BYTES_MAX ? step : FLO_RESUME_STEP_BYTES_MAX;
    return resume->step_bytes != 0 ? resume->step_bytes : step;
}

int flo_resume_note(struct flo_resume *resume, size_t tensors, uint64_t bytes, struct flo_err *err)
{
    uint8_t record[FLO_RESUME_RECORD_BYTES];
    if (bytes - resume->noted < step_of(resume)) {
        return 0;
    }
    FLO_TRY(add_bytes(resume->fd, resume->data_at + resume->noted, resume->data_at + bytes,
                      &resume->crc, err));
    if (fdatasync(resume->fd) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync of the new file");
    }
    make_record(resume, tensors, bytes, record);
    resume->noted = bytes;
    return flo_fd_pwrite_all(resume->fd, record, sizeof(record), resume->end, err);
}

int flo_resume_end(const struct flo_resume *resume, struct flo_err *err)
{
    return ftruncate(resume->fd, (off_t)resume->end) == 0
               ? 0
               : flo_fail_errno(err, FLO_E_IO_WRITE, "the new file");
}
