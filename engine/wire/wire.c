/* Wire: writes and reads frames.  Each message has a table, from which one
 * writer and one reader work.  A row of it has tag, kind and offset in the
 * struct.  The fields of conversations, stop texts and inputs may repeat, so
 * they have no rows. */
#include <string.h>

#include <flotilla/engine_wire.h>
#include <flotilla/errors/rest.h>
#include <flotilla/errors/worker.h>

#define MAGIC 0x31574c46u /* "FLW1" */
#define FIELD_HEAD_BYTES 6
#define NUMBER_BYTES 8
#define IMAGE_HEAD_BYTES 8

enum kind { KIND_U32, KIND_U64, KIND_BOOL, KIND_REAL, KIND_TEXT };

struct row {
    uint16_t tag;
    uint16_t kind;
    size_t offset;
};

/* Tags of the fields that may repeat.  Rows of the tables use tags from 1 to
 * 63. */
enum {
    TAG_ROLE = 100,
    TAG_CONTENT = 101,
    TAG_STOP = 102,
    TAG_INPUT = 103,
    TAG_INPUT_TOKENS = 104,
    TAG_ADAPTER = 105,
    TAG_MORE = 106,
    TAG_IMAGE = 107, /* bytes of the field: u32 at, u32 detail, then the URL */
};

#define ROW(tag, kind, type, field)                                                                \
    {                                                                                              \
        tag, kind, offsetof(struct flo_wire_##type, field)                                         \
    }

static const struct row rows_open[] = {
    ROW(1, KIND_U32, open, context),       ROW(2, KIND_U32, open, threads),
    ROW(3, KIND_U32, open, sessions),      ROW(4, KIND_U64, open, memory_bytes_max),
    ROW(5, KIND_U64, open, adapter_bytes), ROW(6, KIND_BOOL, open, keeps_prefix),
    ROW(7, KIND_BOOL, open, is_tree),      ROW(8, KIND_TEXT, open, chat_template),
    ROW(11, KIND_U32, open, cache),        ROW(9, KIND_TEXT, open, entry),
    ROW(10, KIND_TEXT, open, runtime),     ROW(12, KIND_BOOL, open, has_draft),
};

static const struct row rows_generate[] = {
    ROW(1, KIND_TEXT, generate, prompt),
    ROW(2, KIND_BOOL, generate, reads_special),
    ROW(3, KIND_TEXT, generate, tokens),
    ROW(4, KIND_U32, generate, max_tokens),
    ROW(5, KIND_U32, generate, priority),
    ROW(6, KIND_BOOL, generate, ignores_end),
    ROW(7, KIND_REAL, generate, temperature),
    ROW(8, KIND_REAL, generate, top_p),
    ROW(9, KIND_REAL, generate, min_p),
    ROW(10, KIND_REAL, generate, repeat_penalty),
    ROW(11, KIND_U32, generate, top_k),
    ROW(12, KIND_U64, generate, seed),
    ROW(20, KIND_U32, generate, logprobs),
    ROW(13, KIND_BOOL, generate, shifts),
    ROW(14, KIND_BOOL, generate, no_drafts),
    ROW(15, KIND_U32, generate, grammar_kind),
    ROW(16, KIND_TEXT, generate, grammar),
    ROW(21, KIND_TEXT, generate, adapter),
    ROW(22, KIND_REAL, generate, adapter_scale),
    ROW(23, KIND_U32, generate, repeat_last),
    ROW(24, KIND_U64, generate, client),
    ROW(25, KIND_TEXT, generate, audio),
    ROW(26, KIND_TEXT, generate, language),
    ROW(27, KIND_TEXT, generate, file),
    ROW(28, KIND_REAL, generate, presence_penalty),
    ROW(29, KIND_REAL, generate, frequency_penalty),
    ROW(30, KIND_TEXT, generate, biases),
    ROW(31, KIND_BOOL, generate, tells_parts),
    ROW(32, KIND_TEXT, generate, tools),
    ROW(33, KIND_U32, generate, tool_choice),
    ROW(34, KIND_TEXT, generate, tool_name),
    ROW(35, KIND_BOOL, generate, one_call),
    ROW(36, KIND_U32, generate, thinking),
    ROW(37, KIND_TEXT, generate, effort),
    ROW(38, KIND_U64, generate, now_ms),
    ROW(40, KIND_U32, generate, prompt_max),
    ROW(41, KIND_U32, generate, public_bytes),
};

static const struct row rows_ready[] = {
    ROW(3, KIND_TEXT, ready, kernel),           ROW(4, KIND_U32, ready, n_vocab),
    ROW(6, KIND_U32, ready, context),           ROW(11, KIND_U64, ready, weights_bytes),
    ROW(12, KIND_U64, ready, kv_bytes),         ROW(13, KIND_U64, ready, scratch_bytes),
    ROW(14, KIND_U64, ready, vocabulary_bytes), ROW(20, KIND_U64, ready, request_bytes),
    ROW(16, KIND_BOOL, ready, has_vocabulary),  ROW(17, KIND_BOOL, ready, is_sandboxed),
    ROW(18, KIND_BOOL, ready, is_packed),       ROW(19, KIND_U32, ready, prefix_tokens),
    ROW(21, KIND_U32, ready, sessions),         ROW(22, KIND_U64, ready, abilities),
    ROW(23, KIND_TEXT, ready, runtime),         ROW(24, KIND_TEXT, ready, draft),
    ROW(25, KIND_U64, ready, draft_bytes),      ROW(26, KIND_TEXT, ready, draft_why),
};

static const struct row rows_token[] = {
    ROW(1, KIND_U32, token, index),      ROW(2, KIND_U32, token, token),
    ROW(3, KIND_TEXT, token, text),      ROW(4, KIND_REAL, token, gap),
    ROW(5, KIND_BOOL, token, is_finite), ROW(6, KIND_U64, token, cpu_us),
    ROW(7, KIND_U64, token, wall_us),    ROW(20, KIND_TEXT, token, logprobs),
    ROW(8, KIND_U32, token, begin),      ROW(9, KIND_TEXT, token, parts),
};

static const struct row rows_done[] = {
    ROW(1, KIND_U32, done, reason),         ROW(2, KIND_TEXT, done, text),
    ROW(3, KIND_U32, done, tokens_in),      ROW(4, KIND_U32, done, tokens_out),
    ROW(5, KIND_U32, done, nonfinite),      ROW(6, KIND_U64, done, queue_us),
    ROW(7, KIND_U64, done, prompt_cpu_us),  ROW(8, KIND_U64, done, prompt_wall_us),
    ROW(9, KIND_U32, done, cached_tokens),  ROW(10, KIND_U64, done, first_us),
    ROW(11, KIND_U64, done, answer_us),     ROW(12, KIND_U32, done, guessed),
    ROW(13, KIND_U32, done, guessed_right), ROW(14, KIND_U32, done, exit_status),
    ROW(15, KIND_TEXT, done, parts),        ROW(16, KIND_U32, done, stop),
    ROW(17, KIND_U32, done, public_tokens),
};

static const struct row rows_failed[] = {
    ROW(4, KIND_TEXT, failed, id),
    ROW(2, KIND_TEXT, failed, what),
    ROW(3, KIND_TEXT, failed, why),
};

static const struct row rows_stats[] = {
    ROW(1, KIND_U32, stats, running),    ROW(2, KIND_U32, stats, queued),
    ROW(3, KIND_U64, stats, requests),   ROW(4, KIND_U64, stats, tokens_in),
    ROW(5, KIND_U64, stats, tokens_out), ROW(6, KIND_U64, stats, rss_bytes_peak),
    ROW(7, KIND_U64, stats, rss_bytes),
};

static const struct row rows_tokenise[] = {
    ROW(1, KIND_TEXT, tokenise, text),
    ROW(2, KIND_BOOL, tokenise, reads_special),
    ROW(3, KIND_BOOL, tokenise, adds_ends),
};

static const struct row rows_tokens[] = {
    ROW(1, KIND_TEXT, tokens, tokens),
};

static const struct row rows_string[] = {
    ROW(1, KIND_TEXT, string, text),
};

static const struct row rows_embed[] = {
    ROW(1, KIND_BOOL, embed, takes_last),    ROW(2, KIND_U32, embed, prompt_max),
    ROW(3, KIND_BOOL, embed, ranks),         ROW(4, KIND_TEXT, embed, adapter),
    ROW(5, KIND_REAL, embed, adapter_scale),
};

static const struct row rows_embedding[] = {
    ROW(1, KIND_U32, embedding, index),
    ROW(2, KIND_U32, embedding, tokens_in),
    ROW(3, KIND_TEXT, embedding, vector),
};

static const struct row rows_packed[] = {
    ROW(1, KIND_U64, packed, bytes),
};

static const struct row rows_planned[] = {
    ROW(1, KIND_U64, planned, weights_bytes),
    ROW(2, KIND_U64, planned, private_bytes),
    ROW(3, KIND_U32, planned, context),
    ROW(4, KIND_U32, planned, sessions),
};

static const struct row rows_adapter[] = {
    ROW(1, KIND_TEXT, adapter, name),
    ROW(2, KIND_U64, adapter, bytes),
};

static const struct shape {
    int type;
    const char *name;
    const struct row *rows;
    size_t n_rows;
} shapes[] = {
    {FLO_WIRE_OPEN, "OPEN", rows_open, FLO_COUNT(rows_open)},
    {FLO_WIRE_GENERATE, "GENERATE", rows_generate, FLO_COUNT(rows_generate)},
    {FLO_WIRE_CANCEL, "CANCEL", NULL, 0},
    {FLO_WIRE_STATS, "STATS", NULL, 0},
    {FLO_WIRE_PING, "PING", NULL, 0},
    {FLO_WIRE_TOKENISE, "TOKENISE", rows_tokenise, FLO_COUNT(rows_tokenise)},
    {FLO_WIRE_PACK, "PACK", NULL, 0},
    {FLO_WIRE_PACKED, "PACKED", rows_packed, FLO_COUNT(rows_packed)},
    {FLO_WIRE_DETOKENISE, "DETOKENISE", rows_tokens, FLO_COUNT(rows_tokens)},
    {FLO_WIRE_EMBED, "EMBED", rows_embed, FLO_COUNT(rows_embed)},
    {FLO_WIRE_READY, "READY", rows_ready, FLO_COUNT(rows_ready)},
    {FLO_WIRE_TOKEN, "TOKEN", rows_token, FLO_COUNT(rows_token)},
    {FLO_WIRE_DONE, "DONE", rows_done, FLO_COUNT(rows_done)},
    {FLO_WIRE_FAILED, "FAILED", rows_failed, FLO_COUNT(rows_failed)},
    {FLO_WIRE_STATS_ANSWER, "STATS", rows_stats, FLO_COUNT(rows_stats)},
    {FLO_WIRE_PONG, "PONG", NULL, 0},
    {FLO_WIRE_TOKENS, "TOKENS", rows_tokens, FLO_COUNT(rows_tokens)},
    {FLO_WIRE_TEXT, "TEXT", rows_string, FLO_COUNT(rows_string)},
    {FLO_WIRE_EMBEDDING, "EMBEDDING", rows_embedding, FLO_COUNT(rows_embedding)},
    {FLO_WIRE_PLAN, "PLAN", rows_open, FLO_COUNT(rows_open)},
    {FLO_WIRE_PLANNED, "PLANNED", rows_planned, FLO_COUNT(rows_planned)},
    {FLO_WIRE_LOAD, "LOAD", rows_adapter, FLO_COUNT(rows_adapter)},
    {FLO_WIRE_DROP, "DROP", rows_adapter, FLO_COUNT(rows_adapter)},
    {FLO_WIRE_ADAPTER, "ADAPTER", rows_adapter, FLO_COUNT(rows_adapter)},
};

static const struct shape *shape_of(int type)
{
    for (size_t i = 0; i < FLO_COUNT(shapes); i++) {
        if (shapes[i].type == type) {
            return &shapes[i];
        }
    }
    return NULL;
}

const char *flo_wire_type_name(int type)
{
    const struct shape *shape = shape_of(type);
    return shape != NULL ? shape->name : "?";
}

int flo_wire_failed_code(const struct flo_wire_failed *failed)
{
    char id[64];

    if (failed->id.bytes >= sizeof(id)) {
        return 0;
    }
    snprintf(id, sizeof(id), "%.*s", (int)failed->id.bytes,
             failed->id.bytes > 0 ? failed->id.data : "");
    return flo_error_code(id);
}

/* ---- writing ---- */

static void put_field(struct flo_buf *out, uint16_t tag, const void *data, size_t bytes)
{
    uint8_t head[FIELD_HEAD_BYTES];
    flo_put_u16(head, tag);
    flo_put_u32(head + 2, (uint32_t)bytes);
    flo_buf_add(out, head, sizeof(head));
    flo_buf_add(out, data, bytes);
}

/* Returns the number of a row's field as 64 bits, whatever its type in the
 * struct. */
static uint64_t number_load(const struct row *row, const char *place)
{
    uint32_t narrow;
    uint64_t wide;
    bool flag;
    switch ((enum kind)row->kind) {
    case KIND_U32:
        memcpy(&narrow, place, sizeof(narrow));
        return narrow;
    case KIND_BOOL:
        memcpy(&flag, place, sizeof(flag));
        return flag;
    default:
        memcpy(&wide, place, sizeof(wide)); /* copies a u64, or the bits of a double */
        return wide;
    }
}

static void put_row(struct flo_buf *out, const struct row *row, const char *body)
{
    const char *place = body + row->offset;
    if (row->kind == KIND_TEXT) {
        struct flo_wire_text text;
        memcpy(&text, place, sizeof(text));
        if (text.bytes > 0) {
            put_field(out, row->tag, text.data, text.bytes);
        }
        return;
    }
    uint64_t value = number_load(row, place);
    /* a zero is not written, because the reader takes an absent number for
     * zero */
    if (value != 0) {
        uint8_t number[NUMBER_BYTES];
        flo_put_u64(number, value);
        put_field(out, row->tag, number, sizeof(number));
    }
}

/* Writes the images of one message.  The list begins with *next, which is moved
 * behind them. */
static void put_images(struct flo_buf *out, const struct flo_wire_generate *generate,
                       uint32_t message, uint32_t *next)
{
    for (; *next < generate->n_images && generate->images[*next].message == message; (*next)++) {
        const struct flo_wire_text *url = &generate->images[*next].url;
        uint8_t head[FIELD_HEAD_BYTES + IMAGE_HEAD_BYTES];
        flo_put_u16(head, TAG_IMAGE);
        flo_put_u32(head + 2, (uint32_t)(IMAGE_HEAD_BYTES + url->bytes));
        flo_put_u32(head + 6, generate->images[*next].at);
        flo_put_u32(head + 10, generate->images[*next].detail);
        flo_buf_add(out, head, sizeof(head));
        flo_buf_add(out, url->data, url->bytes);
    }
}

static void put_repeated(struct flo_buf *out, const struct flo_wire_generate *generate)
{
    uint32_t image = 0;

    for (uint32_t i = 0; i < generate->n_messages; i++) {
        const struct flo_wire_text *role = &generate->messages[i].role;
        const struct flo_wire_text *content = &generate->messages[i].content;
        const struct flo_wire_text *more = &generate->messages[i].more;
        put_field(out, TAG_ROLE, role->data, role->bytes);
        put_field(out, TAG_CONTENT, content->data, content->bytes);
        if (more->bytes > 0) {
            put_field(out, TAG_MORE, more->data, more->bytes);
        }
        put_images(out, generate, i, &image);
    }
    for (uint32_t i = 0; i < generate->n_stops; i++) {
        put_field(out, TAG_STOP, generate->stops[i].data, generate->stops[i].bytes);
    }
}

static void put_inputs(struct flo_buf *out, const struct flo_wire_embed *embed)
{
    for (uint32_t i = 0; i < embed->n_inputs; i++) {
        put_field(out, embed->inputs[i].is_tokens ? TAG_INPUT_TOKENS : TAG_INPUT,
                  embed->inputs[i].data.data, embed->inputs[i].data.bytes);
    }
}

int flo_wire_write(struct flo_buf *out, const struct flo_wire_message *message, struct flo_err *err)
{
    const struct shape *shape = shape_of((int)message->type);
    size_t start = out->bytes;
    uint8_t head[FLO_WIRE_HEAD_BYTES] = {0};
    if (shape == NULL) {
        return flo_fail(err, FLO_E_INTERNAL, "unknown frame type %d", (int)message->type);
    }
    flo_buf_add(out, head, sizeof(head));
    for (size_t i = 0; i < shape->n_rows; i++) {
        put_row(out, &shape->rows[i], (const char *)&message->open);
    }
    if (message->type == FLO_WIRE_GENERATE) {
        put_repeated(out, &message->generate);
    }
    if (message->type == FLO_WIRE_EMBED) {
        put_inputs(out, &message->embed);
    }
    for (uint32_t i = 0; message->type == FLO_WIRE_OPEN && i < message->open.n_adapters; i++) {
        put_field(out, TAG_ADAPTER, message->open.adapters[i].data,
                  message->open.adapters[i].bytes);
    }
    size_t payload = out->bytes - start - sizeof(head);
    if (out->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no room for a frame of %zu bytes", payload);
    }
    if (payload > FLO_WIRE_PAYLOAD_BYTES_MAX) {
        out->bytes = start;
        return flo_fail(err, FLO_E_REST_TOO_LARGE, "%zu bytes for the engine, at most %u fit",
                        payload, FLO_WIRE_PAYLOAD_BYTES_MAX);
    }
    char *place = out->data + start;
    flo_put_u32(place, MAGIC);
    flo_put_u32(place + 4, (uint32_t)payload);
    flo_put_u16(place + 8, (uint16_t)message->type);
    flo_put_u32(place + 12, message->request);
    return 0;
}

/* ---- reading ---- */

static int broken(struct flo_err *err, const char *name, const char *what)
{
    return flo_fail(err, FLO_E_WORKER_PROTOCOL, "frame %s: %s", name, what);
}

/* Stores a number in a row's field.  Returns false if the field's type is too
 * small for it. */
static bool number_store(const struct row *row, char *place, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;
    bool flag = value != 0;
    switch ((enum kind)row->kind) {
    case KIND_U32:
        memcpy(place, &narrow, sizeof(narrow));
        return value <= UINT32_MAX;
    case KIND_BOOL:
        memcpy(place, &flag, sizeof(flag));
        return value <= 1;
    default:
        memcpy(place, &value, sizeof(value));
        return true;
    }
}

static bool read_row(const struct row *row, char *body, const char *data, size_t bytes)
{
    char *place = body + row->offset;
    if (row->kind == KIND_TEXT) {
        struct flo_wire_text text = {data, bytes};
        memcpy(place, &text, sizeof(text));
        return true;
    }
    return bytes == NUMBER_BYTES && number_store(row, place, flo_get_u64(data));
}

/* Reads an image and appends it to those of the message read last. */
static bool read_image(struct flo_wire_generate *generate, const char *data, size_t bytes)
{
    uint32_t count = generate->n_images, n = generate->n_messages;

    if (n == 0 || count == FLO_WIRE_IMAGES_MAX || bytes <= IMAGE_HEAD_BYTES) {
        return false;
    }
    uint32_t at = flo_get_u32(data), detail = flo_get_u32(data + 4);
    bool is_next = count > 0 && generate->images[count - 1].message == n - 1;
    if (at > generate->messages[n - 1].content.bytes || detail >= FLO_WIRE_DETAILS ||
        (is_next && at < generate->images[count - 1].at)) {
        return false;
    }
    generate->images[count].message = n - 1;
    generate->images[count].at = at;
    generate->images[count].detail = detail;
    generate->images[count].url =
        (struct flo_wire_text){data + IMAGE_HEAD_BYTES, bytes - IMAGE_HEAD_BYTES};
    generate->n_images++;
    return true;
}

/* Reads one of the fields that may repeat.  In a message the role comes first,
 * then the content, then the other members. */
static bool read_repeated(struct flo_wire_generate *generate, uint16_t tag, const char *data,
                          size_t bytes, bool *in_message)
{
    struct flo_wire_text text = {data, bytes};
    if (tag == TAG_ROLE) {
        if (*in_message || generate->n_messages == FLO_WIRE_MESSAGES_MAX) {
            return false;
        }
        generate->messages[generate->n_messages].role = text;
        *in_message = true;
    } else if (tag == TAG_CONTENT) {
        if (!*in_message) {
            return false;
        }
        generate->messages[generate->n_messages++].content = text;
        *in_message = false;
    } else if (tag == TAG_MORE) {
        uint32_t n = generate->n_messages;
        if (*in_message || n == 0 || generate->messages[n - 1].more.bytes > 0) {
            return false;
        }
        generate->messages[n - 1].more = text;
    } else if (tag == TAG_IMAGE) {
        return !*in_message && read_image(generate, data, bytes);
    } else if (tag == TAG_STOP) {
        if (generate->n_stops == FLO_WIRE_STOPS_MAX || bytes == 0 ||
            bytes > FLO_WIRE_STOP_BYTES_MAX) {
            return false;
        }
        generate->stops[generate->n_stops++] = text;
    }
    return true;
}

static bool read_input(struct flo_wire_embed *embed, uint16_t tag, const char *data, size_t bytes)
{
    if (tag != TAG_INPUT && tag != TAG_INPUT_TOKENS) {
        return true;
    }
    if (embed->n_inputs == FLO_WIRE_INPUTS_MAX) {
        return false;
    }
    embed->inputs[embed->n_inputs].data = (struct flo_wire_text){data, bytes};
    embed->inputs[embed->n_inputs++].is_tokens = tag == TAG_INPUT_TOKENS;
    return true;
}

static bool read_adapter(struct flo_wire_open *open, uint16_t tag, const char *data, size_t bytes)
{
    if (tag != TAG_ADAPTER) {
        return true;
    }
    if (open->n_adapters == FLO_WIRE_ADAPTERS_MAX || bytes == 0 || bytes > FLO_NAME_MAX) {
        return false;
    }
    open->adapters[open->n_adapters++] = (struct flo_wire_text){data, bytes};
    return true;
}

static int read_fields(const struct shape *shape, const char *data, size_t bytes,
                       struct flo_wire_message *message, struct flo_err *err)
{
    char *body = (char *)&message->open;
    uint64_t seen = 0; /* bit per tag */
    bool in_message = false;
    while (bytes > 0) {
        if (bytes < FIELD_HEAD_BYTES) {
            return broken(err, shape->name, "a field is cut");
        }
        uint16_t tag = flo_get_u16(data);
        uint32_t length = flo_get_u32(data + 2);
        data += FIELD_HEAD_BYTES;
        bytes -= FIELD_HEAD_BYTES;
        if (length > bytes) {
            return broken(err, shape->name, "a field is longer than the frame");
        }
        for (size_t i = 0; i < shape->n_rows; i++) {
            if (shape->rows[i].tag != tag) {
                continue;
            }
            if ((seen >> tag & 1) != 0) {
                return broken(err, shape->name, "a field stands twice");
            }
            seen |= 1ull << tag;
            if (!read_row(&shape->rows[i], body, data, length)) {
                return broken(err, shape->name, "a field has a wrong value");
            }
        }
        if (shape->type == FLO_WIRE_GENERATE &&
            !read_repeated(&message->generate, tag, data, length, &in_message)) {
            return broken(err, shape->name, "messages or stops do not fit");
        }
        if (shape->type == FLO_WIRE_EMBED && !read_input(&message->embed, tag, data, length)) {
            return broken(err, shape->name, "more than 256 inputs");
        }
        if (shape->type == FLO_WIRE_OPEN && !read_adapter(&message->open, tag, data, length)) {
            return broken(err, shape->name, "its adapters do not fit");
        }
        data += length;
        bytes -= length;
    }
    if (in_message) {
        return broken(err, shape->name, "a message without content");
    }
    return 0;
}

ptrdiff_t flo_wire_read(const void *data, size_t bytes, struct flo_wire_message *message,
                        struct flo_err *err)
{
    const char *p = data;
    if (bytes < FLO_WIRE_HEAD_BYTES) {
        return 0;
    }
    if (flo_get_u32(p) != MAGIC) {
        return broken(err, "?", "no frame begins here");
    }
    uint32_t payload = flo_get_u32(p + 4);
    const struct shape *shape = shape_of(flo_get_u16(p + 8));
    if (shape == NULL || flo_get_u16(p + 10) != 0) {
        return broken(err, "?", "an unknown type");
    }
    if (payload > FLO_WIRE_PAYLOAD_BYTES_MAX) {
        return broken(err, shape->name, "the payload is longer than 1 MiB");
    }
    if (bytes - FLO_WIRE_HEAD_BYTES < payload) {
        return 0;
    }
    memset(message, 0, sizeof(*message));
    message->type = (enum flo_wire_type)shape->type;
    message->request = flo_get_u32(p + 12);
    FLO_TRY(read_fields(shape, p + FLO_WIRE_HEAD_BYTES, payload, message, err));
    return (ptrdiff_t)(FLO_WIRE_HEAD_BYTES + payload);
}

void flo_wire_name_adapter(struct flo_wire_message *message, const char *name, double scale)
{
    struct flo_wire_text text = {name, name == NULL ? 0 : strlen(name)};

    if (message->type == FLO_WIRE_GENERATE) {
        message->generate.adapter = text;
        message->generate.adapter_scale = scale;
    } else if (message->type == FLO_WIRE_EMBED) {
        message->embed.adapter = text;
        message->embed.adapter_scale = scale;
    }
}

struct flo_wire_text flo_wire_adapter_of(const struct flo_wire_message *message)
{
    return message->type == FLO_WIRE_GENERATE ? message->generate.adapter
           : message->type == FLO_WIRE_EMBED  ? message->embed.adapter
                                              : (struct flo_wire_text){0};
}
