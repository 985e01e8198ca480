/* Text: writes text from an engine as JSON. */
#include "agent/serve/front/front.h"

void flo_answer_add_text(struct flo_buf *out, struct flo_wire_text text)
{
    flo_buf_text(out, "\"");
    if (text.bytes > 0) {
        flo_buf_json_text(out, text.data, text.bytes);
    }
    flo_buf_text(out, "\"");
}

void flo_answer_add_member(struct flo_buf *out, const char *name, struct flo_wire_text text)
{
    flo_buf_printf(out, "\"%s\":", name);
    flo_answer_add_text(out, text);
}
