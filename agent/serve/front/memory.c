/* Memory: a sink that collects an answer in memory. */
#include "agent/serve/front/memory.h"

#include <stdlib.h>
#include <string.h>

static void memory_header(void *context, const char *name, const char *value)
{
    struct serve_memory *memory = context;

    if (strcmp(name, "Retry-After") == 0) {
        memory->retry_after_s = (unsigned)strtoul(value, NULL, 10);
    }
}

static void memory_end(void *context)
{
    struct serve_memory *memory = context;

    if (memory->done != NULL) {
        memory->done(memory->context, memory);
    }
}

static void memory_begin(void *context, int status, const char *type)
{
    struct serve_memory *memory = context;

    (void)type;
    memory->status = status;
}

/* Appends a piece to the body.  This reader is never slow; body.failed tells
 * whether the answer is longer than its limit. */
static bool memory_chunk(void *context, const void *data, size_t bytes, bool is_last)
{
    struct serve_memory *memory = context;

    (void)is_last;
    flo_buf_add(&memory->body, data, bytes);
    return true;
}

static void memory_whole(void *context, int status, const char *type, const void *data,
                         size_t bytes)
{
    memory_begin(context, status, type);
    memory_chunk(context, data, bytes, true);
    memory_end(context);
}

static void memory_abort(void *context)
{
    struct serve_memory *memory = context;

    memory->is_broken = true;
    memory_end(context);
}

struct serve_sink flo_sink_memory(struct serve_memory *memory)
{
    static const struct serve_sink_kind kind = {memory_header, memory_whole, memory_begin,
                                                memory_chunk,  memory_end,   memory_abort};

    return (struct serve_sink){&kind, memory};
}
