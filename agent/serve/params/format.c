/* Format: converts `response_format` and `grammar` to the engine's grammars. */
#include "agent/serve/params/format.h"

#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/grammar.h>

static int refuse(struct serve_params *params, const char *field, const char *what,
                  struct flo_err *err)
{
    snprintf(params->param, sizeof(params->param), "%s", field);
    return flo_fail(err, FLO_E_INFER_PARAM, "%s %s", field, what);
}

void flo_format_parts(struct serve_params *params)
{
    struct flo_wire_generate *out = &params->message.generate;

    if (out->tokens.bytes > 0) {
        out->tokens.data = params->parts.data;
    }
    if (out->biases.bytes > 0) {
        out->biases.data = params->parts.data + out->tokens.bytes;
    }
}

/* Appends the schema as text to `parts`, behind token ids and biases. */
static int put_schema(struct serve_params *params, const char *field, const json_t *schema,
                      struct flo_err *err)
{
    struct flo_wire_generate *out = &params->message.generate;
    size_t at = params->parts.bytes;

    if (!json_is_object(schema)) {
        return refuse(params, field, "has no schema as an object", err);
    }
    flo_json_dump(schema, &params->parts);
    if (params->parts.failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a schema");
    }
    flo_format_parts(params);
    out->grammar_kind = FLO_GRAMMAR_SCHEMA;
    out->grammar = (struct flo_wire_text){params->parts.data + at, params->parts.bytes - at};
    return 0;
}

static int read_response_format(const json_t *format, struct serve_params *params,
                                struct flo_err *err)
{
    static const char field[] = "response_format";
    const char *type = json_string_value(json_object_get(format, "type"));
    const json_t *schema = json_object_get(format, "schema");

    if (type == NULL || (strcmp(type, "text") != 0 && strcmp(type, "json_object") != 0 &&
                         strcmp(type, "json_schema") != 0)) {
        return refuse(params, field, "must have a type: text, json_object or json_schema", err);
    }
    if (strcmp(type, "json_schema") == 0) {
        return put_schema(params, field,
                          json_object_get(json_object_get(format, "json_schema"), "schema"), err);
    }
    if (strcmp(type, "json_object") == 0 && schema != NULL) {
        return put_schema(params, field, schema, err);
    }
    params->message.generate.grammar_kind =
        strcmp(type, "text") == 0 ? FLO_GRAMMAR_NONE : FLO_GRAMMAR_JSON;
    return 0;
}

int flo_format_read(const json_t *body, struct serve_params *params, struct flo_err *err)
{
    static const char *const fields[] = {"response_format", "json_schema", "grammar"};
    struct flo_wire_generate *out = &params->message.generate;

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        const json_t *value = json_object_get(body, fields[i]);
        int rv = 0;

        if (value == NULL || json_is_null(value)) {
            continue;
        }
        if (out->grammar_kind != FLO_GRAMMAR_NONE) {
            return refuse(params, fields[i], "stands beside another form", err);
        }
        if (i == 0) {
            rv = read_response_format(value, params, err);
        } else if (i == 1) {
            rv = put_schema(params, fields[i], value, err);
        } else if (json_string_length(value) == 0) {
            rv = refuse(params, fields[i], "must be a text in GBNF", err);
        } else {
            out->grammar_kind = FLO_GRAMMAR_GBNF;
            out->grammar =
                (struct flo_wire_text){json_string_value(value), json_string_length(value)};
        }
        FLO_TRY(rv);
        if (out->grammar_kind != FLO_GRAMMAR_NONE) {
            params->form = fields[i];
        }
    }
    return 0;
}

const char *flo_params_named(const struct serve_params *params, const char *param)
{
    if (params->thinks != NULL && strcmp(param, "reasoning_effort") == 0) {
        return params->thinks;
    }
    return params->is_function_call && strcmp(param, "tools") == 0 ? "functions" : param;
}

const char *flo_format_param(const struct serve_params *params, const struct flo_err *err)
{
    if (err->code != FLO_E_INFER_SCHEMA) {
        return NULL;
    }
    bool is_of_tools = strncmp(err->what, "schema /tools/", 14) == 0;
    return params->form != NULL && !is_of_tools ? params->form : flo_params_named(params, "tools");
}
