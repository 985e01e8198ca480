/* A sink in memory: an answer that no client of HTTP waits for. */
#ifndef FLOTILLA_SERVE_MEMORY_H
#define FLOTILLA_SERVE_MEMORY_H

#include "agent/serve/front/sink.h"

/* Zero but for the first two fields at first. */
struct serve_memory {
    /* Callback at the end, once; it may take the answer away.  NULL: nobody
     * waits. */
    void (*done)(void *context, struct serve_memory *memory);
    void *context;
    int status;             /* 0: nothing came yet */
    unsigned retry_after_s; /* 0: the answer does not say */
    bool is_broken;         /* a stream that was cut off */
    struct flo_buf body;    /* bytes_max is the caller's; failed: it was too long */
};

/* The memory outlives the sink. */
struct serve_sink flo_sink_memory(struct serve_memory *memory);

#endif
