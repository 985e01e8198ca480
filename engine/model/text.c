/* Text: converts text and chats to tokens and back, for the engine's
 * callers. */
#include <stdlib.h>
#include <string.h>

#include "engine/model/session.h"
#include "engine/token/control.h"

_Static_assert(sizeof(((struct flo_engine_stream *)0)->held) >=
                   sizeof(((struct flo_text_stream *)0)->held),
               "the public stream holds what the tokenizer's does");

int flo_engine_need_vocabulary(const struct flo_engine *engine, struct flo_err *err)
{
    if (engine->vocab != NULL) {
        return 0;
    }
    if (err != NULL) {
        *err = engine->vocab_err;
    }
    return flo_wrap(err, engine->vocab_err.code, "this model reads no text");
}

/* Makes a list in the caller's array, which never grows.  FLO_E_INFER_TOO_LONG:
 * the array has no entry, and a limit of 0 would mean no limit. */
static int list_in(int32_t *tokens, size_t tokens_max, struct flo_tokens *list, struct flo_err *err)
{
    *list = (struct flo_tokens){.ids = tokens, .capacity = tokens_max, .count_max = tokens_max};
    return tokens_max > 0
               ? 0
               : flo_fail(err, FLO_E_INFER_TOO_LONG, "a text has at least 1 token, at most 0 fit");
}

int flo_engine_tokenise(const struct flo_engine *engine, const char *text, size_t bytes,
                        unsigned flags, int32_t *tokens, size_t tokens_max, size_t *count,
                        struct flo_err *err)
{
    struct flo_tokens ids;

    FLO_TRY(flo_engine_need_vocabulary(engine, err));
    FLO_TRY(list_in(tokens, tokens_max, &ids, err));
    FLO_TRY(flo_tokenize(engine->vocab, text, bytes, flags, &ids, err));
    *count = ids.count;
    return 0;
}

int flo_engine_detokenise(const struct flo_engine *engine, const int32_t *tokens, size_t count,
                          bool shows_special, struct flo_buf *text, struct flo_err *err)
{
    FLO_TRY(flo_engine_need_vocabulary(engine, err));
    for (size_t i = 0; i < count; i++) {
        flo_vocab_piece(engine->vocab, tokens[i], shows_special, text);
    }
    return text->failed ? flo_fail(err, FLO_E_MEMORY, "text of %zu tokens", count) : 0;
}

bool flo_engine_is_end(const struct flo_engine *engine, int32_t token)
{
    return engine->vocab != NULL && flo_vocab_is_end(engine->vocab, token);
}

static struct flo_text_stream inner(const struct flo_engine_stream *stream)
{
    struct flo_text_stream in = {.held_bytes = stream->held_bytes};

    memcpy(in.held, stream->held, sizeof(in.held));
    return in;
}

void flo_engine_stream_add(struct flo_engine_stream *stream, const struct flo_engine *engine,
                           int32_t token, struct flo_buf *text)
{
    struct flo_text_stream in = inner(stream);

    if (engine->vocab == NULL) {
        return;
    }
    flo_text_stream_add(&in, engine->vocab, token, text);
    memcpy(stream->held, in.held, sizeof(in.held));
    stream->held_bytes = in.held_bytes;
}

void flo_engine_stream_finish(struct flo_engine_stream *stream, struct flo_buf *text)
{
    struct flo_text_stream in = inner(stream);

    flo_text_stream_finish(&in, text);
    *stream = (struct flo_engine_stream){0};
}

/* Returns an error if the engine has no vocabulary or no usable chat
 * template. */
static int need_chat(const struct flo_engine *engine, struct flo_err *err)
{
    int rv = flo_engine_need_vocabulary(engine, err);

    if (rv == 0 && engine->chat_err.code < 0) {
        rv = engine->chat_err.code;
        if (err != NULL) {
            *err = engine->chat_err;
        }
    }
    return rv;
}

void flo_engine_template(const struct flo_engine *engine, struct flo_engine_template *out)
{
    const struct flo_jinja *jinja = engine->chat.jinja;

    *out = (struct flo_engine_template){engine->chat.name, "", 0};
    if (jinja != NULL) {
        out->text = flo_jinja_source(jinja, &out->bytes);
    }
}

bool flo_engine_is_control(const struct flo_engine *engine, int32_t token)
{
    return engine->vocab != NULL && flo_vocab_is_control(engine->vocab, token);
}

#define MARK_TOKENS 64u /* most tokens of a mark for thoughts and the blanks after it */

bool flo_engine_in_thought(const struct flo_engine *engine, const int32_t *tokens, size_t count)
{
    const struct flo_form_text *mark = &engine->chat.calls.thought_open;
    size_t from = count > MARK_TOKENS ? count - MARK_TOKENS : 0;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    for (size_t i = from; engine->vocab != NULL && i < count; i++) {
        flo_control_piece(engine->vocab, tokens[i], &text);
    }
    while (text.bytes > 0 && strchr(" \t\r\n", text.data[text.bytes - 1])) {
        text.bytes--;
    }
    return mark->bytes > 0 && text.bytes >= mark->bytes &&
           memcmp(text.data + text.bytes - mark->bytes, mark->data, mark->bytes) == 0;
}

int flo_engine_chat_with(const struct flo_engine *engine, const struct flo_engine_setting *setting,
                         const struct flo_engine_message *messages, size_t message_count,
                         int32_t *tokens, size_t tokens_max, size_t *count, struct flo_err *err)
{
    struct flo_tokens ids;

    FLO_TRY(need_chat(engine, err));
    FLO_TRY(list_in(tokens, tokens_max, &ids, err));
    FLO_TRY(flo_template_render(&engine->chat, engine->vocab, setting, messages, message_count,
                                &ids, err));
    *count = ids.count;
    return 0;
}

int flo_engine_chat(const struct flo_engine *engine, const struct flo_engine_message *messages,
                    size_t message_count, int32_t *tokens, size_t tokens_max, size_t *count,
                    struct flo_err *err)
{
    return flo_engine_chat_with(engine, NULL, messages, message_count, tokens, tokens_max, count,
                                err);
}
