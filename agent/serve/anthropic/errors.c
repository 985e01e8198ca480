/* Errors as Anthropic's clients read them: one sentence in the client's words,
 * and what to do next. */
#include "agent/serve/anthropic/anthropic.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

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

/* The client's field for one of OpenAI's body. */
static const char *field_of(const char *param)
{
    static const struct {
        const char *ours, *theirs;
    } rows[] = {
        {"stop", "stop_sequences"},
        {"chat_template_kwargs", "thinking"},
        {"response_format", "output_config"},
        {"parallel_tool_calls", "tool_choice"},
        {"user", "metadata"},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (strcmp(rows[i].ours, param) == 0) {
            return rows[i].theirs;
        }
    }
    return param;
}

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The text, with the client's field wherever OpenAI's is named. */
static void add_named(const char *text, const char *param, struct flo_buf *out)
{
    size_t bytes = param == NULL ? 0 : strlen(param);

    for (const char *at = text; *at != '\0';) {
        if (bytes > 0 && (at == text || !is_of_word(at[-1])) &&
            strncmp(at, param, bytes) == 0 && !is_of_word(at[bytes])) {
            flo_buf_text(out, field_of(param));
            at += bytes;
        } else {
            flo_buf_add(out, at++, 1);
        }
    }
}

/* "messages[4]" with the client's number.  The rest of the text is given back.
 */
static const char *add_place(const struct serve_request *request,
                             const char *text, struct flo_buf *out)
{
    static const char begin[] = "messages[";
    const struct anthropic_state *state =
        request == NULL ? NULL : request->state;
    char *end;

    if (state == NULL || request->params.param[0] == '\0' ||
        strncmp(text, begin, sizeof(begin) - 1) != 0) {
        return text;
    }
    unsigned long at = strtoul(text + sizeof(begin) - 1, &end, 10);
    if (at >= state->n_messages) {
        return text;
    }
    flo_buf_printf(out, "%s%u", begin, state->came_from[at]);
    return end;
}

void flo_anthropic_fail(struct serve_failure *failure, struct flo_buf *out)
{
    const struct flo_err *err = failure->err;
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    struct flo_buf text = {.bytes_max = 4096};

    add_named(add_place(failure->request, err->what, &text), failure->param,
              &text);
    flo_buf_text(&text, "; ");
    add_named(fix, failure->param, &text);
    flo_buf_printf(out,
                   "%s{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                   "\"message\":",
                   failure->is_in_stream ? "event: error\ndata: " : "",
                   type_of(failure->status));
    flo_answer_add_text(out, (struct flo_wire_text){text.data, text.bytes});
    flo_buf_text(out, failure->is_in_stream ? "}}\n\n" : "}}\n");
    flo_buf_deinit(&text);
}
