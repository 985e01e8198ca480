/* Terminal: finds the size and colours of a terminal, and the width of a text
 * on it. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "server-stub/cli/output/output.h"

#define WIDTH_STANDARD 80
#define HEIGHT_STANDARD 24

static size_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    long value = text != NULL ? strtol(text, NULL, 10) : 0;

    return value > 0 && value < 10000 ? (size_t)value : 0;
}

size_t flo_terminal_width(int fd)
{
    struct winsize size = {0};
    size_t said = number_of("COLUMNS");

    if (isatty(fd) != 1) {
        return 0;
    }
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return said > 0 ? said : WIDTH_STANDARD;
}

size_t flo_terminal_height(int fd)
{
    struct winsize size = {0};
    size_t said = number_of("LINES");

    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
        return size.ws_row;
    }
    return said > 0 ? said : HEIGHT_STANDARD;
}

/* Tells whether the environment variable is set and not empty. */
static bool says(const char *variable)
{
    const char *text = getenv(variable);

    return text != NULL && text[0] != '\0';
}

bool flo_terminal_has_colour(const struct flo_args *args, int fd)
{
    const char *asked = flo_args_global(args, "color", "auto");
    const char *term = getenv("TERM");

    if (strcmp(asked, "auto") != 0) {
        return strcmp(asked, "always") == 0;
    }
    if (says("NO_COLOR")) {
        return false;
    }
    if (says("CLICOLOR_FORCE") && strcmp(getenv("CLICOLOR_FORCE"), "0") != 0) {
        return true;
    }
    return isatty(fd) == 1 && term != NULL && strcmp(term, "dumb") != 0;
}

/* ---- width ---- */

#define WITHOUT_WIDTH 0x300 /* a combining mark */

/* Reads one character, or a whole colour sequence.  Returns the character's
 * code, and its number of bytes in *bytes. */
static unsigned next(const char *text, size_t *bytes)
{
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] == 033 && c[1] == '[') {
        *bytes = 2 + strspn(text + 2, "0123456789;");
        *bytes += text[*bytes] == 'm';
        return WITHOUT_WIDTH;
    }
    size_t more = c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 1 : c[0] < 0xf0 ? 2 : 3;
    unsigned code = more == 0 ? c[0] : c[0] & (0x3fu >> more);

    *bytes = 1;
    while (*bytes <= more && (c[*bytes] & 0xc0) == 0x80) {
        code = code << 6 | (c[*bytes] & 0x3fu);
        *bytes += 1;
    }
    return code;
}

/* Returns how many columns a character takes: 0 for combining marks, 2 for East
 * Asian characters and emoji, else 1. */
static size_t columns_of(unsigned code)
{
    static const unsigned none[][2] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                                       {0x610, 0x61a},   {0x64b, 0x65f},   {0x200b, 0x200d},
                                       {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const unsigned two[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
                                      {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe4f},
                                      {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                      {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

    for (size_t i = 0; i < FLO_COUNT(none); i++) {
        if (code >= none[i][0] && code <= none[i][1]) {
            return 0;
        }
    }
    for (size_t i = 0; i < FLO_COUNT(two); i++) {
        if (code >= two[i][0] && code <= two[i][1]) {
            return 2;
        }
    }
    return 1;
}

size_t flo_text_width(const char *text)
{
    size_t width = 0;
    size_t bytes;

    for (; *text != '\0'; text += bytes) {
        width += columns_of(next(text, &bytes));
    }
    return width;
}

void flo_text_cut(const char *text, size_t width, char out[FLO_CELL_BYTES])
{
    size_t used = 0, columns = 0, bytes;

    if (flo_text_width(text) <= width) {
        snprintf(out, FLO_CELL_BYTES, "%s", text);
        return;
    }
    for (; *text != '\0'; text += bytes) {
        size_t more = columns_of(next(text, &bytes));
        if (columns + more + 1 > width || used + bytes + 8 > FLO_CELL_BYTES) {
            break;
        }
        memcpy(out + used, text, bytes);
        used += bytes;
        columns += more;
    }
    out[used] = '\0';
    bool has_tone = strchr(out, 033) != NULL;
    snprintf(out + used, FLO_CELL_BYTES - used, "%s%s", width > 0 ? "…" : "",
             has_tone ? FLO_TONE_END : "");
}

/* ---- colours ---- */

#define TONE_GOOD "\033[32m"
#define TONE_ODD "\033[33m"
#define TONE_BAD "\033[31m"
#define TONE_QUIET "\033[2m"

const char *flo_tone_of(const char *word)
{
    static const struct {
        const char *word, *tone;
    } tones[] = {
#define FLO_TONE(word, tone) {word, TONE_##tone},
#include "server-stub/cli/output/tones.def"
#undef FLO_TONE
    };

    for (size_t i = 0; i < FLO_COUNT(tones); i++) {
        if (strcmp(tones[i].word, word) == 0) {
            return tones[i].tone;
        }
    }
    return "";
}
