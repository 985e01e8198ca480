/* Reading: no key of a folder's files is passed over. */
#include "tests/unit/engine/publish/import_llama.h"

#include "engine/publish/import/reading.h"

/* Reads one file of a Llama's folder.  Returns the report, which is free'd at
 * the next call. */
static struct flo_folder_reading reading;

static int read_text(const char *rows, const char *json, const char *accepted)
{
    char text[1024];
    struct flo_tree tree = {0};
    flo_reading_deinit(&reading);
    reading = (struct flo_folder_reading){.arch = "llama"};
    err = (struct flo_err){0};
    assert_int_equal(flo_reading_accept(&reading, accepted, &err), 0);
    snprintf(text, sizeof(text), "%s", json);
    assert_int_equal(flo_folder_tree(text, strlen(text), 256, &tree, &err), 0);
    int rv = flo_reading_file(&reading, rows, rows, tree.nodes, &err);
    flo_tree_deinit(&tree);
    flo_buf_add(&reading.report, "", 1);
    return rv;
}

static int read_config(const char *json)
{
    return read_text("config.json", json, "");
}

static void expect_refused(const char *json, const char *what)
{
    assert_true(read_config(json) < 0);
    assert_string_equal(err.what, what);
}

/* ---- the mechanism ---- */

static void each_key_has_a_line_with_its_fate(void **state)
{
    (void)state;

    assert_int_equal(read_config("{\"hidden_act\":\"silu\",\"use_cache\":true,\"top_k\":50}"), 0);

    assert_string_equal(reading.report.data,
                        "applied\tconfig.json\thidden_act\t\"silu\"\t"
                        "the family's SiLU\n"
                        "harmless\tconfig.json\tuse_cache\ttrue\tof the training\n"
                        "left\tconfig.json\ttop_k\t50\ta request says it\n");
}

static void a_key_in_no_row_is_refused_by_its_name(void **state)
{
    (void)state;

    expect_refused("{\"residual_gain\":2}",
                   "config.json: \"residual_gain\" is not known, and may change answers");

    assert_string_equal(err.fix,
                        "--accept-unknown residual_gain passes it over, and the new file says so");
}

static void a_value_that_no_row_names_is_refused(void **state)
{
    (void)state;

    expect_refused("{\"hidden_act\":\"relu\"}",
                   "config.json: \"hidden_act\" is \"relu\": this value is not built");
}

static void a_key_of_another_family_is_refused(void **state)
{
    (void)state;

    expect_refused("{\"altup_num_inputs\":4}",
                   "config.json: \"altup_num_inputs\" is 4: this value is not built");
}

static void a_setting_that_is_null_counts_as_absent(void **state)
{
    (void)state;

    assert_int_equal(read_config("{\"hidden_act\":null}"), 0);
    assert_true(read_config("{\"residual_gain\":null}") < 0);
}

static void an_accepted_key_is_noted(void **state)
{
    (void)state;

    assert_int_equal(read_text("config.json", "{\"gain\":2,\"rope_scaling\":{\"sway\":1}}",
                               "gain,rope_scaling.sway"),
                     0);

    assert_memory_equal(reading.taken.data, "gain\0rope_scaling.sway",
                        sizeof("gain\0rope_scaling.sway"));
    assert_non_null(strstr(reading.report.data, "accepted\tconfig.json\tgain\t2\tin no row\n"));
}

static void all_keys_are_read_after_a_refusal(void **state)
{
    (void)state;

    expect_refused("{\"one\":1,\"two\":2,\"use_cache\":true}",
                   "config.json: \"one\" is not known, and may change answers");

    assert_non_null(strstr(reading.report.data, "refused\tconfig.json\ttwo\t2\t"));
    assert_non_null(strstr(reading.report.data, "harmless\tconfig.json\tuse_cache\t"));
}

static void a_path_goes_through_objects_and_lists(void **state)
{
    (void)state;

    assert_int_equal(read_config("{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}"), 0);
    expect_refused("{\"rope_scaling\":{\"rope_type\":\"longrope\"}}",
                   "config.json: \"rope_scaling.rope_type\" is \"longrope\": this value is not "
                   "built");
    expect_refused("{\"layer_types\":[\"full_attention\",\"chunked_attention\"]}",
                   "config.json: \"layer_types.*\" is \"chunked_attention\": this value is not "
                   "built");
}

static void a_dot_or_slash_in_a_key_fits_no_row(void **state)
{
    (void)state;

    expect_refused("{\"rope_scaling.factor\":8}",
                   "config.json: \"rope_scaling:factor\" is not known, and may change answers");
    expect_refused("{\"a/b\":1}", "config.json: \"a:b\" is not known, and may change answers");
    assert_true(read_config("{\"\":1}") < 0);
}

static void what_is_below_a_whole_row_is_not_asked(void **state)
{
    (void)state;

    assert_int_equal(read_config("{\"vision_config\":{\"depth\":{\"any\":[1]}}}"), 0);
    assert_true(read_config("{\"text_config\":{\"any\":1}}") < 0);
}

static void other_files_have_rows_of_their_own(void **state)
{
    static const struct {
        const char *rows, *json;
        bool fits;
    } cases[] = {
        {"generation_config.json", "{\"eos_token_id\":[1,2],\"suppress_tokens\":[3]}", true},
        {"generation_config.json", "{\"hidden_act\":\"silu\"}", false},
        {"modules.json", "[{\"type\":\"a.models.Normalize\",\"path\":\"2\"}]", true},
        {"modules.json", "[{\"type\":\"a.models.CNN\"}]", false},
        {"Pooling/config.json", "{\"pooling_mode_cls_token\":true}", true},
        {"Pooling/config.json", "{\"pooling_mode_max_tokens\":true}", false},
        {"Pooling/config.json",
         "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}", false},
        {"config_sentence_transformers.json", "{\"default_prompt_name\":null}", true},
        {"config_sentence_transformers.json", "{\"default_prompt_name\":\"q\"}", false},
        {"sentence_bert_config.json", "{\"do_lower_case\":true}", false},
        {"adapter_config.json", "{\"peft_type\":\"LORA\",\"init_lora_weights\":true}", true},
        {"adapter_config.json", "{\"init_lora_weights\":\"pissa\"}", false},
        {"adapter_config.json", "{\"alora_invocation_tokens\":[1]}", false},
        {"adapter_config.json", "{\"kasa_config\":{}}", false},
        {"adapter_config.json", "{\"loftq_config\":{}}", true},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        if ((read_text(cases[i].rows, cases[i].json, "") == 0) != cases[i].fits) {
            fail_msg("%s: %s: %s", cases[i].rows, cases[i].json, err.what);
        }
    }
}

/* ---- folders ---- */

static int import_config(const char *more, struct flo_gguf **out)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "{\"architectures\":[\"MistralForCausalLM\"]%s,\"hidden_size\":8,"
             "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
             "\"intermediate_size\":4,\"vocab_size\":6,\"rms_norm_eps\":1e-5,"
             "\"max_position_embeddings\":64,\"tie_word_embeddings\":true}",
             more);
    make_text(folder, "config.json", text);
    *out = NULL;
    return imported("F32", out);
}

static void a_folder_with_an_unknown_key_is_refused(void **state)
{
    struct flo_gguf *gguf;
    (void)state;

    assert_true(import_config(",\"attn_temperature\":2", &gguf) < 0);

    assert_non_null(strstr(err.what, "\"attn_temperature\" is not known"));
}

static void keys_of_a_text_model_inside_are_read_as_the_files_own(void **state)
{
    struct flo_gguf *gguf;
    (void)state;

    assert_true(import_config(",\"text_config\":{\"gain\":2}", &gguf) < 0);

    assert_non_null(strstr(err.what, "\"text_config.gain\" is not known"));
}

static void all_layers_of_mistral_have_the_window(void **state)
{
    struct flo_gguf *gguf;
    (void)state;

    assert_int_equal(import_config(",\"sliding_window\":8", &gguf), 0);

    expect_number(gguf, "llama.attention.sliding_window", 8);
    const struct flo_gguf_kv *flags = flo_gguf_find(gguf, "llama.attention.sliding_window_pattern");
    assert_non_null(flags);
    assert_memory_equal(flags->data, "\1\1", 2);
    flo_gguf_close(gguf);
}

static void generation_config_names_the_end_tokens(void **state)
{
    struct flo_gguf *gguf;
    (void)state;
    make_text(folder, "generation_config.json", "{\"eos_token_id\":[5,4]}");

    assert_int_equal(import_config(",\"eos_token_id\":3", &gguf), 0);

    const struct flo_gguf_kv *ends = flo_gguf_find(gguf, "flotilla.end_token_ids");
    assert_non_null(ends);
    assert_int_equal(ends->count, 2);
    assert_memory_equal(ends->data, "\5\0\0\0\4\0\0\0", 8);
    flo_gguf_close(gguf);

    make_text(folder, "generation_config.json", "{\"eos_token_id\":[5,6]}");
    assert_true(import_config("", &gguf) < 0);
    assert_non_null(strstr(err.what, "\"eos_token_id\" is no id below 6"));
}

static void a_template_for_tools_is_part_of_the_template(void **state)
{
    struct flo_gguf *gguf;
    (void)state;
    make_text(folder, "tokenizer_config.json",
              "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"pad_token\":\"it's\","
              "\"chat_template\":[{\"name\":\"default\",\"template\":\"A\\n\"},"
              "{\"name\":\"tool_use\",\"template\":\"B{{ pad_token }}\"}]}");

    assert_int_equal(import_config("", &gguf), 0);

    expect_text(gguf, "tokenizer.chat_template",
                "{% set pad_token = 'it\\'s' %}{% if tools is defined and tools is not none %}"
                "{{ '' }}B{{ pad_token }}{{ '' }}{% else %}{{ '' }}A{{ '' }}{% endif %}");
    flo_gguf_close(gguf);
}

static void an_absent_key_has_the_value_of_its_class(void **state)
{
    struct flo_gguf *gguf;
    (void)state;

    make_text(folder, "config.json", CONFIG("MistralForCausalLM", ",\"model_type\":\"mistral\""));
    assert_int_equal(imported(NULL, &gguf), 0);
    expect_number(gguf, "llama.attention.sliding_window", 4096);
    flo_gguf_close(gguf);

    make_text(folder, "config.json",
              CONFIG("MistralForCausalLM", ",\"model_type\":\"mistral\",\"sliding_window\":null"));
    assert_int_equal(imported(NULL, &gguf), 0);
    assert_null(flo_gguf_find(gguf, "llama.attention.sliding_window"));
    flo_gguf_close(gguf);

    make_text(folder, "config.json", CONFIG("LlamaForCausalLM", ",\"model_type\":\"mellum\""));
    assert_true(imported(NULL, &gguf) < 0);
    assert_non_null(strstr(err.what, "config.json lacks \"layer_types\", which its class makes as "
                                     "this program does not"));

    make_text(folder, "config.json", CONFIG("Gemma3TextModel", ",\"model_type\":\"gemma3_text\""));
    assert_true(imported(NULL, &gguf) < 0);
    assert_non_null(strstr(err.what, "config.json, by its class: \"use_bidirectional_attention\" "
                                     "is false: the family reads both ways"));
}

static void what_two_files_say_of_a_token_is_the_same(void **state)
{
    static const struct {
        const char *file, *text, *what; /* NULL: it fits */
    } rows[] = {
        {"added_tokens.json", "{\"<s>\":4,\"</s>\":5,\"<far>\":6}", NULL},
        {"added_tokens.json", "{\"<s>\":5}",
         "added_tokens.json: token 5 is \"<s>\", and \"</s>\" in the vocabulary"},
        {"added_tokens.json", "{\"<s>\":2}",
         "added_tokens.json: token 2 is \"<s>\", and \"ab\" in the vocabulary"},
        {"tokenizer_config.json",
         "{\"added_tokens_decoder\":{\"4\":{\"content\":\"<s>\"},\"6\":{\"content\":\"x\"}}}",
         NULL},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"4\":{\"content\":\"<s\"}}}",
         "tokenizer_config.json: added_tokens_decoder: token 4 is \"<s\", and \"<s>\" in the "
         "vocabulary"},
        {"tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}",
         NULL},
        {"tokenizer_config.json", "{\"bos_token\":\"<s\"}",
         "tokenizer_config.json: \"bos_token\" is \"<s\", which is no token"},
        {"tokenizer_config.json", "{\"eos_token\":{\"content\":\"<end>\"}}",
         "tokenizer_config.json: \"eos_token\" is \"<end>\", which is no token"},
        {"tokenizer.json",
         TOKENIZER(VOCABULARY, "[{\"id\":4,\"content\":\"<s>\"},{\"id\":5,\"content\":\"ab\"}]"),
         "the tokens 2 and 5 are both \"ab\""},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_gguf *gguf = NULL;
        assert_int_equal(make_folder(NULL), 0);
        make_text(folder, rows[i].file, rows[i].text);
        int rv = imported(NULL, &gguf);
        if ((rv < 0) != (rows[i].what != NULL) ||
            (rv < 0 && strstr(err.what, rows[i].what) == NULL)) {
            fail_msg("row %zu: %d %s", i, rv, err.what);
        }
        flo_gguf_close(gguf);
        remove_tree(folder);
    }
}

static void weights_that_are_not_taken_are_named(void **state)
{
    static const char *const names[] = {"other.gguf", "pytorch_model.bin",
                                        "consolidated.safetensors"};
    struct flo_import import = {.folder.path = folder};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        make_text(folder, names[i], "x");
    }

    assert_int_equal(flo_folder_open(&import.folder, &err), 0);
    flo_folder_left(&import.folder, &import.reading.report);
    flo_folder_close(&import.folder);
    flo_buf_add(&import.reading.report, "", 1);

    assert_null(strstr(import.reading.report.data, "\tmodel.safetensors\t"));
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        char line[128];
        snprintf(line, sizeof(line),
                 "passed\t.\t%s\t\t"
                 "the weights are those of model.safetensors\n",
                 names[i]);
        assert_non_null(strstr(import.reading.report.data, line));
    }
    flo_reading_deinit(&import.reading);
}

static void a_folder_without_safetensors_is_told_what_it_has(void **state)
{
    static const char *const rows[][2] = {
        {"m.gguf", "'m.gguf': that file is a model by itself"},
        {"consolidated.safetensors", "'consolidated.safetensors': its tensors have the names of"},
        {"other.safetensors", "'other.safetensors': nothing says that it is the model"},
        {"m.bin", "'m.bin': a pickle can run a program"},
        {"m.txt", "it has no model.safetensors and no model.safetensors.index.json"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_folder read = {.path = folder};
        make_empty_folder();
        make_text(folder, rows[i][0], "x");
        err = (struct flo_err){0};
        assert_true(flo_folder_open(&read, &err) < 0);
        assert_non_null(strstr(err.what, rows[i][1]));
        remove_tree(folder);
    }
}

int main(void)
{
#define FOLDER(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_a_line_with_its_fate),
        cmocka_unit_test(a_key_in_no_row_is_refused_by_its_name),
        cmocka_unit_test(a_value_that_no_row_names_is_refused),
        cmocka_unit_test(a_key_of_another_family_is_refused),
        cmocka_unit_test(a_setting_that_is_null_counts_as_absent),
        cmocka_unit_test(an_accepted_key_is_noted),
        cmocka_unit_test(all_keys_are_read_after_a_refusal),
        cmocka_unit_test(a_path_goes_through_objects_and_lists),
        cmocka_unit_test(a_dot_or_slash_in_a_key_fits_no_row),
        cmocka_unit_test(what_is_below_a_whole_row_is_not_asked),
        cmocka_unit_test(other_files_have_rows_of_their_own),
        FOLDER(weights_that_are_not_taken_are_named),
        cmocka_unit_test(a_folder_without_safetensors_is_told_what_it_has),
        cmocka_unit_test(what_two_files_say_of_a_token_is_the_same),
        FOLDER(a_folder_with_an_unknown_key_is_refused),
        FOLDER(keys_of_a_text_model_inside_are_read_as_the_files_own),
        FOLDER(all_layers_of_mistral_have_the_window),
        FOLDER(an_absent_key_has_the_value_of_its_class),
        FOLDER(generation_config_names_the_end_tokens),
        FOLDER(a_template_for_tools_is_part_of_the_template),
    };
    int rv = cmocka_run_group_tests(tests, NULL, NULL);
    flo_reading_deinit(&reading);
    return rv;
}
