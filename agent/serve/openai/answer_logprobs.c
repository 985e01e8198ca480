/* Log-probabilities of an answer's tokens in OpenAI's two shapes.
 *
 * A request keeps them as the engine sent them.  Each token has two u32: the
 * length of the frame's field and where the token's text begins.  The bytes of
 * the field follow.  A stream keeps the one token of an event, any other
 * request the whole answer. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <string.h>

#define HEAD_BYTES 8
#define BYTES_MAX (64u << 20) /* of all tokens of an answer */

void flo_answer_logprobs_add(struct serve_request *request,
                             const struct flo_wire_token *token)
{
    uint8_t head[HEAD_BYTES];
    flo_put_u32(head, (uint32_t)token->logprobs.bytes);
    flo_put_u32(head + 4, token->begin);
    request->logprobs.bytes_max = BYTES_MAX;
    flo_buf_add(&request->logprobs, head, sizeof(head));
    flo_buf_add(&request->logprobs, token->logprobs.data,
                token->logprobs.bytes);
}

/* The next token's list; false: that was all. */
static bool next_list(struct flo_wire_text *lists, struct flo_wire_text *list)
{
    if (lists->bytes < HEAD_BYTES ||
        flo_get_u32(lists->data) > lists->bytes - HEAD_BYTES) {
        return false; /* or memory was gone in the middle of one */
    }
    uint32_t bytes = flo_get_u32(lists->data);
    *list = (struct flo_wire_text){lists->data + HEAD_BYTES, bytes};
    lists->data += HEAD_BYTES + bytes;
    lists->bytes -= HEAD_BYTES + bytes;
    return true;
}

void flo_answer_logprobs_cut(struct serve_request *request, size_t bytes)
{
    struct flo_buf *kept = &request->logprobs;
    struct flo_wire_text lists = {kept->data, kept->bytes}, list;
    while (lists.bytes >= HEAD_BYTES && flo_get_u32(lists.data + 4) < bytes &&
           next_list(&lists, &list)) {
    }
    kept->bytes -= lists.bytes;
}

static void add_number(struct flo_buf *out, float logprob)
{
    flo_buf_printf(out, "%.9g", isfinite(logprob) ? (double)logprob : -9999.0);
}

/* "token":…,"logprob":…,"bytes":[…] */
static void add_entry(struct flo_buf *out, const struct flo_wire_logprob *one)
{
    flo_buf_text(out, "{\"token\":");
    flo_answer_add_text(out, one->text);
    flo_buf_text(out, ",\"logprob\":");
    add_number(out, one->logprob);
    flo_buf_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < one->text.bytes; i++) {
        flo_buf_printf(out, i == 0 ? "%u" : ",%u",
                       (unsigned char)one->text.data[i]);
    }
    flo_buf_text(out, "]");
}

static void add_chat(struct flo_wire_text lists, struct flo_buf *out)
{
    struct flo_wire_text list;
    struct flo_wire_logprob one;
    bool is_first = true;
    flo_buf_text(out, "{\"content\":[");
    while (next_list(&lists, &list)) {
        if (!flo_wire_logprob_next(&list, &one)) {
            continue;
        }
        flo_buf_text(out, is_first ? "" : ",");
        is_first = false;
        add_entry(out, &one);
        flo_buf_text(out, ",\"top_logprobs\":[");
        for (int i = 0; flo_wire_logprob_next(&list, &one); i++) {
            flo_buf_text(out, i == 0 ? "" : ",");
            add_entry(out, &one);
            flo_buf_text(out, "}");
        }
        flo_buf_text(out, "]}");
    }
    flo_buf_text(out, "],\"refusal\":null}");
}

/* ---- completions: one list for each kind of fact ---- */

enum column { TOKENS, LOGPROBS, TOPS, OFFSETS };

static size_t characters(struct flo_wire_text text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

static void add_tops(struct flo_wire_text list, struct flo_buf *out)
{
    struct flo_wire_logprob one;
    flo_buf_text(out, "{");
    for (int i = 0; flo_wire_logprob_next(&list, &one); i++) {
        flo_buf_text(out, i == 0 ? "" : ",");
        flo_answer_add_text(out, one.text);
        flo_buf_text(out, ":");
        add_number(out, one.logprob);
    }
    flo_buf_text(out, "}");
}

static void add_column(enum column column, struct flo_wire_text lists,
                       size_t *offset, struct flo_buf *out)
{
    struct flo_wire_text list;
    struct flo_wire_logprob one;
    bool is_first = true;
    flo_buf_text(out, "[");
    while (next_list(&lists, &list)) {
        if (!flo_wire_logprob_next(&list, &one)) {
            continue;
        }
        flo_buf_text(out, is_first ? "" : ",");
        is_first = false;
        switch (column) {
        case TOKENS:
            flo_answer_add_text(out, one.text);
            break;
        case LOGPROBS:
            add_number(out, one.logprob);
            break;
        case TOPS:
            add_tops(list, out);
            break;
        case OFFSETS:
            flo_buf_printf(out, "%zu", *offset);
            *offset += characters(one.text);
            break;
        }
    }
    flo_buf_text(out, "]");
}

static void add_completion(struct serve_request *request,
                           struct flo_wire_text lists, struct flo_buf *out)
{
    size_t none = 0;
    flo_buf_text(out, "{\"tokens\":");
    add_column(TOKENS, lists, &none, out);
    flo_buf_text(out, ",\"token_logprobs\":");
    add_column(LOGPROBS, lists, &none, out);
    flo_buf_text(out, ",\"top_logprobs\":");
    if (request->params.message.generate.logprobs > 1) {
        add_column(TOPS, lists, &none, out);
    } else {
        flo_buf_text(out, "null");
    }
    flo_buf_text(out, ",\"text_offset\":");
    add_column(OFFSETS, lists, &request->text_offset, out);
    flo_buf_text(out, "}");
}

void flo_answer_logprobs_put(struct serve_request *request, struct flo_buf *out)
{
    struct flo_wire_text lists = {request->logprobs.data,
                                  request->logprobs.bytes};
    if (request->params.message.generate.logprobs == 0 ||
        (request->params.is_stream && lists.bytes == 0)) {
        flo_buf_text(out, "null");
    } else if (request->kind == REQUEST_CHAT) {
        add_chat(lists, out);
    } else {
        add_completion(request, lists, out);
    }
    request->logprobs.bytes = 0;
}
