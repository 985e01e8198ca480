/* Patch application: applies a patch with the decoder of its codec, with the
 * same checks for each codec.
 *
 * The base's digest is verified before the first byte is written.  The result
 * is no longer than signed and has the signed digest. */
#include "updater/delta/sink.h"

#include <inttypes.h>
#include <stdlib.h>

#include <flotilla/errors/patch.h>

#include "base/left_out.h"

static int apply_raw(const struct flo_delta_job *job, uint64_t patch_bytes, struct delta_sink *sink,
                     struct flo_err *err)
{
    if (patch_bytes != job->new_bytes) {
        return flo_fail(err,
                        patch_bytes < job->new_bytes ? FLO_E_PATCH_TRUNCATED : FLO_E_PATCH_LIMIT,
                        "the file has %" PRIu64 " bytes, expected are "
                        "%" PRIu64,
                        patch_bytes, job->new_bytes);
    }
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = malloc(DELTA_PIECE_BYTES);
    if (piece == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to copy");
    }
    for (uint64_t offset = 0; offset < patch_bytes;) {
        uint64_t left = patch_bytes - offset;
        size_t bytes = left < DELTA_PIECE_BYTES ? (size_t)left : DELTA_PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(job->patch_fd, piece, bytes, offset, err));
        FLO_TRY(flo_delta_sink_write(sink, piece, bytes, err));
        offset += bytes;
    }
    return 0;
}

static const struct delta_decoder raw = {.apply = apply_raw};
static const struct delta_decoder zstd = {.apply = flo_delta_zstd_apply};
static const struct delta_decoder bsdiff40 = {.apply = flo_delta_bsdiff40_apply, .has_base = true};
static const struct delta_decoder adapter = {.has_base = true};

static const struct delta_decoder *const decoders[FLO_CODEC_COUNT] = {
    [FLO_CODEC_RAW] = &raw,           [FLO_CODEC_ZSTD] = &zstd,
    [FLO_CODEC_BSDIFF40] = &bsdiff40, [FLO_CODEC_TENSOR1] = &flo_delta_tensor1,
    [FLO_CODEC_ADAPTER] = &adapter,
};

bool flo_delta_codec_is_built(enum flo_codec codec)
{
    return codec < FLO_CODEC_COUNT && decoders[codec]->apply != NULL;
}

int flo_delta_codec_check(enum flo_codec codec, struct flo_err *err)
{
    if (flo_delta_codec_is_built(codec)) {
        return 0;
    }
    if (codec < FLO_CODEC_COUNT && decoders[codec]->left_out != NULL) {
        return flo_left_out(err, flo_codec_word(codec), decoders[codec]->left_out);
    }
    return flo_fail(err, FLO_E_NOT_BUILT, "codec %s is not built yet",
                    codec < FLO_CODEC_COUNT ? flo_codec_word(codec) : "of an unknown number");
}

static int check_base(const struct flo_delta_job *job, struct flo_err *err)
{
    struct flo_digest digest;
    char expected[FLO_DIGEST_TEXT];
    char found[FLO_DIGEST_TEXT];

    if (job->base_digest == NULL) {
        return 0;
    }
    int rv = flo_sha256_fd(job->base_fd, &digest, NULL, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "base");
    }
    if (flo_digest_equal(&digest, job->base_digest)) {
        return 0;
    }
    flo_digest_text(job->base_digest, expected);
    flo_digest_text(&digest, found);
    return flo_fail(err, FLO_E_PATCH_BASE_CORRUPT, "the base should be %s and is %s", expected,
                    found);
}

static int check_result(const struct flo_delta_job *job, const struct delta_sink *sink,
                        const struct flo_digest *digest, struct flo_err *err)
{
    const struct flo_digest *wanted = job->new_digest != NULL ? job->new_digest
                                      : sink->has_named       ? &sink->named
                                                              : NULL;
    char expected[FLO_DIGEST_TEXT];
    char found[FLO_DIGEST_TEXT];

    if (sink->done != job->new_bytes) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED,
                        "the patch makes %" PRIu64 " bytes, expected are "
                        "%" PRIu64,
                        sink->done, job->new_bytes);
    }
    if (wanted == NULL || flo_digest_equal(digest, wanted)) {
        return 0;
    }
    flo_digest_text(wanted, expected);
    flo_digest_text(digest, found);
    return flo_fail(err, FLO_E_TARGET_HASH, "the result is %s, expected is %s", found, expected);
}

static int apply_checked(const struct flo_delta_job *job, struct delta_sink *sink,
                         struct flo_digest *out, struct flo_err *err)
{
    uint64_t patch_bytes = 0;
    struct flo_digest digest;

    FLO_TRY(flo_delta_file_bytes(job->patch_fd, "patch", &patch_bytes, err));
    if (decoders[job->codec]->has_base) {
        FLO_TRY(check_base(job, err));
    }
    FLO_TRY(decoders[job->codec]->apply(job, patch_bytes, sink, err));
    flo_sha256_final(&sink->sha, &digest);
    FLO_TRY(check_result(job, sink, &digest, err));
    if (out != NULL) {
        *out = digest;
    }
    return 0;
}

int flo_delta_apply(const struct flo_delta_job *job, struct flo_digest *digest, struct flo_err *err)
{
    struct flo_delta_job filled = *job;
    struct delta_sink sink = {.job = &filled};

    FLO_TRY(flo_delta_codec_check(job->codec, err));
    if (filled.memory_bytes_max == 0) {
        filled.memory_bytes_max = FLO_DELTA_MEMORY_BYTES_MAX;
    }
    int rv = flo_sha256_init(&sink.sha, err);
    if (rv == 0) {
        rv = apply_checked(&filled, &sink, digest, err);
    }
    flo_sha256_deinit(&sink.sha);
    return rv;
}
