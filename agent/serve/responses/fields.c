/* Fields: finds fields of a body, copies them to OpenAI's, and refuses them. */
#include "agent/serve/responses/body.h"

#include <stdarg.h>
#include <string.h>

json_t *flo_responses_field(const struct responses_body *body, const char *key)
{
    return flo_json_member(body->from, key);
}

void flo_responses_put(struct responses_body *body, const char *key, json_t *value)
{
    body->failed |= json_object_set_new(body->to, key, value) < 0;
}

int flo_responses_refuse(struct responses_body *body, const char *field, const char *format, ...)
{
    char text[384];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(body->request->params.param, sizeof(body->request->params.param), "%s", field);
    return flo_fail(body->err, FLO_E_INFER_PARAM, "%s%s%s", field, text[0] == '[' ? "" : " ", text);
}
