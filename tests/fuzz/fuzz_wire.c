/* Frames from an engine process that may be hostile: what is read, written
 * and read again must be the same. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_wire.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Every entry lies inside the field. */
static void walk(struct flo_wire_text list)
{
    const char *end = list.data + list.bytes;
    struct flo_wire_logprob one;

    while (flo_wire_logprob_next(&list, &one)) {
        if (one.text.bytes > (size_t)(end - one.text.data)) {
            abort();
        }
    }
}

static void walk_parts(struct flo_wire_text list)
{
    const char *end = list.data + list.bytes;
    struct flo_wire_part one;

    while (flo_wire_part_next(&list, &one)) {
        if (one.text.bytes > (size_t)(end - one.text.data)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_wire_message message, again;
    struct flo_err err = {0};
    while (bytes > 0) {
        ptrdiff_t used = flo_wire_read(data, bytes, &message, &err);
        if (used <= 0) {
            return 0;
        }
        struct flo_buf first = {0}, second = {0};
        if ((size_t)used > bytes || flo_wire_write(&first, &message, &err) < 0 ||
            flo_wire_read(first.data, first.bytes, &again, &err) != (ptrdiff_t)first.bytes ||
            flo_wire_write(&second, &again, &err) < 0 || first.bytes != second.bytes ||
            memcmp(first.data, second.data, first.bytes) != 0) {
            abort();
        }
        if (message.type == FLO_WIRE_TOKEN && message.token.logprobs.bytes > 0) {
            walk(message.token.logprobs);
        }
        if (message.type == FLO_WIRE_TOKEN && message.token.parts.bytes > 0) {
            walk_parts(message.token.parts);
        }
        flo_buf_deinit(&first);
        flo_buf_deinit(&second);
        data += used;
        bytes -= (size_t)used;
    }
    return 0;
}
