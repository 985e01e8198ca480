/* Reader: reads single fields of a body, each with its range. */
#include "agent/serve/params/reader.h"

#include <limits.h>
#include <stdarg.h>

int flo_reader_refuse(struct params_reader *reader, const char *field, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(reader->params->param, sizeof(reader->params->param), "%s", field);
    return flo_fail(reader->err, FLO_E_INFER_PARAM, "%s %s", field, text);
}

json_t *flo_reader_field(const struct params_reader *reader, const char *field)
{
    return flo_json_member(reader->body, field);
}

int flo_reader_real(struct params_reader *reader, const char *field, double min, double max,
                    double *out)
{
    json_t *value = flo_reader_field(reader, field);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_number(value)) {
        return flo_reader_refuse(reader, field, "must be a number from %g to %g", min, max);
    }
    double number = json_number_value(value);
    if (!(number >= min && number <= max)) {
        return flo_reader_refuse(reader, field, "is %g, must be from %g to %g", number, min, max);
    }
    *out = number;
    return 0;
}

int flo_reader_whole(struct params_reader *reader, const char *field, int64_t min, int64_t max,
                     int64_t *out)
{
    json_t *value = flo_reader_field(reader, field);
    if (value == NULL) {
        return 0;
    }
    if (!json_is_integer(value)) {
        return flo_reader_refuse(reader, field, "must be a whole number from %lld to %lld",
                                 (long long)min, (long long)max);
    }
    int64_t number = json_integer_value(value);
    if (number < min || number > max) {
        return flo_reader_refuse(reader, field, "is %lld, must be from %lld to %lld",
                                 (long long)number, (long long)min, (long long)max);
    }
    *out = number;
    return 0;
}

int flo_reader_bool(struct params_reader *reader, const char *field, bool *out)
{
    json_t *value = flo_reader_field(reader, field);
    if (value != NULL && !json_is_boolean(value)) {
        return flo_reader_refuse(reader, field, "must be true or false");
    }
    if (value != NULL) {
        *out = json_is_true(value);
    }
    return 0;
}

struct flo_wire_text flo_reader_text(const json_t *value)
{
    return (struct flo_wire_text){json_string_value(value), json_string_length(value)};
}

int flo_reader_keep(struct params_reader *reader, struct flo_buf *text, struct flo_wire_text *out)
{
    struct serve_params *params = reader->params;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *made = text->failed || text->bytes == 0 ? NULL : json_stringn(text->data, text->bytes);

    flo_buf_deinit(text);
    if (params->made == NULL) {
        params->made = json_array();
    }
    if (made == NULL || json_array_append(params->made, made) < 0) {
        return flo_fail(reader->err, FLO_E_MEMORY, "no memory for messages");
    }
    *out = flo_reader_text(made);
    return 0;
}

int flo_reader_add_ids(struct params_reader *reader, const char *field, const json_t *list)
{
    struct serve_params *params = reader->params;
    const json_t *value;
    size_t i;
    params->parts.bytes_max = 4 * PARAMS_BODY_BYTES_MAX;
    json_array_foreach(list, i, value)
    {
        uint8_t id[4];
        int64_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < 0 || number > INT32_MAX) {
            return flo_reader_refuse(reader, field, "[%zu] must be a token id of 0 or more", i);
        }
        flo_put_u32(id, (uint32_t)number);
        flo_buf_add(&params->parts, id, sizeof(id));
    }
    return params->parts.failed ? flo_fail(reader->err, FLO_E_MEMORY, "no memory for tokens") : 0;
}

int flo_reader_ids(struct params_reader *reader, const char *field, const json_t *list,
                   struct flo_wire_text *out)
{
    const struct flo_buf *parts = &reader->params->parts;
    FLO_TRY(flo_reader_add_ids(reader, field, list));
    *out = (struct flo_wire_text){parts->data, parts->bytes};
    return 0;
}
