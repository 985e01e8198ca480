/* Ids of a text against a list that is written down: for tests. */
#ifndef FLOTILLA_TESTS_IDS_H
#define FLOTILLA_TESTS_IDS_H

#include <stdlib.h>

#include "engine/token/token.h"

/* "1,2,3" equals the list. */
static inline bool ids_are(const struct flo_tokens *tokens, const char *text)
{
    size_t count = 0;
    while (*text != '\0' && *text != '\n') {
        char *end;
        long id = strtol(text, &end, 10);
        if (count >= tokens->count || tokens->ids[count] != id) {
            return false;
        }
        count++;
        text = *end == ',' ? end + 1 : end;
    }
    return count == tokens->count;
}

#endif
