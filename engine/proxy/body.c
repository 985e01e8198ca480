/* Body: writes a request for the runtime, as OpenAI's JSON or as plain text. */
#include "engine/proxy/proxy.h"

#include <math.h>
#include <string.h>

#include <flotilla/grammar.h>

static void add_string(struct flo_buf *out, struct flo_wire_text text)
{
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, text.data != NULL ? text.data : "", text.bytes);
    flo_buf_text(out, "\"");
}

static void add_model(const struct flo_runtime *runtime, struct flo_buf *out)
{
    flo_buf_text(out, "{\"model\":");
    add_string(out, (struct flo_wire_text){runtime->model, strlen(runtime->model)});
}

/* Writes the members of the object `more`, and the end of the object around
 * them. */
static void add_more(struct flo_wire_text more, struct flo_buf *out)
{
    if (more.bytes > 2 && more.data[0] == '{') {
        flo_buf_text(out, ",");
        flo_buf_add(out, more.data + 1, more.bytes - 1);
    } else {
        flo_buf_text(out, "}");
    }
}

static void add_text_part(struct flo_wire_text text, size_t from, size_t to, struct flo_buf *out)
{
    if (to > from) {
        flo_buf_text(out, "{\"type\":\"text\",\"text\":");
        add_string(out, (struct flo_wire_text){text.data + from, to - from});
        flo_buf_text(out, "}");
    }
}

static void add_image(const struct flo_wire_generate *in, uint32_t image, struct flo_buf *out)
{
    static const char *const details[FLO_WIRE_DETAILS] = {
        [FLO_WIRE_DETAIL_AUTO] = "auto",
        [FLO_WIRE_DETAIL_LOW] = "low",
        [FLO_WIRE_DETAIL_HIGH] = "high",
    };
    const char *detail = details[in->images[image].detail % FLO_WIRE_DETAILS];

    flo_buf_text(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    add_string(out, in->images[image].url);
    if (detail != NULL) {
        flo_buf_printf(out, ",\"detail\":\"%s\"", detail);
    }
    flo_buf_text(out, "}}");
}

/* Writes a message's text, or a list of parts if it has images.  *image is the
 * number of the first image, and is moved behind the message's. */
static void add_content(const struct flo_wire_generate *in, uint32_t message, uint32_t *image,
                        struct flo_buf *out)
{
    struct flo_wire_text text = in->messages[message].content;
    size_t from = 0;

    if (*image == in->n_images || in->images[*image].message != message) {
        add_string(out, text);
        return;
    }
    flo_buf_text(out, "[");
    for (const char *comma = ""; *image < in->n_images && in->images[*image].message == message;
         (*image)++) {
        size_t at = in->images[*image].at;
        flo_buf_text(out, comma);
        add_text_part(text, from, at, out);
        flo_buf_text(out, at > from ? "," : "");
        add_image(in, *image, out);
        from = at;
        comma = ",";
    }
    flo_buf_text(out, text.bytes > from ? "," : "");
    add_text_part(text, from, text.bytes, out);
    flo_buf_text(out, "]");
}

static void add_messages(const struct flo_wire_generate *in, struct flo_buf *out)
{
    uint32_t image = 0;

    flo_buf_text(out, ",\"messages\":[");
    for (uint32_t i = 0; i < in->n_messages; i++) {
        flo_buf_text(out, i > 0 ? ",{\"role\":" : "{\"role\":");
        add_string(out, in->messages[i].role);
        flo_buf_text(out, ",\"content\":");
        add_content(in, i, &image, out);
        add_more(in->messages[i].more, out);
    }
    flo_buf_text(out, "]");
}

static void add_tools(const struct flo_wire_generate *in, struct flo_buf *out)
{
    static const char *const choices[FLO_WIRE_TOOL_CHOICES] = {
        [FLO_WIRE_TOOLS_AUTO] = "auto",
        [FLO_WIRE_TOOLS_NONE] = "none",
        [FLO_WIRE_TOOLS_REQUIRED] = "required",
    };

    flo_buf_text(out, ",\"tools\":");
    flo_buf_add(out, in->tools.data, in->tools.bytes);
    flo_buf_text(out, ",\"tool_choice\":");
    if (in->tool_name.bytes > 0) {
        flo_buf_text(out, "{\"type\":\"function\",\"function\":{\"name\":");
        add_string(out, in->tool_name);
        flo_buf_text(out, "}}");
    } else {
        flo_buf_printf(out, "\"%s\"", choices[in->tool_choice % FLO_WIRE_TOOL_CHOICES]);
    }
    flo_buf_printf(out, ",\"parallel_tool_calls\":%s", in->one_call ? "false" : "true");
}

static void add_thinking(const struct flo_wire_generate *in, struct flo_buf *out)
{
    if (in->thinking > 0) {
        flo_buf_printf(out, ",\"chat_template_kwargs\":{\"enable_thinking\":%s}",
                       in->thinking == FLO_THINKING_ON ? "true" : "false");
    }
    if (in->effort.bytes > 0) {
        flo_buf_text(out, ",\"reasoning_effort\":");
        add_string(out, in->effort);
    }
}

/* Adds a number, unless it is not finite. */
static void add_real(struct flo_buf *out, const char *key, double value)
{
    if (isfinite(value)) {
        flo_buf_printf(out, ",\"%s\":%.6g", key, value);
    }
}

static void add_biases(struct flo_wire_text biases, struct flo_buf *out)
{
    const char *before = ",\"logit_bias\":{";
    int32_t token;
    float bias;

    while (flo_wire_bias_next(&biases, &token, &bias)) {
        flo_buf_printf(out, "%s\"%d\":%.6g", before, token, isfinite(bias) ? (double)bias : 0);
        before = ",";
    }
    flo_buf_text(out, before[1] == '\0' ? "}" : "");
}

static void add_generate(const struct flo_runtime *runtime, const struct flo_wire_generate *in,
                         struct flo_buf *out)
{
    uint32_t most = in->max_tokens > 0 ? in->max_tokens : runtime->context;

    add_model(runtime, out);
    if (in->n_messages > 0) {
        add_messages(in, out);
        add_thinking(in, out);
        if (in->tools.bytes > 0) {
            add_tools(in, out);
        }
    } else {
        flo_buf_text(out, ",\"prompt\":");
        add_string(out, in->prompt);
    }
    flo_buf_printf(out,
                   ",\"stream\":true,\"stream_options\":{\"include_usage\":"
                   "true},\"max_tokens\":%u,\"seed\":%u",
                   most, (uint32_t)(in->seed & INT32_MAX));
    add_real(out, "temperature", in->temperature);
    add_real(out, "top_p", in->top_p > 0 ? in->top_p : 1);
    if (in->top_k > 0) {
        flo_buf_printf(out, ",\"top_k\":%u", in->top_k);
    }
    if (in->min_p > 0) {
        add_real(out, "min_p", in->min_p);
    }
    if (in->repeat_penalty > 0 && in->repeat_penalty != 1) {
        add_real(out, "repeat_penalty", in->repeat_penalty);
    }
    if (in->presence_penalty != 0) {
        add_real(out, "presence_penalty", in->presence_penalty);
    }
    if (in->frequency_penalty != 0) {
        add_real(out, "frequency_penalty", in->frequency_penalty);
    }
    add_biases(in->biases, out);
    if (in->grammar_kind == FLO_GRAMMAR_JSON) {
        flo_buf_text(out, ",\"response_format\":{\"type\":\"json_object\"}");
    } else if (in->grammar_kind == FLO_GRAMMAR_SCHEMA) {
        flo_buf_text(out, ",\"response_format\":{\"type\":\"json_schema\","
                          "\"json_schema\":{\"name\":\"answer\",\"strict\":"
                          "true,\"schema\":");
        flo_buf_add(out, in->grammar.data, in->grammar.bytes);
        flo_buf_text(out, "}}");
    }
    flo_buf_text(out, in->n_stops > 0 ? ",\"stop\":[" : "");
    for (uint32_t i = 0; i < in->n_stops; i++) {
        flo_buf_text(out, i > 0 ? "," : "");
        add_string(out, in->stops[i]);
    }
    flo_buf_text(out, in->n_stops > 0 ? "]}" : "}");
}

/* ---- audio ---- */

static void add_field(const char *boundary, const char *name, struct flo_wire_text value,
                      struct flo_buf *out)
{
    if (value.bytes > 0) {
        flo_buf_printf(out,
                       "--%s\r\nContent-Disposition: form-data; "
                       "name=\"%s\"\r\n\r\n",
                       boundary, name);
        flo_buf_add(out, value.data, value.bytes);
        flo_buf_text(out, "\r\n");
    }
}

static void add_audio(const struct flo_runtime *runtime, const struct flo_wire_generate *in,
                      const char *boundary, struct flo_buf *out)
{
    char number[32];
    struct flo_wire_text temperature = {
        number, (size_t)snprintf(number, sizeof(number), "%.6g",
                                 isfinite(in->temperature) ? in->temperature : 0.0)};
    struct flo_wire_text model = {runtime->model, strlen(runtime->model)};

    add_field(boundary, "model", model, out);
    add_field(boundary, "response_format", (struct flo_wire_text){"json", 4}, out);
    add_field(boundary, "temperature", temperature, out);
    add_field(boundary, "language", in->language, out);
    add_field(boundary, "prompt", in->prompt, out);
    flo_buf_printf(out,
                   "--%s\r\nContent-Disposition: form-data; name=\"file\"; "
                   "filename=\"audio.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
                   boundary);
    flo_buf_add(out, in->audio.data, in->audio.bytes);
    flo_buf_printf(out, "\r\n--%s--\r\n", boundary);
}

/* ---- vectors ---- */

static void add_embed(const struct flo_runtime *runtime, const struct flo_wire_embed *in,
                      struct flo_buf *out)
{
    add_model(runtime, out);
    flo_buf_text(out, ",\"encoding_format\":\"float\",\"input\":[");
    for (uint32_t i = 0; i < in->n_inputs; i++) {
        flo_buf_text(out, i > 0 ? "," : "");
        add_string(out, in->inputs[i].data);
    }
    flo_buf_text(out, "]}");
}

static void add_head(const char *prefix, const char *path, const char *type,
                     const struct flo_buf *body, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "POST %s%s HTTP/1.1\r\nHost: localhost\r\nConnection: "
                   "close\r\nAccept: */*\r\nContent-Type: %s\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   prefix, path, type, body->bytes);
    flo_buf_add(out, body->data, body->bytes);
    out->failed |= body->failed;
}

/* Returns the text of the last message.  If there are no messages, it returns
 * the prompt. */
static struct flo_wire_text plain_of(const struct flo_wire_generate *in)
{
    return in->n_messages > 0 ? in->messages[in->n_messages - 1].content : in->prompt;
}

void flo_body_write(const struct flo_runtime *runtime, const struct flo_wire_message *message,
                    struct flo_buf *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};
    const struct flo_wire_generate *in = &message->generate;

    if (runtime->api == FLO_RUNTIME_HTTP && message->type == FLO_WIRE_GENERATE &&
        in->audio.bytes > 0) {
        flo_buf_add(&body, in->audio.data, in->audio.bytes);
        add_head("", "/", "audio/wav", &body, out);
    } else if (runtime->api == FLO_RUNTIME_HTTP) {
        struct flo_wire_text text = plain_of(in);
        flo_buf_add(&body, text.data, text.bytes);
        add_head("", "/", "text/plain; charset=utf-8", &body, out);
    } else if (message->type == FLO_WIRE_EMBED) {
        add_embed(runtime, &message->embed, &body);
        add_head(runtime->prefix, "/embeddings", "application/json", &body, out);
    } else if (in->audio.bytes > 0) {
        char boundary[40] = "flotilla", type[96];
        uint8_t random[12];
        /* random bytes for a separator that is not in the audio */
        flo_random(random, sizeof(random));
        flo_hex_encode(random, sizeof(random), boundary + strlen(boundary));
        snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", boundary);
        add_audio(runtime, in, boundary, &body);
        add_head(runtime->prefix, "/audio/transcriptions", type, &body, out);
    } else {
        add_generate(runtime, in, &body);
        add_head(runtime->prefix, in->n_messages > 0 ? "/chat/completions" : "/completions",
                 "application/json", &body, out);
    }
}

void flo_body_health(const struct flo_runtime *runtime, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: "
                   "close\r\nAccept: */*\r\n\r\n",
                   runtime->health);
}
