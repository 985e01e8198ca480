/* ASCII: implements --ascii, for terminals and tickets without symbols.
 *
 * Each symbol of the command's own texts becomes one ASCII character, so that
 * columns stay aligned.  People's names and texts are unchanged. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/cli/output/output.h"

static const char *const symbols[][2] = {{"·", "-"}, {"–", "-"}, {"…", "~"}, {"→", ">"}, {"×", "x"},
                                         {"✓", "+"}, {"✗", "x"}, {"▲", "!"}, {"█", "#"}, {"▇", "#"},
                                         {"▆", "#"}, {"▅", "="}, {"▄", "="}, {"▃", "-"}, {"▂", "-"},
                                         {"▁", "_"}, {"°", " "}};

/* Returns the number of bytes of the symbol with which `text` begins, and its
 * ASCII character in *out; 0: it begins with none. */
static size_t symbol_at(const char *text, size_t bytes, char *out)
{
    for (size_t i = 0; i < FLO_COUNT(symbols); i++) {
        size_t length = strlen(symbols[i][0]);
        if (length <= bytes && memcmp(symbols[i][0], text, length) == 0) {
            *out = symbols[i][1][0];
            return length;
        }
    }
    return 0;
}

void flo_ascii(const char *text, size_t bytes, struct flo_buf *out)
{
    for (size_t i = 0; i < bytes;) {
        char c = text[i];
        size_t length = (unsigned char)c < 0x80 ? 0 : symbol_at(text + i, bytes - i, &c);
        flo_buf_add(out, &c, 1);
        i += length > 0 ? length : 1;
    }
}

/* ---- streams that write so ---- */

struct stream {
    int fd;
    size_t held; /* number of bytes that are kept of an incomplete character */
    char text[4];
};

/* Returns how many bytes at the end of the text belong to an incomplete
 * character. */
static size_t open_end(const char *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        unsigned char c = (unsigned char)text[bytes - back];
        if (c >= 0xc0) {
            size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            return length > back ? back : 0;
        }
        if (c < 0x80) {
            break;
        }
    }
    return 0;
}

static ssize_t put(void *cookie, const char *text, size_t bytes)
{
    struct stream *stream = cookie;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) whole = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    size_t at = 0;

    flo_buf_add(&whole, stream->text, stream->held);
    flo_buf_add(&whole, text, bytes);
    if (whole.failed) {
        return -1;
    }
    stream->held = open_end(whole.data, whole.bytes);
    flo_ascii(whole.data, whole.bytes - stream->held, &out);
    memcpy(stream->text, whole.data + whole.bytes - stream->held, stream->held);
    while (!out.failed && at < out.bytes) {
        ssize_t got = write(stream->fd, out.data + at, out.bytes - at);
        if (got < 0) {
            return -1;
        }
        at += (size_t)got;
    }
    return out.failed ? -1 : (ssize_t)bytes;
}

static void wrap(FILE **file, struct stream *stream, int mode)
{
    const cookie_io_functions_t calls = {.write = put};
    FILE *wrapped = fopencookie(stream, "w", calls);

    if (wrapped != NULL) {
        fflush(*file);
        setvbuf(wrapped, NULL, mode, 0);
        *file = wrapped;
    }
}

void flo_ascii_open(void)
{
    static struct stream out = {.fd = STDOUT_FILENO};
    static struct stream err = {.fd = STDERR_FILENO};

    wrap(&stdout, &out, isatty(STDOUT_FILENO) == 1 ? _IOLBF : _IOFBF);
    wrap(&stderr, &err, _IONBF);
}
