/* Lines that mosquitto writes: what its log keeps of them.
 *
 * A device that loses power or its network ends its connection without TLS's
 * goodbye.  With OpenSSL 3 each is an error line of mosquitto, so that a
 * fleet's bad network would fill the log.  Such lines are counted, and the
 * count is told at the first one and then every ten minutes. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_LINES_H
#define FLOTILLA_SERVER_MQTT_BROKER_LINES_H

#include <flotilla/base.h>

#define FLO_BROKER_LINES_TELL_MS 600000
#define FLO_BROKER_LINE_MAX 1024 /* the rest of a longer one is cut */

/* Zero-initialise. */
struct flo_broker_lines {
    char line[FLO_BROKER_LINE_MAX];
    size_t bytes;
    uint64_t count;      /* connections cut since it was told */
    uint64_t tell_at_ms; /* not before */
};

/* Append to `out` those of these bytes that the log keeps. */
void flo_broker_lines_take(struct flo_broker_lines *lines, const char *data, size_t bytes,
                           struct flo_buf *out);
/* A count whose time has come; call it after each piece, and now and then. */
void flo_broker_lines_tell(struct flo_broker_lines *lines, uint64_t now_ms, uint64_t wall_ms,
                           struct flo_buf *out);

#endif
