/* Lines: filters the lines that mosquitto writes.  The functions have no side
 * effects; see lines.h. */
#include <string.h>

#include "server-stub/mqtt/broker/lines.h"

/* Tells whether OpenSSL says in this line that a connection was cut. */
static bool is_cut_connection(const char *line)
{
    static const char *const causes[] = {"unexpected eof while reading", "library::Broken pipe",
                                         "library::Connection reset by peer"};

    bool is_cut = false;

    for (size_t i = 0; i < FLO_COUNT(causes); i++) {
        is_cut = is_cut || strstr(line, causes[i]) != NULL;
    }
    return is_cut && strstr(line, "OpenSSL Error[") != NULL;
}

void flo_broker_lines_tell(struct flo_broker_lines *lines, uint64_t now_ms, uint64_t wall_ms,
                           struct flo_buf *out)
{
    if (lines->count == 0 || now_ms < lines->tell_at_ms) {
        return;
    }
    flo_buf_printf(out,
                   "%llu: connections that ended without TLS's goodbye, as of "
                   "devices that lost power or network: %llu\n",
                   (unsigned long long)(wall_ms / 1000), (unsigned long long)lines->count);
    lines->count = 0;
    lines->tell_at_ms = now_ms + FLO_BROKER_LINES_TELL_MS;
}

static void end_line(struct flo_broker_lines *lines, struct flo_buf *out)
{
    lines->line[lines->bytes] = '\0';
    if (is_cut_connection(lines->line)) {
        lines->count += strstr(lines->line, "Error[0]") != NULL; /* one a connection */
    } else {
        flo_buf_add(out, lines->line, lines->bytes);
        flo_buf_text(out, "\n");
    }
    lines->bytes = 0;
}

void flo_broker_lines_take(struct flo_broker_lines *lines, const char *data, size_t bytes,
                           struct flo_buf *out)
{
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == '\n') {
            end_line(lines, out);
        } else if (lines->bytes + 1 < sizeof(lines->line)) {
            lines->line[lines->bytes++] = data[i];
        }
    }
}
