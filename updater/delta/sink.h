/* The sink for decoded bytes, and the functions of each
 * codec. */
#ifndef FLOTILLA_DELTA_SINK_H
#define FLOTILLA_DELTA_SINK_H

#include <flotilla/release.h>

#include "base/host/digest.h"

/* Most bytes that the receiver of decoded bytes gets at once. */
#define DELTA_PIECE_BYTES (256u << 10)

/* Receives decoded bytes: counts and hashes them and passes them on.  Accepts
 * at most the job's new_bytes. */
struct delta_sink {
    const struct flo_delta_job *job;
    struct flo_sha256 sha;
    uint64_t done;
    struct flo_digest named; /* digest of the new file, from the patch's header */
    bool has_named;
};
FLO_MUST_USE int flo_delta_sink_write(struct delta_sink *sink, const void *data, size_t bytes,
                                      struct flo_err *err);

/* Writes the length of a regular file to *bytes.  `name` names the file in an
 * error. */
FLO_MUST_USE int flo_delta_file_bytes(int fd, const char *name, uint64_t *bytes,
                                      struct flo_err *err);

/* Decodes a whole zstd patch into the sink.  Refuses a patch whose result has
 * another size than job->new_bytes, before memory is allocated for it. */
FLO_MUST_USE int flo_delta_zstd_apply(const struct flo_delta_job *job, uint64_t patch_bytes,
                                      struct delta_sink *sink, struct flo_err *err);
/* Decodes a whole BSDIFF40 patch into the sink. */
FLO_MUST_USE int flo_delta_bsdiff40_apply(const struct flo_delta_job *job, uint64_t patch_bytes,
                                          struct delta_sink *sink, struct flo_err *err);

/* Decoder of a codec. */
struct delta_decoder {
    /* Decodes a whole patch into the sink.  NULL: this build lacks the codec. */
    int (*apply)(const struct flo_delta_job *job, uint64_t patch_bytes, struct delta_sink *sink,
                 struct flo_err *err);
    bool has_base;
    const char *left_out; /* option that adds the codec, or NULL */
};
/* The decoder of typed deltas. */
extern const struct delta_decoder flo_delta_tensor1;

/* Makes a nameless file, which disappears when its descriptor is closed. */
FLO_MUST_USE int flo_delta_scratch_open(struct flo_err *err);

/* Two mapped files to encode; the patch is written to `fd` at its position. */
struct delta_input {
    const uint8_t *old;
    uint64_t old_bytes;
    const uint8_t *new;
    uint64_t new_bytes;
    struct flo_digest old_digest;
    struct flo_digest new_digest;
    const struct flo_delta_making *making; /* may be NULL */
    /* Tensors of both files, for the typed delta.  NULL: the codecs treat the
     * files as bytes. */
    const struct tensor_ranges *old_ranges;
    const struct tensor_ranges *new_ranges;
};
FLO_MUST_USE int flo_delta_zstd_create(const struct delta_input *input, int fd,
                                       struct flo_err *err);
FLO_MUST_USE int flo_delta_bsdiff40_create(const struct delta_input *input, int fd,
                                           struct flo_err *err);
FLO_MUST_USE int flo_delta_tensor1_create(const struct delta_input *input, int fd,
                                          struct flo_err *err);

/* ---- BSDIFF40's head ---- */

#define BSDIFF40_HEAD_BYTES 32

struct bsdiff40_head {
    uint64_t control_bytes; /* compressed */
    uint64_t diff_bytes;
    uint64_t extra_bytes;
    uint64_t new_bytes;
};
/* Reads the header and checks its sizes against each other and patch_bytes. */
FLO_MUST_USE int flo_bsdiff40_head_read(const uint8_t *data, size_t bytes, uint64_t patch_bytes,
                                        struct bsdiff40_head *out, struct flo_err *err);
/* Reads 8 bytes little-endian as sign and magnitude; -0 reads as 0. */
int64_t flo_bsdiff40_get(const uint8_t *p);
void flo_bsdiff40_put(uint8_t *p, int64_t value);

/* ---- zstd's head ---- */

struct zstd_head {
    uint64_t content_bytes;
    bool has_content_bytes;
    uint64_t window_bytes;
};
/* Reads a frame header.  Returns FLO_E_PATCH_FORMAT or FLO_E_PATCH_TRUNCATED
 * for a bad one. */
FLO_MUST_USE int flo_zstd_head_read(const uint8_t *data, size_t bytes, struct zstd_head *out,
                                    struct flo_err *err);
/* Returns the bytes of private memory that decoding with this frame's window
 * needs. */
uint64_t flo_zstd_memory_bytes(const struct zstd_head *head);
#define ZSTD_HEAD_BYTES_MAX 18

#endif
