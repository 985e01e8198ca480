/* Unread: no key of a family that changes answers is passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <flotilla/errors/gguf.h>

#include "engine/model/file/hparams.h"
#include "engine/model/file/unread.h"
#include "tests/unit/engine/gguf_make.h"

/* A key with a value, as a row of a table says it; a text if `text` is there, a flag if
 * the number is below 0. */
struct more {
    const char *key;
    double number;
    const char *text;
};
enum { FLAG_OFF = -1, FLAG_ON = -2 };

static void put_more(struct flo_buf *out, const struct more *more)
{
    uint8_t real[4];
    float value = (float)more->number;

    if (more->text != NULL) {
        put_key_text(out, more->key, more->text);
    } else if (more->number < 0) {
        put_key(out, more->key, FLO_GGUF_BOOL);
        flo_buf_add(out, more->number == FLAG_ON ? "\1" : "\0", 1);
    } else if (more->number == (double)(uint32_t)more->number) {
        put_key_u32(out, more->key, (uint32_t)more->number);
    } else {
        put_key(out, more->key, FLO_GGUF_F32);
        memcpy(real, &value, sizeof(real));
        flo_buf_add(out, real, sizeof(real));
    }
}

/* Checks a small model's keys with one or two more.  Returns the first that is refused,
 * "": none. */
static char refused[128];
static struct flo_err err;

static const char *check(const char *arch, const struct more *more, const char *accepted)
{
    static const char *const numbers[] = {"block_count", "embedding_length", "feed_forward_length",
                                          "attention.head_count", "vocab_size"};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) file = {.bytes_max = 1 << 16};
    struct flo_gguf *gguf = NULL;
    size_t count = more[1].key != NULL ? 2 : 1;
    char key[128];

    err = (struct flo_err){0};
    put_head(&file, 0, FLO_COUNT(numbers) + 3 + count);
    put_key_text(&file, "general.architecture", arch);
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        snprintf(key, sizeof(key), "%s.%s", arch, numbers[i]);
        put_key_u32(&file, key, i == 1 ? 16 : 4);
    }
    snprintf(key, sizeof(key), "%s.context_length", arch);
    put_key_u32(&file, key, 64);
    put_key_texts(&file, "flotilla.import.accepted", &accepted, 1);
    for (size_t i = 0; i < count; i++) {
        put_more(&file, &more[i]);
    }
    assert_int_equal(flo_gguf_open(file.data, file.bytes, &gguf, &err), 0);
    const struct flo_arch *found;
    struct flo_hparams hparams;
    if (strcmp(arch, "mamba") != 0) {
        assert_int_equal(flo_hparams_read(gguf, &found, &hparams, &err), 0);
    }
    int rv = flo_unread_check(gguf, &err);
    flo_gguf_close(gguf);
    if (rv == 0) {
        return "";
    }
    assert_int_equal(rv, FLO_E_GGUF_HPARAM);
    snprintf(refused, sizeof(refused), "%.*s", (int)strcspn(err.what + 1, "\""), err.what + 1);
    return refused;
}

static const struct {
    const char *arch;
    struct more more[2];
    bool is_refused;
} rows[] = {
    /* in no row */
    {"llama", {{"llama.residual_gain", 2, NULL}}, true},
    {"llama", {{"llama.rope.scaling.alpha", 0.5, NULL}}, true},
    {"llama", {{"llama.attention.temperature_length", 8, NULL}}, true},
    {"llama", {{"tokenizer.ggml.suppress_tokens", 1, NULL}}, true},
    {"llama", {{"tokenizer.new_kind", 1, NULL}}, true},
    {"llama", {{"adapter.lora.prompt_prefix", 0, "You are"}}, true},
    /* of others, or read */
    {"llama", {{"general.new_name", 0, "x"}}, false},
    {"llama", {{"clip.has_vision_encoder", FLAG_ON, NULL}}, false},
    {"llama", {{"qwen2.residual_gain", 2, NULL}}, false},
    {"llama", {{"llamas.residual_gain", 2, NULL}}, false},
    {"llama", {{"llama.rope.freq_base", 5000.5, NULL}}, false},
    {"llama", {{"tokenizer.ggml.add_bos_token", FLAG_ON, NULL}}, false},
    {"llama", {{"tokenizer.chat_template.tool_use", 0, "x"}}, false},
    {"llama", {{"adapter.lora.task_name", 0, "x"}}, false},
    {"llama", {{"llama.rope.scaling.finetuned", FLAG_ON, NULL}}, false},
    /* what the other families read */
    {"llama", {{"llama.attn_logit_softcapping", 50, NULL}}, true},
    {"llama", {{"llama.attn_logit_softcapping", 0, NULL}}, false},
    {"gemma2", {{"gemma2.attn_logit_softcapping", 50.5, NULL}}, false},
    {"llama", {{"llama.attention.clamp_kqv", 0.5, NULL}}, true},
    {"llama", {{"llama.use_parallel_residual", FLAG_ON, NULL}}, true},
    {"llama", {{"llama.use_parallel_residual", FLAG_OFF, NULL}}, false},
    {"llama", {{"llama.swin_norm", 0, "on"}}, true},
    /* at most */
    {"llama", {{"llama.expert_group_count", 1, NULL}}, false},
    {"llama", {{"llama.expert_group_count", 2, NULL}}, true},
    {"llama", {{"llama.rope.scaling.yarn_ext_factor", 1, NULL}}, false},
    {"llama", {{"llama.rope.scaling.yarn_ext_factor", 1.5, NULL}}, true},
    /* the same */
    {"llama", {{"llama.embedding_length_out", 16, NULL}}, false},
    {"llama", {{"llama.embedding_length_out", 8, NULL}}, true},
    {"llama",
     {{"llama.rope.freq_base_swa", 500.5, NULL}, {"llama.rope.freq_base", 500.5, NULL}},
     false},
    {"llama",
     {{"llama.rope.freq_base_swa", 500.5, NULL}, {"llama.rope.freq_base", 600.5, NULL}},
     true},
    {"llama", {{"llama.rope.freq_base_swa", 500.5, NULL}}, true},
    /* windows */
    {"llama", {{"llama.attention.sliding_window", 63, NULL}}, true},
    {"llama", {{"llama.attention.sliding_window", 64, NULL}}, false},
    {"llama", {{"llama.attention.sliding_window", 0, NULL}}, false},
    {"gemma2", {{"gemma2.attention.sliding_window", 8, NULL}}, false},
    /* the family's own */
    {"llama", {{"llama.attention.causal", FLAG_ON, NULL}}, false},
    {"llama", {{"llama.attention.causal", FLAG_OFF, NULL}}, true},
    {"bert", {{"bert.attention.causal", FLAG_OFF, NULL}}, false},
    {"bert", {{"bert.attention.causal", FLAG_ON, NULL}}, true},
    {"llama", {{"llama.hidden_activation", 0, "silu"}}, false},
    {"llama", {{"llama.hidden_activation", 0, "gelu"}}, true},
    {"llama", {{"llama.hidden_activation", 0, "sil"}}, true},
    {"modern-bert", {{"modern-bert.hidden_activation", 0, "gelu"}}, false},
    {"qwen3moe", {{"qwen3moe.expert_gating_func", 1, NULL}}, false},
    {"qwen3moe", {{"qwen3moe.expert_gating_func", 2, NULL}}, true},
    {"llama", {{"llama.expert_used_count", 2, NULL}}, false},
};

static void a_key_that_nobody_reads_is_refused_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const char *found = check(rows[i].arch, rows[i].more, "none");
        if (strcmp(found, rows[i].is_refused ? rows[i].more[0].key : "") != 0) {
            fail_msg("row %zu, %s: \"%s\"", i, rows[i].more[0].key, found);
        }
    }
}

static void a_person_may_accept_a_key(void **state)
{
    const struct more more[2] = {{"llama.residual_gain", 2, NULL}};

    (void)state;
    assert_string_equal(check("llama", more, "llama.residual_gain"), "");
    assert_string_equal(check("llama", more, "llama.residual_gai"), "llama.residual_gain");
    assert_string_equal(err.what, "\"llama.residual_gain\" is not read, and may change answers");
    assert_string_equal(err.fix,
                        "flotilla-model import FILE --to NEW --accept-unknown llama.residual_gain "
                        "passes it over, and the new file says so");
}

static void a_file_whose_family_is_unknown_is_left_to_others(void **state)
{
    const struct more more[2] = {{"mamba.residual_gain", 2, NULL}};

    (void)state;
    assert_string_equal(check("mamba", more, "none"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_nobody_reads_is_refused_by_its_name),
        cmocka_unit_test(a_person_may_accept_a_key),
        cmocka_unit_test(a_file_whose_family_is_unknown_is_left_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
