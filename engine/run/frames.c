/* Frames: reads tokens of a request's text or ids, and writes frames whose
 * writing must not fail. */
#include "engine/run/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PEEK_BYTES 256

static int read_ids(const struct flo_engine *engine, struct flo_wire_text ids, int32_t *out,
                    size_t *count, struct flo_err *err)
{
    uint32_t n_vocab = flo_engine_info(engine)->n_vocab;
    *count = ids.bytes / 4;
    for (size_t i = 0; i < *count; i++) {
        uint32_t id = flo_get_u32(ids.data + 4 * i);
        if (id >= n_vocab) {
            return flo_fail(err, FLO_E_INFER_PARAM, "token %u, the vocabulary has %u", id, n_vocab);
        }
        out[i] = (int32_t)id;
    }
    return 0;
}

int flo_tokens_read(const struct flo_engine *engine, struct flo_wire_text text, unsigned flags,
                    size_t tokens_max, int32_t **tokens, size_t *count, struct flo_err *err)
{
    /* A byte gives at most one token.  An invalid byte gives three, as U+FFFD.
     * The begin and end tokens come on top. */
    size_t max = flags == FLO_TEXT_IDS ? text.bytes / 4 + 1 : 3 * text.bytes + 16;
    if (flags == FLO_TEXT_IDS && text.bytes % 4 != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tokens are not 32-bit ids");
    }
    if (flags == FLO_TEXT_IDS && text.bytes / 4 > tokens_max) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "%zu tokens, at most %zu fit", text.bytes / 4,
                        tokens_max);
    }
    max = max < tokens_max ? max : tokens_max;
    int32_t *room = malloc(max * sizeof(*room));
    if (room == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    int rv = flags == FLO_TEXT_IDS ? read_ids(engine, text, room, count, err)
                                   : flo_engine_tokenise(engine, text.bytes > 0 ? text.data : "",
                                                         text.bytes, flags, room, max, count, err);
    if (rv < 0) {
        free(room);
        return rv;
    }
    *tokens = room;
    return 0;
}

struct flo_wire_text flo_wire_text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

bool flo_frames_wait(int socket, uint32_t types)
{
    uint8_t data[PEEK_BYTES];
    ssize_t n = recv(socket, data, sizeof(data), MSG_DONTWAIT | MSG_PEEK);
    for (int64_t at = 0; at + FLO_WIRE_HEAD_BYTES <= n;) {
        const uint8_t *head = data + at;
        uint32_t type = flo_get_u16(head + 8);
        if (type < 32 && (types >> type & 1) != 0) {
            return true;
        }
        at += FLO_WIRE_HEAD_BYTES + flo_get_u32(head + 4);
    }
    return false;
}

void flo_frame_put(struct flo_buf *out, const struct flo_wire_message *message)
{
    if (flo_wire_write(out, message, NULL) < 0) {
        out->failed = true;
    }
}

void flo_frame_done(struct flo_buf *out, uint32_t request, const struct flo_wire_done *done,
                    uint64_t came_us, uint64_t began_us)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_DONE, .request = request, .done = *done};
    answer.done.queue_us = (began_us > 0 ? began_us : flo_now_us()) - came_us;
    flo_frame_put(out, &answer);
}

void flo_frame_fail(struct flo_buf *out, uint32_t request, const struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_FAILED, .request = request};
    answer.failed.id = flo_wire_text_of(flo_error_id(err->code));
    answer.failed.what = flo_wire_text_of(err->what);
    answer.failed.why = flo_wire_text_of(err->why);
    flo_frame_put(out, &answer);
}
