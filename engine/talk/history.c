/* History: keeps the turns of a conversation. */
#include "engine/talk/talk.h"

#include <stdlib.h>
#include <string.h>

int flo_history_add(struct flo_history *history, const char *role, const char *text, size_t bytes,
                    struct flo_err *err)
{
    char *copy = malloc(bytes + 1);

    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a text of %zu bytes", bytes);
    }
    memcpy(copy, bytes > 0 ? text : "", bytes);
    copy[bytes] = '\0';
    history->turns[history->count++] =
        (struct flo_engine_message){.role = role, .text = copy, .bytes = bytes};
    return 0;
}

static void forget(struct flo_engine_message *turn)
{
    union { /* gives the text without `const`, because the turn owns it */
        const char *text;
        void *memory;
    } owned = {.text = turn->text};

    free(owned.memory);
    *turn = (struct flo_engine_message){0};
}

void flo_history_cut(struct flo_history *history, size_t count)
{
    while (history->count > count) {
        forget(&history->turns[--history->count]);
    }
}

size_t flo_history_younger(const struct flo_history *history, size_t from)
{
    /* Pairs of a question and its answer.  The last question has no answer, so
     * no pair includes it. */
    size_t pairs = (history->count - from) / 2;

    return from + (pairs + 1) / 2 * 2;
}

void flo_history_drop(struct flo_history *history, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        forget(&history->turns[i]);
    }
    history->count -= count;
    memmove(history->turns, history->turns + count, history->count * sizeof(*history->turns));
}

size_t flo_history_messages(const struct flo_history *history, size_t from, const char *system,
                            struct flo_engine_message out[FLO_HISTORY_MAX + 2])
{
    size_t count = 0;

    if (system != NULL) {
        out[count++] =
            (struct flo_engine_message){.role = "system", .text = system, .bytes = strlen(system)};
    }
    memcpy(out + count, history->turns + from, (history->count - from) * sizeof(*history->turns));
    return count + history->count - from;
}
