/* Progress: how much of a batch is answered, as two slots of a small file.
 *
 * Each record is written to the slot that does not hold the last one, after the
 * answers that it counts are on the disk.  A torn record is invalid, and the
 * one before it is used.  Answers beyond the counted bytes are truncated. */
#ifndef FLOTILLA_BATCH_PROGRESS_H
#define FLOTILLA_BATCH_PROGRESS_H

#include <flotilla/base.h>

struct flo_batch_progress {
    uint64_t sequence;                  /* increases by one; 0: nothing was written yet */
    uint64_t line;                      /* number of input lines that are done */
    uint64_t input_bytes;               /* ... and their size in bytes */
    uint64_t output_bytes, error_bytes; /* sizes of the two files of answers */
    uint64_t completed, failed;
};

/* Record on disk, little-endian: 0 magic 'FBP1', 4 crc32c of the rest, 8 the
 * numbers above in order. */
#define FLO_BATCH_PROGRESS_BYTES 64
#define FLO_BATCH_PROGRESS_SLOTS 2

void flo_batch_progress_write(const struct flo_batch_progress *progress,
                              uint8_t out[FLO_BATCH_PROGRESS_BYTES]);
/* Returns the offset of the record's slot. */
uint64_t flo_batch_progress_offset(const struct flo_batch_progress *progress);
/* Reads the newest valid record of a file.  false: none. */
bool flo_batch_progress_read(const uint8_t *data, size_t bytes, struct flo_batch_progress *out);

#endif
