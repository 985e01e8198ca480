/* Memory: a sink that collects an answer for which no HTTP client waits. */
#ifndef FLOTILLA_SERVE_MEMORY_H
#define FLOTILLA_SERVE_MEMORY_H

#include "agent/serve/front/sink.h"

/* State of the sink.  The caller sets it to zero, then `done`, `context` and
 * body.bytes_max. */
struct serve_memory {
    /* Called once, when the answer is complete; it may take the body.  NULL: no
     * call is needed. */
    void (*done)(void *context, struct serve_memory *memory);
    void *context;
    int status;             /* HTTP status of the answer; 0: none has arrived */
    unsigned retry_after_s; /* value of Retry-After in seconds; 0: the answer has none */
    bool is_broken;         /* the stream was cut off before its end */
    /* body of the answer, at most bytes_max long; body.failed: the answer was
     * longer */
    struct flo_buf body;
};

/* Returns a sink that writes to `memory`, which must outlive the sink. */
struct serve_sink flo_sink_memory(struct serve_memory *memory);

#endif
