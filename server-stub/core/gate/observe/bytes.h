/* Bytes: numbers to bytes and back, one way for both directions.  For files
 * that keep evidence. */
#ifndef FLOTILLA_SERVER_OBSERVE_BYTES_H
#define FLOTILLA_SERVER_OBSERVE_BYTES_H

#include <math.h>
#include <string.h>

#include "server-stub/core/gate/statistics/series.h"

/* A number is written to `out`, or read from `in`. */
struct flo_bytes {
    uint8_t *out; /* NULL: reading */
    const uint8_t *in;
    size_t at;
    size_t bytes;
    bool is_broken;
};

static inline bool flo_bytes_fit(struct flo_bytes *bytes, size_t count)
{
    bytes->is_broken = bytes->is_broken || bytes->bytes - bytes->at < count;
    return !bytes->is_broken;
}

static inline void flo_bytes_want(struct flo_bytes *bytes, bool is_so)
{
    bytes->is_broken = bytes->is_broken || !is_so;
}

static inline void flo_bytes_u8(struct flo_bytes *bytes, uint8_t *value)
{
    if (!flo_bytes_fit(bytes, 1)) {
        return;
    }
    if (bytes->out != NULL) {
        bytes->out[bytes->at] = *value;
    } else {
        *value = bytes->in[bytes->at];
    }
    bytes->at++;
}

static inline void flo_bytes_u32(struct flo_bytes *bytes, uint32_t *value)
{
    if (!flo_bytes_fit(bytes, 4)) {
        return;
    }
    if (bytes->out != NULL) {
        flo_put_u32(bytes->out + bytes->at, *value);
    } else {
        *value = flo_get_u32(bytes->in + bytes->at);
    }
    bytes->at += 4;
}

/* At most `most`. */
static inline void flo_bytes_count(struct flo_bytes *bytes, uint8_t *value,
                                   size_t most)
{
    flo_bytes_u8(bytes, value);
    flo_bytes_want(bytes, *value <= most);
}

static inline void flo_bytes_truth(struct flo_bytes *bytes, bool *value)
{
    uint8_t byte = *value ? 1 : 0;

    flo_bytes_count(bytes, &byte, 1);
    *value = byte == 1;
}

static inline void flo_bytes_real(struct flo_bytes *bytes, double *value)
{
    uint64_t bits;

    if (!flo_bytes_fit(bytes, 8)) {
        return;
    }
    if (bytes->out != NULL) {
        memcpy(&bits, value, sizeof(bits));
        flo_put_u64(bytes->out + bytes->at, bits);
    } else {
        bits = flo_get_u64(bytes->in + bytes->at);
        memcpy(value, &bits, sizeof(*value));
        flo_bytes_want(bytes, isfinite(*value));
    }
    bytes->at += 8;
}

static inline void flo_bytes_mean(struct flo_bytes *bytes,
                                  struct flo_mean *value)
{
    flo_bytes_real(bytes, &value->sum);
    flo_bytes_u32(bytes, &value->count);
}

#endif
