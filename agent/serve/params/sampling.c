/* Sampling: reads the fields about how tokens are chosen, and when an answer
 * ends. */
#include "agent/serve/params/format.h"
#include "agent/serve/params/reader.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int add_stop(struct params_reader *reader, const json_t *value)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    size_t bytes = json_string_length(value);
    if (!json_is_string(value) || bytes == 0 || bytes > FLO_WIRE_STOP_BYTES_MAX ||
        out->n_stops == 4) {
        return flo_reader_refuse(reader, "stop", "must be at most 4 texts of 1 to %d bytes",
                                 FLO_WIRE_STOP_BYTES_MAX);
    }
    out->stops[out->n_stops++] = flo_reader_text(value);
    return 0;
}

static int read_stop(struct params_reader *reader)
{
    const json_t *stop = flo_reader_field(reader, "stop");
    const json_t *value;
    size_t i;
    if (stop == NULL) {
        return 0;
    }
    if (!json_is_array(stop)) {
        return add_stop(reader, stop);
    }
    json_array_foreach(stop, i, value)
    {
        FLO_TRY(add_stop(reader, value));
    }
    return 0;
}

/* Reads biases such as {"50256":-100}, and appends them to `parts` behind the
 * token ids. */
static int read_biases(struct params_reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    struct flo_buf *parts = &reader->params->parts;
    json_t *biases = flo_reader_field(reader, "logit_bias");
    const char *key;
    json_t *value;
    size_t at = parts->bytes;

    if (json_is_array(biases) && json_array_size(biases) == 0) {
        return 0;
    }
    if (biases != NULL &&
        (!json_is_object(biases) || json_object_size(biases) > FLO_WIRE_BIASES_MAX)) {
        return flo_reader_refuse(reader, "logit_bias", "must be an object of at most %d token ids",
                                 FLO_WIRE_BIASES_MAX);
    }
    json_object_foreach(biases, key, value)
    {
        size_t digits = strspn(key, "0123456789");
        unsigned long long token = strtoull(key, NULL, 10);
        double bias = json_number_value(value);
        if (digits == 0 || key[digits] != '\0' || token > INT32_MAX ||
            (key[0] == '0' && digits > 1)) {
            return flo_reader_refuse(reader, "logit_bias", "has `%.20s`, which is no token id",
                                     key);
        }
        if (!json_is_number(value) || !(bias >= -100 && bias <= 100)) {
            return flo_reader_refuse(reader, "logit_bias",
                                     "of token %s must be a number from -100 to 100", key);
        }
        flo_wire_bias_add(parts, (int32_t)token, (float)bias);
    }
    if (parts->failed) {
        return flo_fail(reader->err, FLO_E_MEMORY, "no memory for biases");
    }
    out->biases.bytes = parts->bytes - at;
    flo_format_parts(reader->params);
    return 0;
}

static int read_sampling(struct params_reader *reader)
{
    struct flo_wire_generate *out = &reader->params->message.generate;
    /* repeat_last: -1 stands for the sampler's default number */
    int64_t top_k = 0, seed = 0, repeat_last = -1;
    double repeat = 1;
    out->temperature = PARAMS_TEMPERATURE;
    out->top_p = 1;
    flo_random(&seed, sizeof(seed));
    FLO_TRY(flo_reader_real(reader, "temperature", 0, 2, &out->temperature));
    FLO_TRY(flo_reader_real(reader, "top_p", 0, 1, &out->top_p));
    FLO_TRY(flo_reader_real(reader, "min_p", 0, 1, &out->min_p));
    FLO_TRY(flo_reader_real(reader, "repeat_penalty", 0.5, 2, &repeat));
    FLO_TRY(flo_reader_whole(reader, "repeat_last_n", 0, FLO_WIRE_REPEAT_LAST_MAX, &repeat_last));
    FLO_TRY(flo_reader_real(reader, "presence_penalty", -2, 2, &out->presence_penalty));
    FLO_TRY(flo_reader_real(reader, "frequency_penalty", -2, 2, &out->frequency_penalty));
    FLO_TRY(read_biases(reader));
    FLO_TRY(flo_reader_whole(reader, "top_k", 0, PARAMS_TOKENS_MAX, &top_k));
    FLO_TRY(flo_reader_whole(reader, "seed", INT64_MIN, INT64_MAX, &seed));
    if ((float)out->top_p == 0) { /* a very small top_p becomes 0 as a float */
        out->temperature = 0;     /* top_p 0 leaves only the best token, as temperature 0 does */
        out->top_p = 1;
    }
    out->repeat_penalty = repeat_last == 0 ? 1 : repeat;
    out->repeat_last = repeat_last < 0 ? 0 : (uint32_t)repeat_last;
    out->top_k = (uint32_t)top_k;
    out->seed = (uint64_t)seed;
    return 0;
}

static int read_length(struct params_reader *reader)
{
    int64_t tokens = 0, predict = -1;
    FLO_TRY(flo_reader_bool(reader, "ignore_eos", &reader->params->message.generate.ignores_end));
    FLO_TRY(flo_reader_whole(reader, "max_tokens", 1, PARAMS_TOKENS_MAX, &tokens));
    FLO_TRY(flo_reader_whole(reader, "max_completion_tokens", 1, PARAMS_TOKENS_MAX, &tokens));
    FLO_TRY(flo_reader_whole(reader, "n_predict", -1, PARAMS_TOKENS_MAX, &predict));
    if (predict == 0) {
        return flo_reader_refuse(reader, "n_predict", "is 0, must be -1 or from 1 to %d",
                                 PARAMS_TOKENS_MAX);
    }
    tokens = predict > 0 ? predict : tokens;
    reader->params->message.generate.max_tokens = (uint32_t)tokens;
    return 0;
}

/* Reads logprobs, which is a number for a completion, and for a chat a switch
 * with a number. */
static int read_logprobs(enum request_kind kind, struct params_reader *reader)
{
    bool wants = false;
    int64_t count = -1;
    if (kind == REQUEST_TEXT) {
        FLO_TRY(flo_reader_whole(reader, "logprobs", 0, FLO_WIRE_LOGPROBS_MAX, &count));
    } else {
        FLO_TRY(flo_reader_bool(reader, "logprobs", &wants));
        FLO_TRY(flo_reader_whole(reader, "top_logprobs", 0, FLO_WIRE_LOGPROBS_MAX, &count));
        if (count > 0 && !wants) {
            return flo_reader_refuse(reader, "top_logprobs", "needs logprobs to be true");
        }
        count = !wants ? -1 : count < 0 ? 0 : count;
    }
    reader->params->message.generate.logprobs = (uint32_t)(count + 1);
    return 0;
}

/* Notes which sampling fields the body has, so that a release's defaults do not
 * replace them. */
static void note_given(struct params_reader *reader)
{
    static const struct {
        const char *field;
        enum params_gives gives;
    } fields[] = {{"max_tokens", PARAMS_GIVES_max_tokens},
                  {"max_completion_tokens", PARAMS_GIVES_max_tokens},
                  {"n_predict", PARAMS_GIVES_max_tokens},
                  {"min_p", PARAMS_GIVES_min_p_ppm},
                  {"repeat_penalty", PARAMS_GIVES_repeat_penalty_ppm},
                  {"repeat_last_n", PARAMS_GIVES_repeat_penalty_ppm},
                  {"seed", PARAMS_GIVES_seed},
                  {"temperature", PARAMS_GIVES_temperature_ppm},
                  {"top_k", PARAMS_GIVES_top_k},
                  {"top_p", PARAMS_GIVES_top_p_ppm}};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        if (flo_reader_field(reader, fields[i].field) != NULL) {
            reader->params->given |= 1u << fields[i].gives;
        }
    }
    reader->params->takes_defaults = true;
    if (reader->params->message.generate.temperature <= 0) {
        /* the most likely token, also if a top_p of 0 asked for it */
        reader->params->given |= 1u << PARAMS_GIVES_temperature_ppm;
    }
}

int flo_params_read_sampling(enum request_kind kind, struct params_reader *reader)
{
    FLO_TRY(read_length(reader));
    FLO_TRY(read_sampling(reader));
    note_given(reader);
    FLO_TRY(read_stop(reader));
    return read_logprobs(kind, reader);
}
