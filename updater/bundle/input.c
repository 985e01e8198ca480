/* Bundle input: decompresses zstd itself, because libarchive accepts any window
 * size and this reader at most 8 MiB. */
#include "updater/bundle/input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include <zstd.h>
#include <zstd_errors.h>

#include <flotilla/errors/bundle.h>

#define IN_BYTES (128u << 10)
#define OUT_BYTES (256u << 10)
#define MAGIC 0xFD2FB528u

struct bundle_input {
    int fd;
    uint64_t offset;      /* offset of the next read */
    ZSTD_DStream *stream; /* NULL: the input is not compressed */
    size_t hint;          /* input bytes that zstd wants next; 0: the frame is complete */
    ZSTD_inBuffer in;
    struct flo_err err;
    uint8_t raw[IN_BYTES];
    uint8_t out[OUT_BYTES];
};

static int start_zstd(struct bundle_input *input, struct flo_err *err)
{
    input->stream = ZSTD_createDStream();
    input->hint = 1;
    if (input->stream == NULL ||
        ZSTD_isError(
            ZSTD_DCtx_setParameter(input->stream, ZSTD_d_windowLogMax, FLO_ZSTD_WINDOW_LOG_MAX))) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to unpack the bundle");
    }
    return 0;
}

int flo_bundle_input_open(const char *path, struct bundle_input **out, struct flo_err *err)
{
    uint8_t magic[4];
    int fd = -1;
    int rv = flo_file_open(path, &fd, err);

    FLO_TRY(rv);
    struct bundle_input *input = calloc(1, sizeof *input);
    if (input == NULL) {
        (void)close(fd);
        return flo_fail(err, FLO_E_MEMORY, "no memory to read a bundle");
    }
    input->fd = fd;
    ssize_t bytes = pread(fd, magic, sizeof magic, 0);
    if (bytes == (ssize_t)sizeof magic && flo_get_u32(magic) == MAGIC) {
        rv = start_zstd(input, err);
    }
    if (rv < 0) {
        flo_bundle_input_close(input);
        return rv;
    }
    *out = input;
    return 0;
}

void flo_bundle_input_close(struct bundle_input *input)
{
    if (input != NULL) {
        ZSTD_freeDStream(input->stream);
        (void)close(input->fd);
        free(input);
    }
}

bool flo_bundle_input_is_compressed(const struct bundle_input *input)
{
    return input->stream != NULL;
}

int flo_bundle_input_failure(const struct bundle_input *input, struct flo_err *err)
{
    if (input->err.code < 0 && err != NULL) {
        *err = input->err;
    }
    return input->err.code;
}

static ssize_t read_raw(struct bundle_input *input)
{
    ssize_t bytes;

    do {
        bytes = pread(input->fd, input->raw, sizeof input->raw, (off_t)input->offset);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        (void)flo_fail_errno(&input->err, FLO_E_IO_READ, "bundle at byte %" PRIu64, input->offset);
        return -1;
    }
    input->offset += (uint64_t)bytes;
    return bytes;
}

static ssize_t fail_zstd(struct bundle_input *input, size_t result)
{
    ZSTD_ErrorCode why = ZSTD_getErrorCode(result);

    (void)flo_fail(&input->err,
                   why == ZSTD_error_frameParameter_windowTooLarge ? FLO_E_BUNDLE_BOMB
                   : why == ZSTD_error_memory_allocation           ? FLO_E_MEMORY
                                                                   : FLO_E_BUNDLE_FORMAT,
                   "the bundle's zstd frame near byte %" PRIu64 ": %s", input->offset,
                   ZSTD_getErrorName(result));
    return -1;
}

static ssize_t next_zstd(struct bundle_input *input, const void **data)
{
    ZSTD_outBuffer out = {input->out, sizeof input->out, 0};

    while (out.pos == 0 && input->hint != 0) {
        if (input->in.pos == input->in.size) {
            ssize_t bytes = read_raw(input);
            if (bytes < 0) {
                return -1;
            }
            if (bytes == 0) {
                (void)flo_fail(&input->err, FLO_E_BUNDLE_TRUNCATED,
                               "the bundle's zstd frame ends too early, at "
                               "byte %" PRIu64,
                               input->offset);
                return -1;
            }
            input->in = (ZSTD_inBuffer){input->raw, (size_t)bytes, 0};
        }
        input->hint = ZSTD_decompressStream(input->stream, &out, &input->in);
        if (ZSTD_isError(input->hint)) {
            return fail_zstd(input, input->hint);
        }
    }
    *data = input->out;
    return (ssize_t)out.pos;
}

ssize_t flo_bundle_input_next(struct bundle_input *input, const void **data)
{
    if (input->err.code < 0) {
        return -1;
    }
    if (input->stream != NULL) {
        return next_zstd(input, data);
    }
    *data = input->raw;
    return read_raw(input);
}
