/* Part: writes thoughts and tool calls of an answer as bytes of one field, and
 * reads them. */
#include <flotilla/engine_wire.h>

enum { HEAD_BYTES = 8 };

void flo_wire_part_add(struct flo_buf *out, const struct flo_wire_part *part)
{
    uint8_t head[HEAD_BYTES];

    flo_put_u32(head, part->kind);
    flo_put_u32(head + 4, (uint32_t)part->text.bytes);
    flo_buf_add(out, head, sizeof(head));
    flo_buf_add(out, part->text.data, part->text.bytes);
}

bool flo_wire_part_next(struct flo_wire_text *rest, struct flo_wire_part *part)
{
    if (rest->bytes < HEAD_BYTES) {
        return false;
    }
    uint32_t bytes = flo_get_u32(rest->data + 4);
    if (bytes > rest->bytes - HEAD_BYTES) {
        return false;
    }
    part->kind = flo_get_u32(rest->data);
    part->text = (struct flo_wire_text){rest->data + HEAD_BYTES, bytes};
    rest->data += HEAD_BYTES + bytes;
    rest->bytes -= HEAD_BYTES + bytes;
    return true;
}
