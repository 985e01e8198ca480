/* Said: prepares a model's text for a person.  It separates thoughts, and
 * removes all that a terminal would interpret.  Pure. */
#include "engine/talk/talk.h"

#include <string.h>

#define DIM "\033[2m"
#define PLAIN "\033[0m"
#define OPEN "<think>"
#define CLOSE "</think>"
#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- safe text ---- */

void flo_talk_safe(const char *text, size_t bytes, struct flo_buf *out)
{
    size_t at = 0;

    while (at < bytes) {
        size_t end = at + flo_utf8_valid(text + at, bytes - at), from = at;

        for (; at < end; at++) {
            size_t control = flo_text_unseen(text + at);
            if (text[at] == '\n' || text[at] == '\t' || control == 0) {
                continue;
            }
            flo_buf_add(out, text + from, at - from);
            flo_buf_text(out, text[at] == '\r' ? "" : REPLACED);
            at += control - 1;
            from = at + 1;
        }
        flo_buf_add(out, text + from, end - from);
        if (end < bytes) {
            flo_buf_text(out, REPLACED);
            at = end + 1;
        }
    }
}

/* ---- an answer ---- */

static void show(struct flo_talk_said *said, const char *text, size_t bytes)
{
    if (said->is_terminal) {
        flo_talk_safe(text, bytes, &said->shown);
    } else {
        flo_buf_add(&said->shown, text, bytes);
    }
    said->is_line_open = bytes > 0 ? text[bytes - 1] != '\n' : said->is_line_open;
}

/* Shows that a thought begins or ends.  With colours the thought's text is dim;
 * without them words mark it. */
static void mark(struct flo_talk_said *said, bool is_thought)
{
    const char *text = is_thought ? OPEN : CLOSE;

    said->is_thought = is_thought;
    if (said->has_colour) {
        flo_buf_text(&said->shown, is_thought ? DIM : PLAIN);
    } else {
        show(said, text, strlen(text));
    }
}

void flo_talk_said_begin(struct flo_talk_said *said)
{
    said->is_thought = said->skips_blanks = said->is_line_open = false;
    said->text.bytes = said->shown.bytes = 0;
}

void flo_talk_said_think(struct flo_talk_said *said, const char *text, size_t bytes)
{
    if (bytes > 0 && !said->is_thought) {
        mark(said, true);
    }
    show(said, text, bytes);
}

void flo_talk_said_add(struct flo_talk_said *said, const char *text, size_t bytes)
{
    if (bytes > 0 && said->is_thought) {
        mark(said, false);
        show(said, "\n\n", 2);
        said->skips_blanks = true;
    }
    while (bytes > 0 && said->skips_blanks && is_blank(*text)) {
        text++;
        bytes--;
    }
    said->skips_blanks = said->skips_blanks && bytes == 0;
    show(said, text, bytes);
    flo_buf_add(&said->text, text, bytes);
}

void flo_talk_said_end(struct flo_talk_said *said)
{
    if (said->is_thought) {
        mark(said, false);
    }
    if (said->is_line_open || !said->is_terminal) {
        flo_buf_text(&said->shown, "\n");
    }
}

void flo_talk_said_deinit(struct flo_talk_said *said)
{
    flo_buf_deinit(&said->text);
    flo_buf_deinit(&said->shown);
}
