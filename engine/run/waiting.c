/* Waiting: keeps the queue of requests as the frames that brought them, in one
 * buffer of a planned size.  Texts are tokenised, and grammars compiled, only
 * when a session is free for them. */
#include "engine/run/run.h"

#include <assert.h>
#include <string.h>

size_t flo_waiting_count(const struct flo_waiting *waiting, enum flo_wire_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < waiting->count; i++) {
        count += waiting->list[i].type == type;
    }
    return count;
}

/* Returns the offset in `frames` at which the frame of request i begins. */
static size_t place_of(const struct flo_waiting *waiting, size_t i)
{
    size_t at = 0;
    while (i > 0) {
        at += waiting->list[--i].bytes;
    }
    return at;
}

int flo_waiting_add(struct flo_waiting *waiting, const struct flo_wire_message *message,
                    const struct flo_adapter *adapter, struct flo_err *err)
{
    struct flo_buf *frames = &waiting->frames;
    size_t before = frames->bytes;
    size_t count = flo_waiting_count(waiting, message->type);
    bool is_embed = message->type == FLO_WIRE_EMBED;
    if (count == (is_embed ? FLO_EMBEDS_MAX : FLO_QUEUE_MAX)) {
        return flo_fail(err, FLO_E_INFER_BUSY, "%zu requests%s wait already", count,
                        is_embed ? " for vectors" : "");
    }
    frames->bytes_max = FLO_WIRE_WAITING_BYTES_MAX;
    if (flo_wire_write(frames, message, NULL) < 0) {
        frames->bytes = before;
        frames->failed = false;
        return flo_fail(err, FLO_E_INFER_BUSY, "requests of %zu bytes wait already", before);
    }
    waiting->list[waiting->count++] = (struct flo_waiter){
        .type = message->type,
        .request = message->request,
        .is_user = !is_embed && message->generate.priority == FLO_WIRE_USER,
        .bytes = frames->bytes - before,
        .came_us = flo_now_us(),
        .adapter = adapter,
    };
    return 0;
}

void flo_waiting_read(const struct flo_waiting *waiting, size_t i, struct flo_wire_message *message)
{
    ptrdiff_t used = flo_wire_read(waiting->frames.data + place_of(waiting, i),
                                   waiting->list[i].bytes, message, NULL);
    assert(used == (ptrdiff_t)waiting->list[i].bytes);
    (void)used;
}

void flo_waiting_remove(struct flo_waiting *waiting, size_t i)
{
    struct flo_buf *frames = &waiting->frames;
    char *at = frames->data + place_of(waiting, i);
    size_t bytes = waiting->list[i].bytes;
    frames->bytes -= bytes;
    memmove(at, at + bytes, frames->bytes - (size_t)(at - frames->data));
    waiting->count--;
    memmove(&waiting->list[i], &waiting->list[i + 1],
            (waiting->count - i) * sizeof(waiting->list[0]));
}
