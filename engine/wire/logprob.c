/* Logprob: writes log-probabilities as bytes of one field, and reads them. */
#include <flotilla/engine_wire.h>

enum { HEAD_BYTES = 12 };

void flo_wire_logprob_add(struct flo_buf *out, const struct flo_wire_logprob *logprob)
{
    uint8_t head[HEAD_BYTES];

    flo_put_u32(head, logprob->token);
    flo_put_f32(head + 4, logprob->logprob);
    flo_put_u32(head + 8, (uint32_t)logprob->text.bytes);
    flo_buf_add(out, head, sizeof(head));
    flo_buf_add(out, logprob->text.data, logprob->text.bytes);
}

bool flo_wire_logprob_next(struct flo_wire_text *rest, struct flo_wire_logprob *logprob)
{
    if (rest->bytes < HEAD_BYTES) {
        return false;
    }
    uint32_t bytes = flo_get_u32(rest->data + 8);
    if (bytes > rest->bytes - HEAD_BYTES) {
        return false;
    }
    logprob->token = flo_get_u32(rest->data);
    logprob->logprob = flo_get_f32(rest->data + 4);
    logprob->text = (struct flo_wire_text){rest->data + HEAD_BYTES, bytes};
    rest->data += HEAD_BYTES + bytes;
    rest->bytes -= HEAD_BYTES + bytes;
    return true;
}
