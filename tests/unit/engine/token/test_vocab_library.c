/* A vocabulary whose texts a library tokenises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/token.h"
#include "unit/engine/gguf_make.h"

/* Tokens of a tokenizer that nobody knows; <|user|> is user-defined. */
enum { LETTER_A, LETTER_B, END, USER, BROKEN, HIDDEN, TOKENS };
static const char *const raw[TOKENS] = {"!a", "!b", "<|end|>", "<|user|>", "!broken", "!hidden"};
static const int types[TOKENS] = {1, 1, 3, 4, 1, 1};
static const char *const pieces[TOKENS] = {"a", "b", "<|end|>", "<|user|>", "\xc3\xa9\xc3", "?"};

/* A library that makes one token of a user-defined spelling, as llama.cpp's
 * does, and drops what it does not know. */
static bool ids(void *context, const char *text, size_t bytes, struct flo_tokens *tokens)
{
    (void)context;
    for (size_t i = 0; i < bytes; i++) {
        if (bytes - i >= 8 && memcmp(text + i, "<|user|>", 8) == 0) {
            flo_tokens_add(tokens, USER);
            i += 7;
        } else if (text[i] == 'a' || text[i] == 'b') {
            flo_tokens_add(tokens, text[i] == 'a' ? LETTER_A : LETTER_B);
        }
    }
    return true;
}

static void piece(void *context, int32_t id, struct flo_buf *out)
{
    (void)context;
    flo_buf_text(out, pieces[id]);
}

static bool is_end(void *context, int32_t id)
{
    (void)context;
    return id == BROKEN;
}

static bool is_control(void *context, int32_t id)
{
    (void)context;
    return id == HIDDEN;
}

struct world {
    struct flo_buf file;
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
    struct flo_err err;
};

static int open_world(struct world *world, int32_t count)
{
    const struct flo_vocab_library library = {
        .ids = ids,
        .piece = piece,
        .is_end = is_end,
        .is_control = is_control,
        .facts = {.count = count, .bos = -1, .eos = END, .eot = -1, .unknown = -1},
    };

    put_head(&world->file, 0, 3);
    put_key_text(&world->file, "tokenizer.ggml.model", "of-the-future");
    put_key_texts(&world->file, "tokenizer.ggml.tokens", raw, TOKENS);
    put_key(&world->file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(&world->file, FLO_GGUF_I32);
    put_u64(&world->file, TOKENS);
    for (int i = 0; i < TOKENS; i++) {
        put_u32(&world->file, (uint32_t)types[i]);
    }
    assert_int_equal(flo_gguf_open(world->file.data, world->file.bytes, &world->gguf, NULL), 0);
    assert_int_equal(flo_vocab_open(world->gguf, &world->vocab, NULL), FLO_E_NOT_BUILT);
    return flo_vocab_open_library(world->gguf, &library, &world->vocab, &world->err);
}

static void close_world(struct world *world)
{
    flo_vocab_close(world->vocab);
    flo_gguf_close(world->gguf);
    flo_buf_deinit(&world->file);
}

static void expect(const struct world *world, struct flo_text_span span, size_t count,
                   const int32_t *ids_expected)
{
    struct flo_tokens tokens = {0};

    assert_int_equal(flo_tokenize_spans(world->vocab, &span, 1, &tokens, NULL), 0);
    assert_int_equal(tokens.count, count);
    assert_memory_equal(tokens.ids, ids_expected, count * sizeof(*ids_expected));
    flo_tokens_deinit(&tokens);
}

static void a_text_has_the_ids_of_the_library(void **state)
{
    struct world world = {0};

    (void)state;
    assert_int_equal(open_world(&world, TOKENS), 0);
    expect(&world, (struct flo_text_span){.data = "ab<|end|>b", .bytes = 10, .is_special = true}, 4,
           (const int32_t[]){LETTER_A, LETTER_B, END, LETTER_B});
    expect(&world, (struct flo_text_span){.data = "ab<|end|>b", .bytes = 10}, 3,
           (const int32_t[]){LETTER_A, LETTER_B, LETTER_B});
    close_world(&world);
}

static void a_message_that_spells_a_mark_stays_text(void **state)
{
    struct world world = {0};
    struct flo_text_span said = {.data = "a<|user|>b<|user|>", .bytes = 18, .is_message = true};

    (void)state;
    assert_int_equal(open_world(&world, TOKENS), 0);
    expect(&world, said, 2, (const int32_t[]){LETTER_A, LETTER_B});
    said.is_message = false;
    expect(&world, said, 4, (const int32_t[]){LETTER_A, USER, LETTER_B, USER});
    close_world(&world);
}

static void tokens_show_the_bytes_of_the_library(void **state)
{
    struct world world = {0};
    struct flo_buf text = {0};
    struct flo_text_stream stream = {0};

    (void)state;
    assert_int_equal(open_world(&world, TOKENS), 0);
    for (int32_t id = 0; id < TOKENS; id++) {
        flo_text_stream_add(&stream, world.vocab, id, &text);
    }
    flo_text_stream_finish(&stream, &text);
    assert_string_equal(text.data, "ab<|user|>\xc3\xa9\xef\xbf\xbd");
    assert_true(flo_vocab_is_control(world.vocab, END));
    assert_true(flo_vocab_is_control(world.vocab, HIDDEN));
    assert_true(flo_vocab_is_end(world.vocab, END));
    assert_true(flo_vocab_is_end(world.vocab, BROKEN));
    assert_false(flo_vocab_is_end(world.vocab, LETTER_A));
    flo_buf_deinit(&text);
    close_world(&world);
}

static void a_library_with_other_tokens_is_refused(void **state)
{
    struct world world = {0};

    (void)state;
    assert_int_equal(open_world(&world, TOKENS + 1), FLO_E_GGUF_VOCAB);
    assert_string_equal(world.err.what, "6 tokens, the library has 7");
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_the_ids_of_the_library),
        cmocka_unit_test(a_message_that_spells_a_mark_stays_text),
        cmocka_unit_test(tokens_show_the_bytes_of_the_library),
        cmocka_unit_test(a_library_with_other_tokens_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
