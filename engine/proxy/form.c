/* Form: keeps the form of an answer that was asked for, and checks the answer's
 * text against it. */
#include "engine/proxy/proxy.h"

#include <flotilla/grammar.h>

#include "engine/grammar/form/form.h"

int flo_proxy_form_expect(struct flo_proxy_form *form, const struct flo_wire_generate *in,
                          struct flo_err *err)
{
    form->is_asked = in->grammar_kind == FLO_GRAMMAR_JSON || in->grammar_kind == FLO_GRAMMAR_SCHEMA;
    if (in->grammar_kind != FLO_GRAMMAR_SCHEMA) {
        return 0;
    }
    FLO_TRY(flo_form_accept(in->grammar.data, in->grammar.bytes, err));
    flo_buf_add(&form->schema, in->grammar.data, in->grammar.bytes);
    return form->schema.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for a schema") : 0;
}

int flo_proxy_form_check(const struct flo_proxy_form *form, const char *runtime,
                         struct flo_wire_text text, struct flo_err *err)
{
    if (!form->is_asked) {
        return 0;
    }
    int rv = flo_form_check(form->schema.data, form->schema.bytes, text.data, text.bytes, err);
    return rv < 0 ? flo_wrap(err, rv, "the runtime %s", runtime) : 0;
}

void flo_proxy_form_deinit(struct flo_proxy_form *form)
{
    flo_buf_deinit(&form->schema);
}
