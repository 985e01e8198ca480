/* Thinking: reads the fields about how long a model should think before it
 * answers. */
#include "agent/serve/params/tools.h"

#include <string.h>

#include <flotilla/thinking.h>

static int read_effort(struct params_reader *reader)
{
    static const char field[] = "reasoning_effort";
    static const char *const efforts[] = {"none", "minimal", "low", "medium", "high"};
    struct flo_wire_generate *out = &reader->params->message.generate;
    const json_t *value = flo_reader_field(reader, field);
    const char *name = json_string_value(value);
    size_t i = 0;

    if (value == NULL) {
        return 0;
    }
    while (i < FLO_COUNT(efforts) && (name == NULL || strcmp(name, efforts[i]) != 0)) {
        i++;
    }
    if (i == FLO_COUNT(efforts)) {
        return flo_reader_refuse(reader, field, "must be none, minimal, low, medium or high");
    }
    out->thinking = i == 0 ? FLO_THINKING_OFF : FLO_THINKING_ON;
    if (i > 0) {
        out->effort = (struct flo_wire_text){efforts[i], strlen(efforts[i])};
    }
    reader->params->thinks = field;
    return 0;
}

/* Reads `chat_template_kwargs`, the form that llama.cpp's and vLLM's servers
 * use. */
static int read_template(struct params_reader *reader)
{
    static const char field[] = "chat_template_kwargs";
    static const char known[] = "enable_thinking";
    json_t *given = flo_reader_field(reader, field);
    json_t *value;
    const char *key;

    if (given != NULL && !json_is_object(given)) {
        return flo_reader_refuse(reader, field, "must be an object");
    }
    json_object_foreach(given, key, value)
    {
        if (strcmp(key, known) != 0) {
            return flo_reader_refuse(reader, field, "has `%.64s`: only `%s` is built", key, known);
        }
        if (!json_is_boolean(value)) {
            return flo_reader_refuse(reader, field, "has an %s that is not true or false", known);
        }
        reader->params->message.generate.thinking =
            json_is_true(value) ? FLO_THINKING_ON : FLO_THINKING_OFF;
        reader->params->thinks = field;
    }
    return 0;
}

int flo_thinking_read(struct params_reader *reader)
{
    FLO_TRY(read_effort(reader));
    return read_template(reader);
}
