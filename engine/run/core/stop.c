/* Stop: holds back text that may become a stop text, and ends the answer at the
 * first one.  Pure. */
#include "engine/run/run.h"

#include <string.h>

/* Finds the first stop text in the held bytes.  Returns its position, and
 * stop->ended tells which text it is.  Returns -1 if there is none. */
static ptrdiff_t find_first(struct flo_stop *stop)
{
    ptrdiff_t first = -1;
    for (uint32_t i = 0; i < stop->n_texts; i++) {
        const char *at =
            memmem(stop->held.data, stop->held.bytes, stop->texts[i].bytes, stop->texts[i].count);
        if (at != NULL && (first < 0 || at - stop->held.data < first)) {
            first = at - stop->held.data;
            stop->ended = i + 1;
        }
    }
    return first;
}

/* Returns the length of the longest end of the held bytes with which a stop
 * text begins. */
static size_t longest_beginning(const struct flo_stop *stop)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < stop->n_texts; i++) {
        size_t n = stop->texts[i].count - 1;
        n = n < stop->held.bytes ? n : stop->held.bytes;
        for (; n > longest; n--) {
            if (memcmp(stop->held.data + stop->held.bytes - n, stop->texts[i].bytes, n) == 0) {
                longest = n;
                break;
            }
        }
    }
    return longest;
}

bool flo_stop_add(struct flo_stop *stop, const char *text, size_t bytes, struct flo_buf *out)
{
    if (stop->n_texts == 0) {
        flo_buf_add(out, text, bytes);
        return false;
    }
    flo_buf_add(&stop->held, text, bytes);
    if (stop->held.bytes == 0) {
        return false;
    }
    ptrdiff_t found = find_first(stop);
    size_t certain = found >= 0 ? (size_t)found : stop->held.bytes - longest_beginning(stop);
    flo_buf_add(out, stop->held.data, certain);
    if (found >= 0) {
        stop->held.bytes = 0;
        return true;
    }
    memmove(stop->held.data, stop->held.data + certain, stop->held.bytes - certain);
    stop->held.bytes -= certain;
    return false;
}
