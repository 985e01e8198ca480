/* The bytes of a runtime: an HTTP answer, its events, its JSON; and the
 * agent's configuration of it.  The first byte chooses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>

#include "engine/proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct flo_peer peer = {"the runtime", FLO_E_RUNTIME_ANSWER, FLO_E_RUNTIME_ANSWER};

struct sink {
    struct flo_tree tree;
    struct flo_events events;
    struct flo_reply_reader reader;
    size_t body_bytes;
    struct flo_proxy_calls calls;
    struct flo_buf parts; /* of the calls */
};

static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"light\"}},"
                            "{\"type\":\"function\",\"function\":{\"name\":\"wait\"}}]";

/* The last call has ended: its name was offered, and its arguments, which
 * follow it, are an object. */
static void check_call(const struct sink *sink)
{
    struct flo_wire_text rest = {sink->parts.data, sink->parts.bytes};
    struct flo_wire_part part;
    struct flo_buf arguments = {0};
    uint32_t count = 0;

    while (flo_wire_part_next(&rest, &part)) {
        bool is_call = part.kind == FLO_WIRE_PART_CALL;
        if (is_call && !(part.text.bytes == 5 && memcmp(part.text.data, "light", 5) == 0) &&
            !(part.text.bytes == 4 && memcmp(part.text.data, "wait", 4) == 0)) {
            abort();
        }
        if (is_call) {
            count++;
            arguments.bytes = 0;
        } else {
            flo_buf_add(&arguments, part.text.data, part.text.bytes);
        }
    }
    if (count != sink->calls.count || rest.bytes > 0 ||
        (count > 0 && !flo_json_check(arguments.data, arguments.bytes))) {
        abort();
    }
    flo_buf_deinit(&arguments);
}

static int take_event(void *context, char *data, size_t bytes, struct flo_err *err)
{
    struct sink *sink = context;
    struct flo_answer_part part;
    int rv = flo_answer_read(data, bytes, &sink->tree, &part, err);

    if (rv == 0 && part.text.bytes > 0 &&
        (flo_utf8_valid(part.text.data, part.text.bytes) != part.text.bytes ||
         part.text.data < data || part.text.data + part.text.bytes > data + bytes)) {
        abort();
    }
    const struct flo_tree_node *entry = rv == 0 ? part.calls : NULL;
    while (rv == 0 && entry != NULL) {
        struct flo_answer_call call;
        rv = flo_answer_call(&entry, &call, err);
        if (rv == 0 &&
            flo_utf8_valid(call.arguments.data, call.arguments.bytes) != call.arguments.bytes) {
            abort();
        }
        rv = rv < 0 ? rv : flo_calls_take(&sink->calls, "npu", &call, &sink->parts, err);
    }
    if (rv == 0 && part.has_finish && part.reason == FLO_WIRE_STOP) {
        rv = flo_calls_end(&sink->calls, "npu", &sink->parts, err);
        if (rv == 0) {
            check_call(sink);
        }
    }
    if (rv < 0 && err->what[0] == '\0') {
        abort();
    }
    return rv;
}

static int take_body(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    struct sink *sink = context;

    sink->body_bytes += bytes;
    return flo_events_read(&sink->events, data, bytes, take_event, sink, err);
}

static void take_vector(void *context, uint32_t index, const float *vector, uint32_t length)
{
    double sum = 0;

    (void)context, (void)index;
    for (uint32_t i = 0; i < length; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    if (!(fabs(sum - 1) < 0.01)) {
        abort();
    }
}

/* In pieces of this size: the same end as in one. */
static int read_reply(const char *data, size_t bytes, size_t piece, size_t *body_bytes)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    const struct flo_wire_generate in = {.tools = {tools, sizeof(tools) - 1}};
    struct flo_err err = {0};
    int rv = flo_calls_expect(&sink->calls, &in, &err);

    sink->events.peer = sink->reader.peer = &peer;
    for (size_t at = 0; rv == 0 && at < bytes; at += piece) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        rv = flo_reply_read(&sink->reader, data + at, n, take_body, sink, &err);
    }
    rv = rv < 0 ? rv : flo_reply_end(&sink->reader, &err);
    if (rv < 0 && rv != FLO_E_RUNTIME_ANSWER && rv != FLO_E_MEMORY) {
        abort();
    }
    *body_bytes = sink->body_bytes;
    flo_events_deinit(&sink->events);
    flo_tree_deinit(&sink->tree);
    flo_calls_deinit(&sink->calls);
    flo_buf_deinit(&sink->parts);
    free(sink);
    return rv;
}

static void read_both(const char *data, size_t bytes)
{
    size_t once, often;
    int a = read_reply(data, bytes, bytes > 0 ? bytes : 1, &once);
    int b = read_reply(data, bytes, 3, &often);

    if (a != b || (a == 0 && once != often)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_runtime runtime;
    struct flo_err err = {0};
    uint32_t tokens;
    char *copy;

    if (bytes == 0) {
        return 0;
    }
    copy = malloc(bytes);
    memcpy(copy, data + 1, bytes - 1);
    copy[bytes - 1] = '\0';
    switch (data[0]) {
    case 'H':
        read_both(copy, bytes - 1);
        break;
    case 'V':
        (void)flo_answer_vectors(copy, bytes - 1, 2, take_vector, NULL, &tokens, &err);
        break;
    default:
        (void)flo_runtime_read(&runtime, (struct flo_wire_text){copy, bytes - 1}, &err);
        flo_runtime_deinit(&runtime);
        break;
    }
    free(copy);
    return 0;
}
