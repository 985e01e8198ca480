/* Template: reads a chat template that a person named, for the agent and the
 * engine's commands. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_wire.h>
#include <flotilla/errors/model.h>

#define TEMPLATE_BYTES_MAX (256u << 10)

int flo_wire_template_read(const char *value, char **text, struct flo_err *err)
{
    size_t bytes;
    int rv = 0;
    if (strpbrk(value, "/.") == NULL) {
        char *name = strdup(value);
        if (name == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "the name of a template");
        }
        *text = name;
        return 0;
    }
    rv = flo_file_read(value, TEMPLATE_BYTES_MAX, text, &bytes, err);
    if (rv == 0 && (strlen(*text) != bytes || strchr(*text, '{') == NULL)) {
        free(*text);
        *text = NULL;
        rv = flo_fail(err, FLO_E_MODEL_TEMPLATE, "%s is no Jinja text", value);
    }
    return rv < 0 ? flo_wrap(err, rv, "--template") : 0;
}
