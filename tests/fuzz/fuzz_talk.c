/* The bytes of a chat: lines that a person types, a model's text on its way to
 * the terminal, and events of the local API.  The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "engine/talk/talk.h"

#include "must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Nothing that a terminal obeys, and UTF-8. */
static void must_be_safe(const char *text, size_t bytes)
{
    must(flo_utf8_valid(text, bytes) == bytes);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        must((c >= ' ' && c != 0x7f) || c == '\n' || c == '\t');
        must(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
    }
}

/* ---- lines ---- */

static void run_command(const char *line)
{
    struct flo_talk_settings settings = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};
    enum flo_talk_command command;
    const char *rest;
    int rv = flo_talk_command(line, &command, &rest, &err);

    flo_talk_settings_init(&settings);
    if (rv == 0 && command == FLO_TALK_SET) {
        struct flo_sampling sampling;
        rv = flo_talk_settings_set(&settings, rest, &out, &err);
        flo_talk_settings_sampling(&settings, &sampling);
        must(flo_sampling_check(&sampling, NULL) == 0);
        must(rv < 0 || out.bytes > 0);
    }
    must(rv == 0 || (rv == FLO_E_USAGE && err.what[0] != '\0'));
    flo_buf_deinit(&out);
    flo_talk_settings_deinit(&settings);
}

static void read_lines(const char *data, size_t bytes)
{
    struct flo_talk_input input = {0};

    while (bytes > 0) {
        const char *end = memchr(data, '\n', bytes);
        size_t n = end != NULL ? (size_t)(end - data) : bytes;
        enum flo_talk_input_kind kind = flo_talk_input_line(&input, data, n);
        must(flo_talk_input_is_open(&input) == (kind == FLO_INPUT_MORE));
        if (kind == FLO_INPUT_TEXT || kind == FLO_INPUT_COMMAND) {
            must(strlen(input.text.data) == input.text.bytes);
            must_be_safe(input.text.data, input.text.bytes);
        }
        if (kind == FLO_INPUT_COMMAND) {
            run_command(input.text.data);
        }
        n += end != NULL;
        data += n;
        bytes -= n;
    }
    flo_talk_input_deinit(&input);
}

/* ---- a model's text ---- */

/* Without the two escape sequences that are ours. */
static void must_show_safe(const char *text, size_t bytes, bool has_colour)
{
    while (bytes > 0) {
        const char *escape = memchr(text, '\033', bytes);
        size_t n = escape != NULL ? (size_t)(escape - text) : bytes;
        must_be_safe(text, n);
        if (escape != NULL) {
            must(has_colour && bytes - n >= 4 &&
                 (memcmp(escape, "\033[2m", 4) == 0 || memcmp(escape, "\033[0m", 4) == 0));
            n += 4;
        }
        text += n;
        bytes -= n;
    }
}

/* Each line is a piece; those that begin with '~' are of a thought. */
static void show_text(const char *text, size_t bytes)
{
    for (int kind = 0; kind < 2; kind++) {
        struct flo_talk_said said = {.is_terminal = true, .has_colour = kind > 0};
        flo_talk_said_begin(&said);
        for (size_t at = 0; at < bytes;) {
            const char *end = memchr(text + at, '\n', bytes - at);
            size_t n = end != NULL ? (size_t)(end - text) - at + 1 : bytes - at;
            if (text[at] == '~') {
                flo_talk_said_think(&said, text + at, n);
            } else {
                flo_talk_said_add(&said, text + at, n);
            }
            at += n;
        }
        flo_talk_said_end(&said);
        must_show_safe(said.shown.data != NULL ? said.shown.data : "", said.shown.bytes, kind > 0);
        must(!said.is_thought && said.text.bytes <= bytes);
        flo_talk_said_deinit(&said);
    }
}

/* ---- events ---- */

static void must_lie_in(struct flo_wire_text text, const char *data, size_t bytes)
{
    must(text.bytes == 0 || (text.data >= data && text.data + text.bytes <= data + bytes &&
                             flo_utf8_valid(text.data, text.bytes) == text.bytes));
}

static void read_event(char *data, size_t bytes)
{
    struct flo_talk_event event;
    struct flo_tree tree = {0};
    struct flo_err err = {0};
    int rv = flo_talk_event_read(data, bytes, &tree, &event, &err);

    must(rv <= 0 && (rv == 0 || err.what[0] != '\0'));
    must_be_safe(err.what, strlen(err.what));
    must_be_safe(err.fix, strlen(err.fix));
    if (rv == 0) {
        must_lie_in(event.text, data, bytes);
        must_lie_in(event.thought, data, bytes);
        must(event.prompt_ms >= 0 && event.token_ms >= 0);
        must(event.kept <= event.prompt);
    }
    flo_tree_deinit(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    char *copy = malloc(bytes);
    must(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    copy[bytes - 1] = '\0';
    if (data[0] == 'E') {
        read_event(copy, bytes - 1);
    } else if (data[0] == 'S') {
        show_text(copy, bytes - 1);
    } else {
        read_lines(copy, bytes - 1);
    }
    free(copy);
    return 0;
}
