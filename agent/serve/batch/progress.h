/* Progress of a batch: how far it is answered, in two slots of a small file.
 *
 * A record is written to the slot that the last one is not in, after the
 * answers that it counts are on the disk.  A torn record is none, and the one
 * before it counts.  Answers behind the counted bytes are cut away. */
#ifndef FLOTILLA_BATCH_PROGRESS_H
#define FLOTILLA_BATCH_PROGRESS_H

#include <flotilla/base.h>

struct flo_batch_progress {
    uint64_t sequence;                  /* grows by one; 0: nothing was written yet */
    uint64_t line;                      /* so many lines of the input are dealt with */
    uint64_t input_bytes;               /* ... which are so many bytes */
    uint64_t output_bytes, error_bytes; /* bytes of both files of answers */
    uint64_t completed, failed;
};

/* On disk, little endian: 0 magic 'FBP1', 4 crc32c of the rest, 8 the numbers
 * above in their order. */
#define FLO_BATCH_PROGRESS_BYTES 64
#define FLO_BATCH_PROGRESS_SLOTS 2

void flo_batch_progress_write(const struct flo_batch_progress *progress,
                              uint8_t out[FLO_BATCH_PROGRESS_BYTES]);
/* Offset of the slot that it belongs to. */
uint64_t flo_batch_progress_offset(const struct flo_batch_progress *progress);
/* The newest whole record of a file.  false: there is none. */
bool flo_batch_progress_read(const uint8_t *data, size_t bytes, struct flo_batch_progress *out);

#endif
