/* Bytes: see bytes.h. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/observe/bytes.h"

static bool fit(struct flo_bytes *bytes, size_t count)
{
    assert(bytes->is_broken || bytes->at <= bytes->bytes);
    assert(bytes->out == NULL || bytes->in == NULL);
    bytes->is_broken = bytes->is_broken || bytes->bytes - bytes->at < count;
    return !bytes->is_broken;
}

void flo_bytes_want(struct flo_bytes *bytes, bool is_so)
{
    bytes->is_broken = bytes->is_broken || !is_so;
}

void flo_bytes_u8(struct flo_bytes *bytes, uint8_t *value)
{
    if (!fit(bytes, 1)) {
        return;
    }
    if (bytes->out != NULL) {
        bytes->out[bytes->at] = *value;
    } else {
        *value = bytes->in[bytes->at];
    }
    bytes->at++;
}

void flo_bytes_u32(struct flo_bytes *bytes, uint32_t *value)
{
    if (!fit(bytes, 4)) {
        return;
    }
    if (bytes->out != NULL) {
        flo_put_u32(bytes->out + bytes->at, *value);
    } else {
        *value = flo_get_u32(bytes->in + bytes->at);
    }
    bytes->at += 4;
}

void flo_bytes_count(struct flo_bytes *bytes, uint8_t *value, size_t most)
{
    assert(most <= UINT8_MAX);
    flo_bytes_u8(bytes, value);
    flo_bytes_want(bytes, *value <= most);
    /* the value is used as an index, and 0 is always a valid one */
    *value = bytes->is_broken ? 0 : *value;
}

void flo_bytes_truth(struct flo_bytes *bytes, bool *value)
{
    uint8_t byte = *value ? 1 : 0;

    flo_bytes_count(bytes, &byte, 1);
    *value = byte == 1;
}

void flo_bytes_real(struct flo_bytes *bytes, double *value)
{
    uint64_t bits;

    if (!fit(bytes, 8)) {
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

void flo_bytes_mean(struct flo_bytes *bytes, struct flo_mean *value)
{
    flo_bytes_real(bytes, &value->sum);
    flo_bytes_u32(bytes, &value->count);
}
