/* Shapes: writes errors for all fronts of Ollama's API. */
#include "agent/serve/ollama/ollama.h"

#include <string.h>

/* Writes an error.  Its text begins with OpenAI's name of the field, which is
 * replaced by Ollama's. */
static void add_error(const struct flo_err *err, const char *param, struct flo_buf *out)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    const char *named = param == NULL ? "" : flo_ollama_named(param);
    size_t bytes = param == NULL ? 0 : strlen(param);
    char text[sizeof(err->what) + sizeof(err->fix) + 64];

    if (bytes == 0 || strncmp(err->what, param, bytes) != 0) {
        named = "";
        bytes = 0;
    }
    snprintf(text, sizeof(text), "%s%s; %s", named, err->what + bytes, fix);
    flo_buf_text(out, "{\"error\":");
    flo_answer_add_text(out, (struct flo_wire_text){text, strlen(text)});
    flo_buf_text(out, "}\n");
}

void flo_ollama_fail(struct serve_failure *failure, struct flo_buf *out)
{
    add_error(failure->err, failure->param, out);
}
