/* Input: collects typed lines until a text is complete.  Pure. */
#include "engine/talk/talk.h"

#include <string.h>

#define BLOCK "\"\"\""
#define BLOCK_BYTES 3u

/* Returns the length of the escape sequence at `text`, such as "\033[1;5A",
 * "\033OA", or ESC alone. */
static size_t escape_bytes(const char *text, size_t bytes)
{
    size_t at = 2;

    if (bytes < 2 || (text[1] != '[' && text[1] != 'O')) {
        return 1;
    }
    while (at < bytes && text[at] >= ' ' && text[at] <= '?') {
        at++;
    }
    return at < bytes && text[at] >= '@' && text[at] <= '~' ? at + 1 : at;
}

static void add_clean(struct flo_buf *out, const char *text, size_t bytes)
{
    while (bytes > 0) {
        size_t n = 1;

        if (text[0] == '\033') {
            n = escape_bytes(text, bytes);
        } else if ((unsigned char)text[0] < ' ' || text[0] == 0x7f) {
            flo_buf_text(out, text[0] == '\t' ? "\t" : "");
        } else {
            n = 0;
            while (n < bytes && (unsigned char)text[n] >= ' ' && text[n] != 0x7f) {
                n++;
            }
            flo_talk_safe(text, n, out);
        }
        text += n;
        bytes -= n;
    }
}

/* Returns the length of the text without the blanks at its end. */
static size_t trimmed(const char *text, size_t bytes)
{
    while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) {
        bytes--;
    }
    return bytes;
}

/* Finds the mark """ that opens a block in this line.  *before are the bytes in
 * front of the mark, *after those up to its end.  Returns false if there is no
 * mark. */
static bool opens(const char *line, size_t *before, size_t *after)
{
    size_t blanks = strspn(line, " \t");
    const char *mark = strstr(line, " " BLOCK);

    if (strncmp(line + blanks, BLOCK, BLOCK_BYTES) == 0) {
        *before = 0;
        *after = blanks + BLOCK_BYTES;
        return true;
    }
    if (line[0] == '/' && mark != NULL) {
        *before = (size_t)(mark - line) + 1;
        *after = *before + BLOCK_BYTES;
        return true;
    }
    return false;
}

/* Adds a line of a block.  A line that ends with the mark ends the block. */
static void add_inside(struct flo_talk_input *input, const char *line, size_t bytes)
{
    size_t end = trimmed(line, bytes);

    if (end >= BLOCK_BYTES && memcmp(line + end - BLOCK_BYTES, BLOCK, BLOCK_BYTES) == 0) {
        bytes = end - BLOCK_BYTES;
        input->is_block = false;
    }
    flo_buf_add(&input->text, line, bytes);
    if (input->is_block) {
        flo_buf_text(&input->text, "\n");
    } else if (bytes == 0 && input->text.bytes > 0 &&
               input->text.data[input->text.bytes - 1] == '\n') {
        /* removes the line end before a line that has only the closing mark
         * """ */
        input->text.data[--input->text.bytes] = '\0';
    }
}

static void add_first(struct flo_talk_input *input, const char *line, size_t bytes)
{
    size_t before, after;

    input->is_continued = false;
    if (input->text.bytes == 0 && opens(line, &before, &after)) {
        input->is_plain = before == 0;
        input->is_block = true;
        flo_buf_add(&input->text, line, before);
        if (trimmed(line + after, bytes - after) > 0) {
            add_inside(input, line + after, bytes - after);
        }
        return;
    }
    if (bytes > 0 && line[bytes - 1] == '\\') {
        input->is_continued = true;
        bytes--;
    }
    flo_buf_add(&input->text, line, bytes);
    flo_buf_text(&input->text, input->is_continued ? "\n" : "");
}

static enum flo_talk_input_kind kind_of(struct flo_talk_input *input)
{
    struct flo_buf *text = &input->text;
    const char *data = text->data != NULL ? text->data : "";

    if (data[strspn(data, " \t\n")] == '\0') {
        return FLO_INPUT_NOTHING;
    }
    if (data[0] != '/' || input->is_plain) {
        return FLO_INPUT_TEXT;
    }
    memmove(text->data, text->data + 1, text->bytes--);
    return FLO_INPUT_COMMAND;
}

enum flo_talk_input_kind flo_talk_input_line(struct flo_talk_input *input, const char *line,
                                             size_t bytes)
{
    struct flo_buf clean = {.bytes_max = FLO_INPUT_BYTES_MAX};

    if (!flo_talk_input_is_open(input)) {
        flo_talk_input_drop(input);
    }
    input->text.bytes_max = FLO_INPUT_BYTES_MAX;
    flo_buf_text(&clean, "");
    add_clean(&clean, line, bytes);
    if (clean.data == NULL) {
        input->text.failed = true;
    } else if (input->is_block) {
        add_inside(input, clean.data, clean.bytes);
    } else {
        add_first(input, clean.data, clean.bytes);
    }
    input->text.failed = input->text.failed || clean.failed;
    flo_buf_deinit(&clean);
    if (flo_talk_input_is_open(input)) {
        return FLO_INPUT_MORE;
    }
    return input->text.failed ? FLO_INPUT_LONG : kind_of(input);
}

bool flo_talk_input_is_open(const struct flo_talk_input *input)
{
    return input->is_block || input->is_continued;
}

void flo_talk_input_drop(struct flo_talk_input *input)
{
    flo_buf_deinit(&input->text);
    *input = (struct flo_talk_input){0};
}

void flo_talk_input_deinit(struct flo_talk_input *input)
{
    flo_buf_deinit(&input->text);
}
