/* zstd codec: compressed full downloads, with windows that every device can
 * hold.
 *
 * The encoder writes level 19 with windows of at most 8 MiB, the size in the
 * header and a 32-bit checksum.  So damage is noticed even without a release.
 *
 * The decoder accepts one frame only: no dictionary, no skippable frame, and no
 * bytes after it.  Decoding stops at the release's size, which limits a
 * decompression bomb. */
#include "updater/delta/sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include <zstd.h>
#include <zstd_errors.h>

#include <flotilla/errors/patch.h>

#define LEVEL 19
#define THREAD_BYTES (8 << 20) /* bytes that one thread encodes */
#define THREAD_OVERLAP 7       /* zstd's overlap level 7 of 9: a quarter of the window */
#define INPUT_BYTES (64u << 10)
#define MAGIC 0xFD2FB528u
/* Bytes of memory that decoding needs besides the window: two blocks, tables,
 * and our two buffers. */
#define DECODER_BYTES ((640u << 10) + INPUT_BYTES + DELTA_PIECE_BYTES)

/* ---- head (RFC 8878 section 3.1.1.1) ---- */

static uint64_t window_of(uint8_t descriptor)
{
    uint64_t base = UINT64_C(1) << (10 + (descriptor >> 3));

    return base + base / 8 * (descriptor & 7);
}

int flo_zstd_head_read(const uint8_t *data, size_t bytes, struct zstd_head *out,
                       struct flo_err *err)
{
    static const uint8_t id_bytes[] = {0, 1, 2, 4};

    if (bytes >= 4 && flo_get_u32(data) != MAGIC) {
        return flo_fail(err, FLO_E_PATCH_FORMAT, "the file does not begin as a zstd frame");
    }
    if (bytes < 6) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "%zu bytes are no zstd frame", bytes);
    }
    uint8_t descriptor = data[4];
    bool is_single = (descriptor & 0x20) != 0;
    size_t size_bytes = (size_t)1 << (descriptor >> 6);
    if (size_bytes == 1 && !is_single) {
        size_bytes = 0;
    }
    if ((descriptor & 0x08) != 0 || id_bytes[descriptor & 3] != 0) {
        return flo_fail(err, FLO_E_PATCH_FORMAT,
                        "the zstd frame wants a dictionary or has reserved "
                        "bits (descriptor 0x%02x)",
                        descriptor);
    }
    size_t offset = is_single ? 5 : 6;
    if (bytes < offset + size_bytes) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "the zstd frame's head is cut");
    }
    uint64_t size = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        size |= (uint64_t)data[offset + i] << (8 * i);
    }
    out->has_content_bytes = size_bytes > 0;
    out->content_bytes = size_bytes == 2 ? size + 256 : size;
    out->window_bytes = is_single ? out->content_bytes : window_of(data[5]);
    return 0;
}

uint64_t flo_zstd_memory_bytes(const struct zstd_head *head)
{
    uint64_t need;

    return flo_add_u64(head->window_bytes, DECODER_BYTES, &need) ? need : UINT64_MAX;
}

static int check_head(const struct flo_delta_job *job, const struct zstd_head *head,
                      struct flo_err *err)
{
    uint64_t window_max = UINT64_C(1) << FLO_ZSTD_WINDOW_LOG_MAX;

    if (head->has_content_bytes && head->content_bytes != job->new_bytes) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the zstd frame holds %" PRIu64 " bytes, expected are "
                        "%" PRIu64,
                        head->content_bytes, job->new_bytes);
    }
    if (head->window_bytes > window_max) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the zstd frame's window is %" PRIu64 " bytes, allowed "
                        "are %" PRIu64,
                        head->window_bytes, window_max);
    }
    uint64_t need = flo_zstd_memory_bytes(head);
    if (need > job->memory_bytes_max) {
        return flo_fail(err, FLO_E_PATCH_LIMIT,
                        "the zstd frame needs %" PRIu64 " bytes of memory, "
                        "allowed are %" PRIu64,
                        need, job->memory_bytes_max);
    }
    return 0;
}

/* ---- decode ---- */

struct decode {
    const struct flo_delta_job *job;
    struct delta_sink *sink;
    uint64_t patch_bytes;
    uint64_t offset; /* offset in the patch where the next read begins */
    ZSTD_DStream *stream;
    ZSTD_inBuffer in;
    uint8_t input[INPUT_BYTES];
    uint8_t output[DELTA_PIECE_BYTES];
};

static int fill(struct decode *decode, struct flo_err *err)
{
    uint64_t left = decode->patch_bytes - decode->offset;
    size_t bytes = left < INPUT_BYTES ? (size_t)left : INPUT_BYTES;

    if (bytes == 0) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "the zstd frame ends too early");
    }
    int rv = flo_fd_pread_all(decode->job->patch_fd, decode->input, bytes, decode->offset, err);
    decode->offset += bytes;
    decode->in = (ZSTD_inBuffer){decode->input, bytes, 0};
    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

static int decode_run(struct decode *decode, struct flo_err *err)
{
    size_t hint = 1;

    while (hint != 0) {
        ZSTD_outBuffer out = {decode->output, sizeof decode->output, 0};
        if (decode->in.pos == decode->in.size) {
            int rv = fill(decode, err);
            FLO_TRY(rv);
        }
        /* zstd may hold more data when the output buffer is full, so the loop
         * continues until it is not. */
        do {
            out.pos = 0;
            hint = ZSTD_decompressStream(decode->stream, &out, &decode->in);
            if (ZSTD_isError(hint)) {
                bool lacks = ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation;
                return flo_fail(err, lacks ? FLO_E_MEMORY : FLO_E_PATCH_STREAM,
                                "the zstd frame is damaged near byte "
                                "%" PRIu64 ": %s",
                                decode->offset, ZSTD_getErrorName(hint));
            }
            FLO_TRY(flo_delta_sink_write(decode->sink, decode->output, out.pos, err));
        } while (hint != 0 && out.pos == out.size);
    }
    uint64_t behind = decode->patch_bytes - decode->offset + decode->in.size - decode->in.pos;
    if (behind > 0) {
        return flo_fail(err, FLO_E_PATCH_STREAM, "%" PRIu64 " bytes stand behind the zstd frame",
                        behind);
    }
    return 0;
}

int flo_delta_zstd_apply(const struct flo_delta_job *job, uint64_t patch_bytes,
                         struct delta_sink *sink, struct flo_err *err)
{
    uint8_t data[ZSTD_HEAD_BYTES_MAX];
    size_t bytes = patch_bytes < sizeof data ? (size_t)patch_bytes : sizeof data;
    struct zstd_head head;
    int rv;

    FLO_TRY(flo_fd_pread_all(job->patch_fd, data, bytes, 0, err));
    FLO_TRY(flo_zstd_head_read(data, bytes, &head, err));
    FLO_TRY(check_head(job, &head, err));
    struct decode *decode = calloc(1, sizeof *decode);
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (decode == NULL || stream == NULL ||
        ZSTD_isError(
            ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, FLO_ZSTD_WINDOW_LOG_MAX))) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory to decode zstd");
    } else {
        decode->job = job;
        decode->sink = sink;
        decode->patch_bytes = patch_bytes;
        decode->stream = stream;
        rv = decode_run(decode, err);
    }
    ZSTD_freeDStream(stream);
    free(decode);
    return rv;
}

/* ---- encode ---- */

static int encode_run(ZSTD_CCtx *context, const struct delta_input *input, uint8_t *piece, int fd,
                      struct flo_err *err)
{
    ZSTD_inBuffer in = {input->new, (size_t)input->new_bytes, 0};
    size_t left = 1;

    while (left != 0) {
        ZSTD_outBuffer out = {piece, DELTA_PIECE_BYTES, 0};
        left = ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
        if (ZSTD_isError(left)) {
            return flo_fail(err, FLO_E_MEMORY, "zstd: %s", ZSTD_getErrorName(left));
        }
        int rv = flo_fd_write_all(fd, piece, out.pos, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "patch");
        }
    }
    return 0;
}

/* Uses all processors.  The bytes are the same with any number of workers, but
 * differ from the library's single-threaded mode, so there is at least one
 * worker.  A library built without threads refuses and stays single-threaded.
 *
 * The library's default pieces would have 32 MiB here: a model of 98 MB kept
 * three processors busy.  Pieces of 8 MiB cost 0.07 % of the size; each has the
 * 2 MiB before it as overlap. */
static void use_threads(ZSTD_CCtx *context)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    count = count < 1 ? 1 : count > 64 ? 64 : count;
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, (int)count);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_jobSize, THREAD_BYTES);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_overlapLog, THREAD_OVERLAP);
}

int flo_delta_zstd_create(const struct delta_input *input, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(DELTA_PIECE_BYTES);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    int rv;

    if (piece == NULL || context == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, FLO_ZSTD_WINDOW_LOG_MAX)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, input->new_bytes))) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory to encode zstd");
    } else {
        use_threads(context);
        rv = encode_run(context, input, piece, fd, err);
    }
    ZSTD_freeCCtx(context);
    return rv;
}
