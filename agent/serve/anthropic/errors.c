/* Errors: writes errors in Anthropic's form: a sentence with the client's field
 * names, and the next step. */
#include "agent/serve/anthropic/anthropic.h"

#include <string.h>

#include <flotilla/rows.h>

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
        return "overloaded_error";
    default:
        return status < 500 ? "invalid_request_error" : "api_error";
    }
}

/* Returns the name of Anthropic's field for a field of OpenAI's body. */
static const char *field_of(const char *param)
{
    static const struct row {
        const char *ours, *theirs;
    } rows[] = {
        {"stop", "stop_sequences"},
        {"chat_template_kwargs", "thinking"},
        {"response_format", "output_config"},
        {"parallel_tool_calls", "tool_choice"},
        {"user", "metadata"},
    };
    const struct row *row = FLO_FIND_WORD(param, rows, FLO_COUNT(rows), ours);

    return row == NULL ? param : row->theirs;
}

static void add_text(const struct serve_failure *failure, const char *text, struct flo_buf *out)
{
    const char *param = failure->param == NULL ? "" : failure->param;

    flo_answer_add_named(out, text, param, field_of(param));
}

void flo_anthropic_fail(struct serve_failure *failure, struct flo_buf *out)
{
    const struct flo_err *err = failure->err;
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    const struct anthropic_state *state = failure->request == NULL ? NULL : failure->request->state;
    const char *what = err->what;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = 4096};

    if (state != NULL && failure->request->params.param[0] != '\0') {
        const struct serve_places places = {"messages[", state->came_from, state->n_messages};
        what = flo_answer_add_place(&text, what, "messages[", &places);
    }
    add_text(failure, what, &text);
    flo_buf_text(&text, "; ");
    add_text(failure, fix, &text);
    flo_buf_printf(out,
                   "%s{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                   "\"message\":",
                   failure->is_in_stream ? "event: error\ndata: " : "", type_of(failure->status));
    flo_answer_add_text(out, (struct flo_wire_text){text.data, text.bytes});
    if (failure->param != NULL && strcmp(failure->param, FLO_ANTHROPIC_THREAD) == 0) {
        flo_buf_text(out, ",\"details\":{\"error_code\":"
                          "\"thread_unsupported_request\","
                          "\"unsupported\":[\"thread\"]}");
    }
    flo_buf_text(out, failure->is_in_stream ? "}}\n\n" : "}}\n");
}
