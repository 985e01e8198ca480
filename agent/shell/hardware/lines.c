/* Log lines: stores the newest log lines of this process in a ring of bytes.
 *
 * Any thread may log.  Secrets are hidden when a line is read, not when it is
 * stored. */
#include <pthread.h>
#include <string.h>

#include "agent/shell/hardware/hardware.h"

#define TIME_CHARS 24 /* number of characters of the time at the beginning of a log line */

static struct {
    pthread_mutex_t lock;
    char text[FLO_LINES_BYTES_MAX];
    uint64_t begin, end; /* range of the stored bytes, counted since the first line */
    uint64_t dropped;    /* dropped lines */
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char at(uint64_t place)
{
    return ring.text[place % sizeof(ring.text)];
}

/* Returns the position after the line that contains `place`. */
static uint64_t line_end(uint64_t place)
{
    while (place < ring.end && at(place) != '\n') {
        place++;
    }
    return place < ring.end ? place + 1 : ring.end;
}

static void keep(const char *line, size_t bytes)
{
    pthread_mutex_lock(&ring.lock);
    while (bytes <= sizeof(ring.text) && ring.end - ring.begin + bytes > sizeof(ring.text)) {
        ring.begin = line_end(ring.begin);
        ring.dropped++;
    }
    for (size_t i = 0; i < bytes && bytes <= sizeof(ring.text); i++) {
        ring.text[ring.end++ % sizeof(ring.text)] = line[i];
    }
    pthread_mutex_unlock(&ring.lock);
}

void flo_lines_begin(void)
{
    flo_log_keep(keep);
}

/* Copies the line that ends before `end`, with its secrets hidden.  Returns the
 * position where the line begins. */
static uint64_t last_line(uint64_t end, char out[FLO_REDACT_BYTES_MAX + 1], uint64_t *at_ms)
{
    char line[2048];
    char time[TIME_CHARS + 1] = "";
    uint64_t begin = end - 1;
    size_t bytes;

    while (begin > ring.begin && at(begin - 1) != '\n') {
        begin--;
    }
    bytes = (size_t)(end - 1 - begin);
    bytes = bytes < sizeof(line) ? bytes : sizeof(line);
    for (size_t i = 0; i < bytes; i++) {
        line[i] = at(begin + i);
    }
    if (bytes >= TIME_CHARS) {
        memcpy(time, line, TIME_CHARS);
    }
    if (!flo_time_parse(time, at_ms)) {
        *at_ms = 0;
    }
    flo_redact(line, bytes, out);
    return begin;
}

static uint64_t count_before(uint64_t end)
{
    uint64_t count = 0;

    for (uint64_t i = ring.begin; i < end; i++) {
        count += at(i) == '\n';
    }
    return count;
}

json_t *flo_lines_json(uint64_t lines, uint64_t from_ms, size_t bytes_max, uint64_t *cut)
{
    /* static, because only the thread of the loop calls this */
    static char text[FLO_REDACT_BYTES_MAX + 1];
    json_t *list = json_array();
    uint64_t end, at_ms;
    size_t bytes = 0;

    pthread_mutex_lock(&ring.lock);
    end = ring.end;
    while (end > ring.begin && json_array_size(list) < lines) {
        uint64_t begin = last_line(end, text, &at_ms);
        bytes += flo_redact_json_bytes(text);
        if (bytes > bytes_max || at_ms < from_ms) {
            break;
        }
        json_array_insert_new(list, 0, json_string(text));
        end = begin;
    }
    *cut = ring.dropped + count_before(end);
    pthread_mutex_unlock(&ring.lock);
    return list;
}
