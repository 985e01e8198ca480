/* Progress: encodes a batch's progress as bytes. */
#include "agent/serve/batch/progress.h"

#define MAGIC 0x31504246u /* "FBP1" */
#define HEAD_BYTES 8
#define NUMBERS 7

void flo_batch_progress_write(const struct flo_batch_progress *progress,
                              uint8_t out[FLO_BATCH_PROGRESS_BYTES])
{
    const uint64_t numbers[NUMBERS] = {
        progress->sequence,    progress->line,      progress->input_bytes, progress->output_bytes,
        progress->error_bytes, progress->completed, progress->failed,
    };

    for (size_t i = 0; i < NUMBERS; i++) {
        flo_put_u64(out + HEAD_BYTES + 8 * i, numbers[i]);
    }
    flo_put_u32(out, MAGIC);
    flo_put_u32(out + 4, flo_crc32c(0, out + HEAD_BYTES, 8 * NUMBERS));
}

uint64_t flo_batch_progress_offset(const struct flo_batch_progress *progress)
{
    return progress->sequence % FLO_BATCH_PROGRESS_SLOTS * FLO_BATCH_PROGRESS_BYTES;
}

static bool read_slot(const uint8_t *data, struct flo_batch_progress *out)
{
    uint64_t *const numbers[NUMBERS] = {
        &out->sequence,    &out->line,      &out->input_bytes, &out->output_bytes,
        &out->error_bytes, &out->completed, &out->failed,
    };

    if (flo_get_u32(data) != MAGIC ||
        flo_get_u32(data + 4) != flo_crc32c(0, data + HEAD_BYTES, 8 * NUMBERS)) {
        return false;
    }
    for (size_t i = 0; i < NUMBERS; i++) {
        *numbers[i] = flo_get_u64(data + HEAD_BYTES + 8 * i);
    }
    return true;
}

bool flo_batch_progress_read(const uint8_t *data, size_t bytes, struct flo_batch_progress *out)
{
    bool has_one = false;

    for (size_t at = 0; at + FLO_BATCH_PROGRESS_BYTES <= bytes &&
                        at < FLO_BATCH_PROGRESS_SLOTS * FLO_BATCH_PROGRESS_BYTES;
         at += FLO_BATCH_PROGRESS_BYTES) {
        struct flo_batch_progress one;
        if (read_slot(data + at, &one) && (!has_one || one.sequence > out->sequence)) {
            *out = one;
            has_one = true;
        }
    }
    return has_one;
}
