/* Chat template stand-in: a build without chat templates, whose models answer
 * texts but no conversations. */
#include "base/left_out.h"
#include "engine/chat/jinja/jinja.h"

#define PART "chat templates"
#define OPTION "FLOTILLA_TEMPLATES"

int flo_jinja_open(const char *text, size_t bytes, struct flo_jinja **out, struct flo_err *err)
{
    (void)text, (void)bytes, (void)out;
    return flo_left_out(err, PART, OPTION);
}

void flo_jinja_close(struct flo_jinja *jinja)
{
    (void)jinja;
}

const char *flo_jinja_source(const struct flo_jinja *jinja, size_t *bytes)
{
    (void)jinja;
    *bytes = 0;
    return "";
}

int flo_jinja_render(const struct flo_jinja *jinja, const struct flo_jinja_input *input,
                     struct flo_buf *text, struct flo_buf *marks, struct flo_err *err)
{
    (void)jinja, (void)input, (void)text, (void)marks;
    return flo_left_out(err, PART, OPTION);
}
