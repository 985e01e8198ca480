/* Memory: a sink in memory, for answers without an HTTP client. */
#ifndef FLOTILLA_SERVE_MEMORY_H
#define FLOTILLA_SERVE_MEMORY_H

#include "agent/serve/front/sink.h"

/* Zero-initialise, then set the first two fields. */
struct serve_memory {
    /* Called once, at the end; it may take the answer.  NULL: not needed. */
    void (*done)(void *context, struct serve_memory *memory);
    void *context;
    int status;             /* HTTP status of the answer; 0: no answer yet */
    unsigned retry_after_s; /* seconds of Retry-After; 0: the answer has none */
    bool is_broken;         /* the stream was cut off */
    /* answer; the caller sets bytes_max. If it has failed, the answer was
     * too long */
    struct flo_buf body;
};

/* Makes a sink that writes to `memory`, which must outlive it. */
struct serve_sink flo_sink_memory(struct serve_memory *memory);

#endif
