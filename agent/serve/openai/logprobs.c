/* Logprobs: writes the log-probabilities of an answer's tokens in OpenAI's two
 * forms.
 *
 * A stream stores those of one event's token, any other answer those of all
 * tokens. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <string.h>

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
        flo_buf_printf(out, i == 0 ? "%u" : ",%u", (unsigned char)one->text.data[i]);
    }
    flo_buf_text(out, "]");
}

static void add_chat(struct flo_wire_text lists, struct flo_buf *out)
{
    struct flo_wire_text list;
    struct flo_wire_logprob one;
    bool is_first = true;
    flo_buf_text(out, "{\"content\":[");
    while (flo_kept_logprobs_next(&lists, &list)) {
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

static void add_column(enum column column, struct flo_wire_text lists, size_t *offset,
                       struct flo_buf *out)
{
    struct flo_wire_text list;
    struct flo_wire_logprob one;
    bool is_first = true;
    flo_buf_text(out, "[");
    while (flo_kept_logprobs_next(&lists, &list)) {
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

static void add_completion(struct serve_request *request, struct flo_wire_text lists,
                           struct flo_buf *out)
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

void flo_openai_add_logprobs(struct serve_request *request, struct flo_buf *out)
{
    struct flo_buf *kept = &request->kept.logprobs;
    struct flo_wire_text lists = {kept->data, kept->bytes};
    if (request->params.message.generate.logprobs == 0 ||
        (request->params.is_stream && lists.bytes == 0)) {
        flo_buf_text(out, "null");
    } else if (request->kind == REQUEST_CHAT) {
        add_chat(lists, out);
    } else {
        add_completion(request, lists, out);
    }
    kept->bytes = 0;
}
