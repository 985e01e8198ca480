/* Bytes: writes numbers to bytes and reads them back, with one function for
 * both directions.  Used by files that keep evidence. */
#ifndef FLOTILLA_SERVER_OBSERVE_BYTES_H
#define FLOTILLA_SERVER_OBSERVE_BYTES_H

#include "server-stub/core/gate/statistics/series.h"

/* Cursor: a number is written to `out`, or read from `in`. */
struct flo_bytes {
    uint8_t *out; /* NULL while reading */
    const uint8_t *in;
    size_t at;
    size_t bytes;
    bool is_broken;
};

void flo_bytes_want(struct flo_bytes *bytes, bool is_so);
void flo_bytes_u8(struct flo_bytes *bytes, uint8_t *value);
void flo_bytes_u32(struct flo_bytes *bytes, uint32_t *value);
/* Reads or writes a count of at most `most`.  After an error in the bytes the
 * count is 0. */
void flo_bytes_count(struct flo_bytes *bytes, uint8_t *value, size_t most);
void flo_bytes_truth(struct flo_bytes *bytes, bool *value);
void flo_bytes_real(struct flo_bytes *bytes, double *value);
void flo_bytes_mean(struct flo_bytes *bytes, struct flo_mean *value);

#endif
