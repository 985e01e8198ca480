/* Bias: writes the biases of a request's tokens as bytes of one field, and
 * reads them. */
#include <string.h>

#include <flotilla/engine_wire.h>

enum { PAIR_BYTES = 8 };

bool flo_wire_bias_next(struct flo_wire_text *rest, int32_t *token, float *bias)
{
    if (rest->bytes < PAIR_BYTES) {
        return false;
    }
    uint32_t bits = flo_get_u32(rest->data + 4);
    *token = (int32_t)flo_get_u32(rest->data);
    memcpy(bias, &bits, sizeof(bits));
    rest->data += PAIR_BYTES;
    rest->bytes -= PAIR_BYTES;
    return true;
}

void flo_wire_bias_add(struct flo_buf *out, int32_t token, float bias)
{
    uint8_t pair[PAIR_BYTES];
    uint32_t bits;

    memcpy(&bits, &bias, sizeof(bits));
    flo_put_u32(pair, (uint32_t)token);
    flo_put_u32(pair + 4, bits);
    flo_buf_add(out, pair, sizeof(pair));
}
