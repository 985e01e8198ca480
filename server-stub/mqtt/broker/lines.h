/* Lines: filters the lines that mosquitto writes for the log.
 *
 * A device that loses power or its network ends its connection without a TLS
 * close.  With OpenSSL 3 mosquitto writes an error line for each, so a fleet's
 * bad network would fill the log.  Such lines are only counted, and the count
 * is logged at the first one and then every ten minutes. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_LINES_H
#define FLOTILLA_SERVER_MQTT_BROKER_LINES_H

#include <flotilla/base.h>

#define FLO_BROKER_LINES_TELL_MS 600000
#define FLO_BROKER_LINE_MAX 1024 /* largest length of a line; a longer one is cut */

/* Zero-initialise. */
struct flo_broker_lines {
    char line[FLO_BROKER_LINE_MAX];
    size_t bytes;
    uint64_t count;      /* number of connections lost since the count was logged last */
    uint64_t tell_at_ms; /* earliest time at which the count is logged again */
};

/* Appends the lines among these bytes to `out` that the log keeps. */
void flo_broker_lines_take(struct flo_broker_lines *lines, const char *data, size_t bytes,
                           struct flo_buf *out);
/* Appends a line with the number of lost connections when that line is due.
 * Called after each piece of output, and from time to time. */
void flo_broker_lines_tell(struct flo_broker_lines *lines, uint64_t now_ms, uint64_t wall_ms,
                           struct flo_buf *out);

#endif
