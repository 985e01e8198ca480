/* Progress: records how much of a batch is answered, in two slots of a small
 * file.
 *
 * A new record is written to the slot that does not have the newest one, after
 * the answers that it counts are on the disk.  A torn record is invalid, and
 * the one before it is used.  Answers beyond the counted bytes are cut off. */
#ifndef FLOTILLA_BATCH_PROGRESS_H
#define FLOTILLA_BATCH_PROGRESS_H

#include <flotilla/base.h>

struct flo_batch_progress {
    /* number of the record, which grows by one; 0: none has been written */
    uint64_t sequence;
    uint64_t line;                      /* number of input lines that are answered */
    uint64_t input_bytes;               /* number of input bytes that are answered */
    uint64_t output_bytes, error_bytes; /* sizes of the file of answers and the file of errors */
    uint64_t completed, failed;
};

/* Size of a record on disk, little-endian: 0 magic 'FBP1', 4 crc32c of the
 * rest, 8 the numbers of struct flo_batch_progress in order. */
#define FLO_BATCH_PROGRESS_BYTES 64
#define FLO_BATCH_PROGRESS_SLOTS 2

void flo_batch_progress_write(const struct flo_batch_progress *progress,
                              uint8_t out[FLO_BATCH_PROGRESS_BYTES]);
/* Returns the offset in the file of the slot (one of two) to which this record
 * is written. */
uint64_t flo_batch_progress_offset(const struct flo_batch_progress *progress);
/* Reads the newest valid record of a file.  Returns false when there is
 * none. */
bool flo_batch_progress_read(const uint8_t *data, size_t bytes, struct flo_batch_progress *out);

#endif
