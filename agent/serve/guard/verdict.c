/* Verdict: writes the question to a guard, and reads its answer.  Pure. */
#include "agent/serve/guard/verdict.h"

#include <string.h>
#include <strings.h>

#include <flotilla/errors/infer.h>

/* number of bytes that an error shows of an answer that cannot be read */
#define SHOWN_BYTES_MAX 60

/* ---- the question ---- */

static void add_name(const char *key, const char *name, struct flo_buf *out)
{
    flo_buf_printf(out, ",\"%s\":", key);
    if (name != NULL) {
        flo_answer_add_text(out, (struct flo_wire_text){name, strlen(name)});
    } else {
        flo_buf_text(out, "null");
    }
}

/* Completes the JSON object that was begun: writes the members of `object`, if
 * it has any, and the closing bracket. */
static void add_more(struct flo_wire_text object, struct flo_buf *out)
{
    if (object.bytes > 2) {
        flo_buf_text(out, ",");
        flo_buf_add(out, object.data + 1, object.bytes - 1);
    } else {
        flo_buf_text(out, "}");
    }
}

static void add_messages(const struct flo_wire_generate *in, struct flo_buf *out)
{
    flo_buf_text(out, ",\"messages\":[");
    for (uint32_t i = 0; i < in->n_messages; i++) {
        flo_buf_text(out, i > 0 ? ",{\"role\":" : "{\"role\":");
        flo_answer_add_text(out, in->messages[i].role);
        flo_buf_text(out, ",\"content\":");
        flo_answer_add_text(out, in->messages[i].content);
        add_more(in->messages[i].more, out);
    }
    flo_buf_text(out, "]");
    if (in->tools.bytes > 0) {
        flo_buf_text(out, ",\"tools\":");
        flo_buf_add(out, in->tools.data, in->tools.bytes);
    }
}

/* Writes the calls as a prompt's messages have them, but without ids, which are
 * made when the answer is sent. */
static void add_calls(const struct serve_kept *kept, struct flo_buf *out)
{
    for (uint32_t i = 0; i < kept->n_calls; i++) {
        const struct serve_tool_call *call = &kept->calls[i];
        flo_buf_printf(out,
                       "%s{\"type\":\"function\",\"function\":{\"name\":"
                       "\"%s\",",
                       i == 0 ? ",\"tool_calls\":[" : ",", call->name);
        flo_answer_add_member(out, "arguments", flo_answer_text_of(&call->arguments));
        flo_buf_text(out, "}}");
    }
    flo_buf_text(out, kept->n_calls > 0 ? "]" : "");
}

static void add_answer(const struct serve_kept *kept, struct flo_buf *out)
{
    flo_buf_text(out, ",");
    flo_answer_add_member(out, "text", flo_answer_text_of(&kept->text));
    if (kept->thoughts.bytes > 0) {
        flo_buf_text(out, ",");
        flo_answer_add_member(out, "reasoning_content", flo_answer_text_of(&kept->thoughts));
    }
    add_calls(kept, out);
}

void flo_guard_question(const struct serve_request *request, enum flo_guard_stage stage,
                        const char *model, struct flo_buf *out)
{
    const struct flo_wire_generate *in = &request->params.message.generate;

    flo_buf_printf(out, "{\"stage\":\"%s\"", stage == FLO_GUARD_ANSWER ? "answer" : "prompt");
    add_name("model", model, out);
    add_name("app",
             request->party.token < 0 ? NULL : request->serve->tokens[request->party.token].name,
             out);
    if (stage == FLO_GUARD_ANSWER) {
        add_answer(&request->kept, out);
    } else if (in->n_messages > 0) {
        add_messages(in, out);
    } else {
        flo_buf_text(out, ",");
        flo_answer_add_member(out, "text", in->prompt);
    }
    flo_buf_text(out, "}\n");
}

/* Appends a line to `out`.  A line end goes before it, unless it is the first
 * line at `begin`, after the owner's text. */
static void add_line(struct flo_wire_text line, size_t begin, struct flo_buf *out)
{
    if (line.bytes > 0) {
        flo_buf_text(out, out->bytes > begin ? "\n" : "");
        flo_buf_add(out, line.data, line.bytes);
    }
}

static void add_call_lines(const struct serve_kept *kept, size_t begin, struct flo_buf *out)
{
    for (uint32_t i = 0; i < kept->n_calls; i++) {
        const struct serve_tool_call *call = &kept->calls[i];
        add_line((struct flo_wire_text){call->name, strlen(call->name)}, begin, out);
        add_line(flo_answer_text_of(&call->arguments), begin, out);
    }
}

void flo_guard_ask(const struct serve_request *request, enum flo_guard_stage stage,
                   const struct flo_serve_guard *guard, struct flo_buf *out)
{
    const struct flo_wire_generate *in = &request->params.message.generate;
    const struct serve_kept *kept = &request->kept;
    size_t begin = strlen(guard->ask);

    flo_buf_text(out, guard->ask);
    if (stage == FLO_GUARD_ANSWER) {
        add_line(flo_answer_text_of(&kept->thoughts), begin, out);
        add_line(flo_answer_text_of(&kept->text), begin, out);
        add_call_lines(kept, begin, out);
        return;
    }
    add_line(in->tools, begin, out);
    for (uint32_t i = 0; i < in->n_messages; i++) {
        add_line(in->messages[i].content, begin, out);
        add_line(in->messages[i].more, begin, out);
    }
    add_line(in->prompt, begin, out);
}

/* ---- a program's verdict ---- */

static int read_edit(const json_t *answer, struct guard_verdict *out, struct flo_err *err)
{
    const json_t *text = json_object_get(answer, "text");
    size_t bytes = json_string_length(text);

    if (!json_is_string(text)) {
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED, "its verdict is edit, without a `text`");
    }
    if (bytes > FLO_GUARD_TEXT_BYTES_MAX) {
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED,
                        "its text has %zu bytes, at most %d are taken", bytes,
                        FLO_GUARD_TEXT_BYTES_MAX);
    }
    flo_buf_add(&out->text, json_string_value(text), bytes);
    return out->text.failed ? flo_fail(err, FLO_E_INFER_GUARD_FAILED, "no memory for its text") : 0;
}

static void take_reason(const char *text, size_t bytes, struct guard_verdict *out)
{
    if (bytes == 0) {
        text = "no reason is given";
        bytes = strlen(text);
    }
    flo_text_clean(text, bytes, out->reason, sizeof(out->reason));
}

int flo_guard_verdict_read(const char *text, size_t bytes, struct guard_verdict *out,
                           struct flo_err *err)
{
    static const char *const words[] = {
        [GUARD_PASSED] = "pass", [GUARD_EDITED] = "edit", [GUARD_REFUSED] = "refuse"};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    size_t kind = 0;

    *out = (struct guard_verdict){0};
    if (flo_json_parse(text, bytes, FLO_GUARD_ANSWER_BYTES_MAX, &answer, NULL) < 0 ||
        !json_is_object(answer)) {
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED, "its answer of %zu bytes is no JSON object",
                        bytes);
    }
    const json_t *verdict = json_object_get(answer, "verdict");
    const json_t *reason = json_object_get(answer, "reason");
    while (kind < FLO_COUNT(words) &&
           (!json_is_string(verdict) || strcmp(json_string_value(verdict), words[kind]) != 0)) {
        kind++;
    }
    if (kind == FLO_COUNT(words)) {
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED,
                        "its verdict is none of pass, edit and refuse");
    }
    if (reason != NULL && !json_is_null(reason) && !json_is_string(reason)) {
        return flo_fail(err, FLO_E_INFER_GUARD_FAILED, "its reason is no text");
    }
    out->kind = (enum guard_verdict_kind)kind;
    take_reason(json_string_value(reason), json_string_length(reason), out);
    return kind == GUARD_EDITED ? read_edit(answer, out, err) : 0;
}

/* ---- a model's verdict ---- */

static bool begins(struct flo_wire_text text, const char *word)
{
    size_t chars = strlen(word);

    return text.bytes >= chars && strncasecmp(text.data, word, chars) == 0;
}

int flo_guard_verdict_of(const struct flo_serve_guard *guard, struct flo_wire_text answer,
                         struct guard_verdict *out, struct flo_err *err)
{
    char shown[SHOWN_BYTES_MAX + 1];

    *out = (struct guard_verdict){0};
    while (answer.bytes > 0 && strchr(" \t\r\n", answer.data[0]) != NULL &&
           answer.data[0] != '\0') {
        answer.data++;
        answer.bytes--;
    }
    if (begins(answer, guard->refuse)) {
        out->kind = GUARD_REFUSED;
        take_reason(answer.data, answer.bytes, out);
        return 0;
    }
    if (begins(answer, guard->pass)) {
        out->kind = GUARD_PASSED;
        return 0;
    }
    flo_text_clean(answer.bytes > 0 ? answer.data : "", answer.bytes, shown, sizeof(shown));
    return flo_fail(err, FLO_E_INFER_GUARD_FAILED,
                    "%s answered \"%s\", which begins neither with \"%s\" nor "
                    "with \"%s\"",
                    guard->model, shown, guard->pass, guard->refuse);
}
