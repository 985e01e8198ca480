/* Named: rewrites sentences about fields of OpenAI's body for another API. */
#include "agent/serve/front/front.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

void flo_answer_add_named(struct flo_buf *out, const char *text, const char *ours,
                          const char *theirs)
{
    size_t bytes = strlen(ours);

    for (const char *at = text; *at != '\0';) {
        if (bytes > 0 && (at == text || !is_of_word(at[-1])) && strncmp(at, ours, bytes) == 0 &&
            !is_of_word(at[bytes])) {
            flo_buf_text(out, theirs);
            at += bytes;
        } else {
            flo_buf_add(out, at++, 1);
        }
    }
}

const char *flo_answer_add_place(struct flo_buf *out, const char *text, const char *begin,
                                 const struct serve_places *places)
{
    char *end;

    if (strncmp(text, begin, strlen(begin)) != 0) {
        return text;
    }
    unsigned long at = strtoul(text + strlen(begin), &end, 10);
    if (at >= places->count) {
        return text;
    }
    flo_buf_printf(out, "%s%u", places->begin, places->from[at]);
    return end;
}
