/* A model without weights: a vocabulary of every byte, control tokens, and a
 * chat template. */
#ifndef FLOTILLA_TESTS_CHAT_WORLD_H
#define FLOTILLA_TESTS_CHAT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/chat/template.h"
#include "tests/unit/engine/gguf_make.h"

#define TEMPLATES "tests/golden/token/templates/"

/* A vocabulary of every byte and some control tokens, with a template. */
struct world {
    struct flo_buf file;
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
    struct flo_template chat;
};

static inline void world_make(struct world *world, const char *template_text)
{
    size_t control_count = FLO_COUNT(controls);
    memset(world, 0, sizeof(*world));
    put_head(&world->file, 0, template_text == NULL ? 7 : 8);
    put_key_text(&world->file, "tokenizer.ggml.model", "gpt2");
    put_key_text(&world->file, "tokenizer.ggml.pre", "gpt-2");
    put_key(&world->file, "tokenizer.ggml.tokens", FLO_GGUF_ARRAY);
    put_u32(&world->file, FLO_GGUF_STRING);
    put_u64(&world->file, control_count + 98);
    for (size_t i = 0; i < control_count; i++) {
        put_text(&world->file, controls[i]);
    }
    for (int c = 33; c < 127; c++) {
        char text[2] = {(char)c, '\0'};
        put_text(&world->file, text);
    }
    put_text(&world->file, "\xc4\xa0"); /* blank */
    put_text(&world->file, "\xc4\x8a"); /* newline */
    put_text(&world->file, "\xc3\x82"); /* c2, */
    put_text(&world->file, "\xc5\x82"); /* a0: a blank that breaks no line */
    put_key(&world->file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(&world->file, FLO_GGUF_I32);
    put_u64(&world->file, control_count + 98);
    for (size_t i = 0; i < control_count + 98; i++) {
        put_u32(&world->file, i < control_count ? 3 : 1);
    }
    put_key_texts(&world->file, "tokenizer.ggml.merges", NULL, 0);
    put_key_u32(&world->file, "tokenizer.ggml.bos_token_id", 5);
    put_key_u32(&world->file, "tokenizer.ggml.eos_token_id", 6);
    if (template_text != NULL) {
        put_key_text(&world->file, "tokenizer.chat_template", template_text);
    }
    assert_int_equal(flo_gguf_open(world->file.data, world->file.bytes, &world->gguf, NULL), 0);
    assert_int_equal(flo_vocab_open(world->gguf, &world->vocab, NULL), 0);
}

/* The template is one of the golden files, or the text itself. */
static inline void world_open(struct world *world, const char *name)
{
    char path[128];
    size_t bytes;
    struct flo_err err = {0};
    snprintf(path, sizeof(path), TEMPLATES "%.40s.jinja", name != NULL ? name : "");
    char *text = name != NULL && strchr(name, '{') == NULL ? read_whole(path, &bytes) : NULL;
    world_make(world, text != NULL ? text : name);
    if (flo_template_find(world->gguf, world->vocab, NULL, &world->chat, &err) != 0) {
        fail_msg("%s: %s", name, err.what);
    }
    free(text);
}

static inline void world_close(struct world *world)
{
    flo_template_deinit(&world->chat);
    flo_vocab_close(world->vocab);
    flo_gguf_close(world->gguf);
    flo_buf_deinit(&world->file);
}

/* The ids as text; control ids are shown as {id}.  The caller frees it. */
static inline char *world_show(const struct world *world, const struct flo_tokens *tokens)
{
    struct flo_buf text = {0};
    flo_buf_text(&text, "");
    for (size_t i = 0; i < tokens->count; i++) {
        if (flo_vocab_is_control(world->vocab, tokens->ids[i])) {
            flo_buf_printf(&text, "{%d}", tokens->ids[i]);
        } else {
            flo_vocab_piece(world->vocab, tokens->ids[i], false, &text);
        }
    }
    return text.data;
}

static inline struct flo_engine_message say(const char *role, const char *text)
{
    return (struct flo_engine_message){.role = role, .text = text, .bytes = strlen(text)};
}

#endif
