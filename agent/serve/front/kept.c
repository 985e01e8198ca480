/* Kept: stores the parts of an answer.
 *
 * Log-probabilities are stored as the engine sent them.  Each token has two
 * u32, the length of the frame's field and where the token's text begins, and
 * then the bytes of that field. */
#include "agent/serve/front/kept.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTES 12
#define HEAD_BYTES 8
/* limit of the log-probabilities of all tokens of an answer */
#define LOGPROBS_BYTES_MAX (64u << 20)

void flo_kept_deinit(struct serve_kept *kept)
{
    for (uint32_t i = 0; i < kept->n_calls; i++) {
        flo_buf_deinit(&kept->calls[i].arguments);
    }
    free(kept->calls);
    flo_buf_deinit(&kept->text);
    flo_buf_deinit(&kept->thoughts);
    flo_buf_deinit(&kept->logprobs);
    *kept = (struct serve_kept){0};
}

static void add_part(uint32_t kind, struct flo_wire_text text, struct flo_buf *out)
{
    const struct flo_wire_part part = {kind, text};

    if (text.bytes > 0) {
        flo_wire_part_add(out, &part);
    }
}

void flo_kept_take(struct serve_kept *kept, struct flo_buf *text, struct flo_buf *parts)
{
    FLO_CLEANUP(flo_kept_deinit) struct serve_kept taken = *kept;

    *kept = (struct serve_kept){.logprobs = taken.logprobs};
    taken.logprobs = (struct flo_buf){0};
    *text = taken.text;
    taken.text = (struct flo_buf){0};
    add_part(FLO_WIRE_PART_THOUGHT,
             (struct flo_wire_text){taken.thoughts.data, taken.thoughts.bytes}, parts);
    for (uint32_t i = 0; i < taken.n_calls; i++) {
        const struct serve_tool_call *call = &taken.calls[i];
        add_part(FLO_WIRE_PART_CALL, (struct flo_wire_text){call->name, strlen(call->name)}, parts);
        add_part(FLO_WIRE_PART_ARGUMENTS,
                 (struct flo_wire_text){call->arguments.data, call->arguments.bytes}, parts);
    }
}

bool flo_kept_has_failed(const struct serve_kept *kept)
{
    bool has_failed = kept->text.failed || kept->thoughts.failed || kept->logprobs.failed;

    for (uint32_t i = 0; i < kept->n_calls; i++) {
        has_failed |= kept->calls[i].arguments.failed;
    }
    return has_failed;
}

int flo_kept_add_call(struct serve_kept *kept, struct flo_wire_text name, struct flo_err *err)
{
    struct serve_tool_call *call;
    uint8_t random[ID_BYTES];

    if (kept->n_calls == SERVE_CALLS_MAX) {
        flo_fail(err, FLO_E_INFER_PARAM, "an answer of more than %d calls", SERVE_CALLS_MAX);
        return flo_err_fix(err, "set `parallel_tool_calls` to false");
    }
    call = realloc(kept->calls, (kept->n_calls + 1) * sizeof(*call));
    if (call == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a call");
    }
    kept->calls = call;
    call += kept->n_calls++;
    *call = (struct serve_tool_call){.id = "call_"};
    flo_random(random, sizeof(random));
    flo_hex_encode(random, sizeof(random), call->id + strlen(call->id));
    memcpy(call->name, name.data, name.bytes);
    return 0;
}

/* ---- log-probabilities ---- */

void flo_kept_add_logprobs(struct serve_kept *kept, const struct flo_wire_token *token)
{
    uint8_t head[HEAD_BYTES];

    flo_put_u32(head, (uint32_t)token->logprobs.bytes);
    flo_put_u32(head + 4, token->begin);
    kept->logprobs.bytes_max = LOGPROBS_BYTES_MAX;
    flo_buf_add(&kept->logprobs, head, sizeof(head));
    flo_buf_add(&kept->logprobs, token->logprobs.data, token->logprobs.bytes);
}

bool flo_kept_logprobs_next(struct flo_wire_text *lists, struct flo_wire_text *list)
{
    if (lists->bytes < HEAD_BYTES || flo_get_u32(lists->data) > lists->bytes - HEAD_BYTES) {
        return false; /* the lists are at their end, or lack of memory cut the last one off */
    }
    uint32_t bytes = flo_get_u32(lists->data);
    *list = (struct flo_wire_text){lists->data + HEAD_BYTES, bytes};
    lists->data += HEAD_BYTES + bytes;
    lists->bytes -= HEAD_BYTES + bytes;
    return true;
}

void flo_kept_cut_logprobs(struct serve_kept *kept, size_t bytes)
{
    struct flo_wire_text lists = {kept->logprobs.data, kept->logprobs.bytes};
    struct flo_wire_text list;

    while (lists.bytes >= HEAD_BYTES && flo_get_u32(lists.data + 4) < bytes &&
           flo_kept_logprobs_next(&lists, &list)) {
    }
    kept->logprobs.bytes -= lists.bytes;
}
