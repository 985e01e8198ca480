/* Server-sent events: any bytes, in any pieces, give the same events.
 *
 * Input: the stream; the first byte is the size of the pieces. */
#include <string.h>

#include "server-stub/cli/view/frames.h"
#include "tests/fuzz/must.h"

struct heard {
    size_t count, bytes;
};

static void on_event(void *context, const char *event)
{
    struct heard *heard = context;

    must(event[0] != '\0' && strlen(event) < FLO_FRAME_WORD);
    heard->count++;
    heard->bytes += strlen(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_frames whole = {.used = 0}, cut = {.used = 0};
    struct heard once = {0}, often = {0};

    if (bytes < 1) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    flo_frames_feed(&whole, data + 1, bytes - 1, on_event, &once);
    for (size_t at = 1; at < bytes; at += piece) {
        size_t left = bytes - at;
        flo_frames_feed(&cut, data + at, left < piece ? left : piece, on_event, &often);
    }
    must(once.count == often.count && once.bytes == often.bytes);
    must(strcmp(whole.id, cut.id) == 0);
    must(strlen(whole.id) < FLO_FRAME_WORD);
    return 0;
}
