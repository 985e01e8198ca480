/* Problem documents: turns an answer without success into an error.
 *
 * Code, message and fix come from the controller's document (RFC 9457), if the
 * answer has one. */
#include "base/host/http_client.h"

#include <string.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/rest.h>

#include "base/host/json.h"

#define PROBLEM_BYTES_MAX 65536

static int code_of_status(int status)
{
    if (status == 401) {
        return FLO_E_REST_AUTH;
    }
    if (status == 403) {
        return FLO_E_REST_ROLE;
    }
    return status == 404 ? FLO_E_ABSENT : FLO_E_NET_STATUS;
}

/* Sets the error from a problem document.  Returns 0 when the answer is no
 * problem document. */
static int problem_fail(const struct flo_http_answer *answer, const char *what, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *problem = NULL;

    if (answer->body.bytes == 0 ||
        flo_json_parse(answer->body.data, answer->body.bytes, PROBLEM_BYTES_MAX, &problem, NULL) <
            0 ||
        !json_is_object(problem)) {
        return 0;
    }
    const char *id = flo_json_text(problem, "code", NULL);
    const char *detail = flo_json_text(problem, "detail", NULL);
    int code = id == NULL ? 0 : flo_error_code(id);
    if (detail == NULL || code == 0) {
        return 0;
    }
    (void)flo_fail(err, code, "%s%s%s", what, what[0] != '\0' ? ": " : "", detail);
    const char *why = flo_json_text(problem, "why", NULL);
    const char *fix = flo_json_text(problem, "fix", NULL);
    if (why != NULL) {
        (void)flo_err_why(err, "%s", why);
    }
    if (fix != NULL) {
        (void)flo_err_fix(err, "%s", fix);
    }
    return code;
}

int flo_http_fail(const struct flo_http_answer *answer, const char *what, struct flo_err *err)
{
    int code = problem_fail(answer, what, err);

    if (code < 0) {
        return code;
    }
    return flo_fail(err, code_of_status(answer->status), "%s%sthe server answered %d", what,
                    what[0] != '\0' ? ": " : "", answer->status);
}
