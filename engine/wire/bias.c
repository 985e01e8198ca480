/* Bias: writes the biases of a request's tokens as bytes of one field, and
 * reads them. */
#include <flotilla/engine_wire.h>

enum { PAIR_BYTES = 8 };

bool flo_wire_bias_next(struct flo_wire_text *rest, int32_t *token, float *bias)
{
    if (rest->bytes < PAIR_BYTES) {
        return false;
    }
    *token = (int32_t)flo_get_u32(rest->data);
    *bias = flo_get_f32(rest->data + 4);
    rest->data += PAIR_BYTES;
    rest->bytes -= PAIR_BYTES;
    return true;
}

void flo_wire_bias_add(struct flo_buf *out, int32_t token, float bias)
{
    uint8_t pair[PAIR_BYTES];

    flo_put_u32(pair, (uint32_t)token);
    flo_put_f32(pair + 4, bias);
    flo_buf_add(out, pair, sizeof(pair));
}
