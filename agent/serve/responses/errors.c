/* Errors: writes errors in OpenAI's form, with the field names and indices of
 * the Responses API. */
#include "agent/serve/openai/openai.h"
#include "agent/serve/responses/responses.h"

#include <flotilla/rows.h>

/* Returns the name of this API's field for a field of OpenAI's chat. */
static const char *field_of(const char *param)
{
    static const struct row {
        const char *ours, *theirs;
    } rows[] = {
        {"messages", "input"},
        {"max_tokens", "max_output_tokens"},
        {"response_format", "text.format"},
        {"reasoning_effort", "reasoning.effort"},
    };
    const struct row *row = FLO_FIND_WORD(param, rows, FLO_COUNT(rows), ours);

    return row == NULL ? param : row->theirs;
}

/* Appends the client's name of a message or a tool, if the text begins with
 * OpenAI's. */
static const char *add_place(const struct responses_state *state, const char *text,
                             struct flo_buf *out)
{
    const struct serve_places items = {"input[", state->item_of, state->n_messages};
    const struct serve_places tools = {"tools [", state->tool_of, state->n_tools};
    const char *rest = flo_answer_add_place(out, text, "messages[", &items);

    return rest != text ? rest : flo_answer_add_place(out, text, "tools [", &tools);
}

/* Replaces names of OpenAI's chat in an error by those that the client used. */
static struct flo_err translate(const struct serve_failure *failure)
{
    const struct serve_request *request = failure->request;
    const char *param = failure->param == NULL ? "" : failure->param;
    struct flo_err err = *failure->err;
    const char *what = err.what;
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf text = {.bytes_max = 4096}, fix = {.bytes_max = 4096};

    if (request != NULL && request->state != NULL && param[0] != '\0') {
        what = add_place(request->state, what, &text);
    }
    flo_answer_add_named(&text, what, param, field_of(param));
    flo_answer_add_named(&fix, err.fix, param, field_of(param));
    snprintf(err.what, sizeof(err.what), "%s", text.data == NULL ? "" : text.data);
    snprintf(err.fix, sizeof(err.fix), "%s", fix.data == NULL ? "" : fix.data);
    return err;
}

static void fail_stream(const struct serve_request *request, const struct flo_err *err,
                        struct flo_buf *out)
{
    struct responses_state *state = request->state;

    flo_buf_printf(out,
                   "event: response.failed\ndata: {\"type\":\"response.failed\""
                   ",\"sequence_number\":%llu,\"response\":",
                   (unsigned long long)state->sequence++);
    flo_responses_add_object(request, NULL, err, out);
    flo_buf_text(out, "}\n\ndata: [DONE]\n\n");
}

void flo_responses_fail(struct serve_failure *failure, struct flo_buf *out)
{
    struct flo_err err = translate(failure);
    struct serve_failure told = *failure;

    if (failure->is_in_stream) {
        fail_stream(failure->request, &err, out);
        return;
    }
    told.err = &err;
    told.param = failure->param == NULL ? NULL : field_of(failure->param);
    flo_openai_fail(&told, out);
}
