/* JSON from outside: golden cases and the parameters of requests. */
#include <flotilla/errors/meta.h>
#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>

#include "agent/serve/openai/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <string.h>

static void golden_documents_that_do_not_fit_are_refused(void **state)
{
    static const char *const documents[] = {
        "",
        "[]",
        "{\"format\":\"flotilla-golden-1\"}",
        "{\"format\":\"other\",\"cases\":[]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\"}]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\","
        "\"prompt\":\"b\",\"max_new_tokens\":0,\"must_contain\":[\"c\"]}]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\","
        "\"prompt\":\"b\",\"max_new_tokens\":9,\"must_contain\":[]}]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\","
        "\"prompt\":\"b\",\"max_new_tokens\":9,\"must_contain\":[7]}]}",
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\","
        "\"prompt\":\"b\",\"max_new_tokens\":9,\"must_contain\":[\"c\"],"
        "\"min_logit_gap\":2,\"expect_tokens\":[-1]}]}",
    };
    struct flo_golden golden;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(documents); i++) {
        struct flo_err err = {0};
        int rv = flo_golden_read(documents[i], strlen(documents[i]), &golden, &err);
        if (rv != FLO_E_META_SCHEMA && rv != FLO_E_META_JSON) {
            fail_msg("%s gave %d %s", documents[i], rv, err.what);
        }
    }
}

static int judge(const struct flo_golden_case *c, const char *text, const int32_t *tokens,
                 uint32_t n_tokens)
{
    const struct flo_golden_answer answer = {
        .text = text, .bytes = strlen(text), .tokens = tokens, .n_tokens = n_tokens};
    return flo_golden_judge(c, 0, &answer, NULL);
}

static void exact_tokens_count_only_where_the_model_was_sure(void **state)
{
    static const char document[] = "{\"format\":\"flotilla-golden-1\",\"cases\":["
                                   "{\"id\":\"sure\",\"prompt\":\"b\",\"max_new_tokens\":9,"
                                   "\"must_contain\":[\"x\"],\"min_logit_gap\":1.0,"
                                   "\"expect_tokens\":[1,2]},"
                                   "{\"id\":\"unsure\",\"prompt\":\"b\",\"max_new_tokens\":9,"
                                   "\"must_contain\":[\"x\",\"y\"],\"min_logit_gap\":0.99,"
                                   "\"expect_tokens\":[1,2]}]}";
    static const int32_t right[] = {1, 2}, wrong[] = {1, 3};
    const int bad = FLO_E_PROBE_GOLDEN;
    struct flo_golden golden;
    (void)state;
    assert_int_equal(flo_golden_read(document, sizeof(document) - 1, &golden, NULL), 0);
    assert_int_equal(judge(&golden.cases[0], "axb", right, 2), 0);
    assert_int_equal(judge(&golden.cases[0], "axb", wrong, 2), bad);
    assert_int_equal(judge(&golden.cases[0], "axb", right, 1), bad);
    assert_int_equal(judge(&golden.cases[0], "ab", right, 2), bad);
    assert_int_equal(judge(&golden.cases[1], "axy", wrong, 2), 0);
    assert_int_equal(judge(&golden.cases[1], "ax", wrong, 2), bad);
    flo_golden_deinit(&golden);
}

/* ---- parameters ---- */

static void wrong_parameters_are_named_with_their_range(void **state)
{
#define WITH(field) "{\"prompt\":\"a\"," field "}"
    static const struct {
        const char *body, *param, *says;
    } cases[] = {
        {WITH("\"max_tokens\":-1"), "max_tokens", "from 1 to 1048576"},
        {WITH("\"max_tokens\":0"), "max_tokens", "from 1 to 1048576"},
        {WITH("\"max_tokens\":2147483648"), "max_tokens", "2147483648"},
        {WITH("\"max_tokens\":1000000000"), "max_tokens", "1000000000"},
        {WITH("\"max_tokens\":1e9"), "max_tokens", "whole number"},
        {WITH("\"max_tokens\":\"5\""), "max_tokens", "whole number"},
        {WITH("\"max_completion_tokens\":-1"), "max_completion_tokens", "-1"},
        {WITH("\"temperature\":-1"), "temperature", "is -1"},
        {WITH("\"temperature\":1e30"), "temperature", "from 0 to 2"},
        {WITH("\"temperature\":\"hot\""), "temperature", "a number"},
        {WITH("\"top_k\":-5"), "top_k", "-5"},
        {WITH("\"n_predict\":0"), "n_predict", "-1 or from 1"},
        {WITH("\"n_predict\":-2"), "n_predict", "from -1"},
        {WITH("\"repeat_last_n\":257"), "repeat_last_n", "from 0 to 256"},
        {WITH("\"top_p\":2"), "top_p", "from 0 to 1"},
        {WITH("\"n\":1.5"), "n", "a whole number from 1 to 8"},
        {WITH("\"best_of\":\"2\""), "best_of", "from 1 to 8"},
        {WITH("\"presence_penalty\":2.5"), "presence_penalty", "from -2 to 2"},
        {WITH("\"frequency_penalty\":\"x\""), "frequency_penalty", "a number from -2 to 2"},
        {WITH("\"stream\":1"), "stream", "true or false"},
        {WITH("\"stream_options\":{\"include_usage\":1}"), "stream_options", "true or false"},
        {WITH("\"seed\":1.5"), "seed", "whole number"},
        {WITH("\"stop\":\"\""), "stop", "at most 4"},
        {WITH("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), "stop", "at most 4"},
        {WITH("\"logprobs\":21"), "logprobs", "from 0 to 20"},
        {WITH("\"logprobs\":true"), "logprobs", "whole number"},
        {WITH("\"model\":7"), "model", "a name"},
        {WITH("\"user\":7"), "user", "user must be a text"},
        {WITH("\"user\":\"u\",\"safety_identifier\":{}"), "safety_identifier",
         "safety_identifier must be a text"},
        {WITH("\"service_tier\":\"gold\""), "service_tier", "or flex"},
        {WITH("\"service_tier\":1"), "service_tier", "auto, default"},
        {WITH("\"tools\":[{}]"), "tools", "needs /v1/chat"},
        {WITH("\"tools\":\"search\""), "tools", "needs /v1/chat"},
        {WITH("\"functions\":true"), "functions", "needs /v1/chat"},
        {WITH("\"logit_bias\":5"), "logit_bias", "an object of at most 1024"},
        {WITH("\"logit_bias\":{\"a\":1}"), "logit_bias", "`a`"},
        {WITH("\"logit_bias\":{\"-1\":1}"), "logit_bias", "no token id"},
        {WITH("\"logit_bias\":{\"2147483648\":1}"), "logit_bias", "no token"},
        {WITH("\"logit_bias\":{\"5\":101}"), "logit_bias", "-100 to 100"},
        {WITH("\"logit_bias\":{\"5\":\"x\"}"), "logit_bias", "a number"},
        {WITH("\"tool_choice\":\"required\""), "tool_choice", "needs"},
        {WITH("\"tool_choice\":{}"), "tool_choice", "needs /v1/chat"},
        {WITH("\"function_call\":{\"name\":\"f\"}"), "function_call", "needs"},
        {"{\"prompt\":[]}", "prompt", "a text"},
        {"{\"prompt\":\"\"}", "prompt", "empty"},
        {"{\"prompt\":[1,-2]}", "prompt", "token id"},
        {"{}", "prompt", "a text"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct serve_params params;
        struct flo_err err = {0};
        int rv = flo_params_read(REQUEST_TEXT, cases[i].body, strlen(cases[i].body), &params, &err);
        if (rv != FLO_E_INFER_PARAM || strcmp(params.param, cases[i].param) != 0 ||
            strstr(err.what, cases[i].says) == NULL) {
            fail_msg("%s gave %s, %s", cases[i].body, params.param, err.what);
        }
    }
}

static void bodies_that_are_no_requests_are_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "\"text\"",
        "{\"a\":1,\"a\":2}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
    };
    static const char *const chats[] = {
        "{\"messages\":[]}",
        "{\"messages\":{}}",
        "{\"messages\":[7]}",
        "{\"messages\":[{\"content\":\"a\"}]}",
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"image_url\"}]}]}",
        "{\"tools\":[{}],\"messages\":[{\"role\":\"user\",\"content\":"
        "\"a\"}]}",
    };
    struct serve_params params;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        assert_int_equal(flo_params_read(REQUEST_CHAT, bodies[i], strlen(bodies[i]), &params, NULL),
                         FLO_E_REST_SCHEMA);
    }
    for (size_t i = 0; i < FLO_COUNT(chats); i++) {
        assert_int_equal(flo_params_read(REQUEST_CHAT, chats[i], strlen(chats[i]), &params, NULL),
                         FLO_E_INFER_PARAM);
    }
}

static int read_kind(enum request_kind kind, const char *body, struct serve_params *params,
                     struct flo_err *err)
{
    return flo_params_read(kind, body, strlen(body), params, err);
}

static void names_of_other_servers_mean_the_same(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\":\"a\",\"n_predict\":7,\"repeat_last_n\":9,"
        "\"repeat_penalty\":1.5}",
        "{\"prompt\":\"a\",\"n_predict\":-1,\"repeat_last_n\":0,"
        "\"repeat_penalty\":1.5}",
    };
    struct serve_params params;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(read_kind(REQUEST_TEXT, bodies[0], &params, &err), 0);
    assert_int_equal(params.message.generate.max_tokens, 7);
    assert_int_equal(params.message.generate.repeat_last, 9);
    assert_true(params.message.generate.repeat_penalty == 1.5);
    flo_params_deinit(&params);
    assert_int_equal(read_kind(REQUEST_TEXT, bodies[1], &params, &err), 0);
    assert_int_equal(params.message.generate.max_tokens, 0);
    assert_true(params.message.generate.repeat_penalty == 1);
    flo_params_deinit(&params);
}

static void biases_stand_beside_ids_and_a_schema(void **state)
{
    static const char body[] = "{\"prompt\":[1,2,3],\"logit_bias\":{\"7\":-100,\"9\":1.5},"
                               "\"presence_penalty\":-2,\"frequency_penalty\":0.25,"
                               "\"json_schema\":{\"type\":\"integer\"}}";
    struct serve_params params;
    int32_t token;
    float bias;
    (void)state;
    assert_int_equal(read_kind(REQUEST_TEXT, body, &params, NULL), 0);
    const struct flo_wire_generate *g = &params.message.generate;
    struct flo_wire_text rest = g->biases;
    assert_int_equal(g->tokens.bytes, 12);
    assert_memory_equal(g->tokens.data, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
    assert_true(flo_wire_bias_next(&rest, &token, &bias));
    assert_true(token == 7 && bias == -100.0f);
    assert_true(flo_wire_bias_next(&rest, &token, &bias));
    assert_true(token == 9 && bias == 1.5f);
    assert_false(flo_wire_bias_next(&rest, &token, &bias));
    assert_memory_equal(g->grammar.data, "{\"type\":", 8);
    assert_true(g->presence_penalty == -2 && g->frequency_penalty == 0.25);
    flo_params_deinit(&params);
}

static void begin_and_end_of_a_text_are_apart_from_marks_in_it(void **state)
{
    static const struct {
        const char *body;
        bool adds_ends, reads_special;
    } rows[] = {
        {"{\"content\":\"a\"}", false, false},
        {"{\"content\":\"a\",\"add_special\":true}", true, false},
        {"{\"content\":\"a\",\"parse_special\":true}", false, true},
    };
    struct serve_params params;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_wire_tokenise *in = &params.message.tokenise;
        assert_int_equal(read_kind(REQUEST_TOKENISE, rows[i].body, &params, NULL), 0);
        assert_int_equal(in->adds_ends, rows[i].adds_ends);
        assert_int_equal(in->reads_special, rows[i].reads_special);
        flo_params_deinit(&params);
    }
}

static void log_probabilities_are_asked_for_in_two_ways(void **state)
{
#define CHAT(field) "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]" field "}"
    static const struct {
        enum request_kind kind;
        const char *body;
        uint32_t logprobs;
    } cases[] = {
        {REQUEST_TEXT, "{\"prompt\":\"a\"}", 0},
        {REQUEST_TEXT, "{\"prompt\":\"a\",\"logprobs\":null}", 0},
        {REQUEST_TEXT, "{\"prompt\":\"a\",\"logprobs\":0}", 1},
        {REQUEST_TEXT, "{\"prompt\":\"a\",\"logprobs\":5}", 6},
        {REQUEST_CHAT, CHAT(""), 0},
        {REQUEST_CHAT, CHAT(",\"logprobs\":false"), 0},
        {REQUEST_CHAT, CHAT(",\"logprobs\":true"), 1},
        {REQUEST_CHAT, CHAT(",\"logprobs\":true,\"top_logprobs\":20"), 21},
        {REQUEST_CHAT, CHAT(",\"top_logprobs\":0"), 0},
    };
    struct serve_params params;
    struct flo_err err = {0};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(read_kind(cases[i].kind, cases[i].body, &params, &err), 0);
        assert_int_equal(params.message.generate.logprobs, cases[i].logprobs);
        flo_params_deinit(&params);
    }
    assert_int_equal(read_kind(REQUEST_CHAT, CHAT(",\"top_logprobs\":2"), &params, &err),
                     FLO_E_INFER_PARAM);
    assert_string_equal(params.param, "top_logprobs");
}

/* It may be held for long, with many others. */
static void what_the_answer_does_not_need_is_not_held(void **state)
{
    enum { PARTS = 60000 };
    static char body[4 * PARTS + 64];
    char *at = body + sprintf(body, "{\"prompt\":\"abc\",\"x\":[1");
    struct serve_params params;
    (void)state;
    for (int i = 0; i < PARTS; i++) {
        at = stpcpy(at, ",{}");
    }
    strcpy(at, "]}");
    size_t before = mallinfo2().uordblks;
    assert_int_equal(flo_params_read(REQUEST_TEXT, body, strlen(body), &params, NULL), 0);
    size_t after = mallinfo2().uordblks; /* a sanitizer tells nothing: 0 */
    assert_true(after - before < 4096);
    assert_memory_equal(params.message.generate.prompt.data, "abc", 3);
    flo_params_deinit(&params);
}

static void inputs_of_vectors_come_in_four_forms(void **state)
{
    struct serve_params params;
    struct flo_wire_embed *out = &params.message.embed;
    (void)state;
    assert_int_equal(read_kind(REQUEST_EMBED, "{\"input\":\"ab\"}", &params, NULL), 0);
    assert_int_equal(out->n_inputs, 1);
    assert_int_equal(out->inputs[0].data.bytes, 2);
    assert_false(params.is_base64 || out->takes_last);
    flo_params_deinit(&params);
    assert_int_equal(read_kind(REQUEST_EMBED, "{\"input\":[7,258]}", &params, NULL), 0);
    assert_int_equal(out->n_inputs, 1);
    assert_true(out->inputs[0].is_tokens);
    assert_memory_equal(out->inputs[0].data.data, "\7\0\0\0\2\1\0\0", 8);
    flo_params_deinit(&params);
    assert_int_equal(read_kind(REQUEST_EMBED,
                               "{\"input\":[\"a\",[1],\"b\",[2,3]],\"pooling\":\"last\","
                               "\"encoding_format\":\"base64\"}",
                               &params, NULL),
                     0);
    assert_int_equal(out->n_inputs, 4);
    assert_true(params.is_base64 && out->takes_last);
    assert_memory_equal(out->inputs[1].data.data, "\1\0\0\0", 4);
    assert_memory_equal(out->inputs[3].data.data, "\2\0\0\0\3\0\0\0", 8);
    assert_memory_equal(out->inputs[2].data.data, "b", 1);
    flo_params_deinit(&params);
}

static void inputs_of_vectors_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{}", "input"},
        {"{\"input\":\"\"}", "input"},
        {"{\"input\":[]}", "input"},
        {"{\"input\":7}", "input"},
        {"{\"input\":[\"a\",\"\"]}", "input"},
        {"{\"input\":[[]]}", "input"},
        {"{\"input\":[1,\"a\"]}", "input"},
        {"{\"input\":[[-1]]}", "input"},
        {"{\"input\":[[[1]]]}", "input"},
        {"{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format"},
        {"{\"input\":\"a\",\"encoding_format\":1}", "encoding_format"},
        {"{\"input\":\"a\",\"dimensions\":0}", "dimensions"},
        {"{\"input\":\"a\",\"pooling\":\"max\"}", "pooling"},
    };
    struct flo_buf many = {0};
    struct serve_params params;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(read_kind(REQUEST_EMBED, cases[i].body, &params, NULL), FLO_E_INFER_PARAM);
        assert_string_equal(params.param, cases[i].param);
    }
    flo_buf_text(&many, "{\"input\":[\"a\"");
    for (int i = 0; i < FLO_WIRE_INPUTS_MAX; i++) {
        flo_buf_text(&many, ",\"a\"");
    }
    flo_buf_text(&many, "]}");
    assert_int_equal(read_kind(REQUEST_EMBED, many.data, &params, NULL), FLO_E_INFER_PARAM);
    flo_buf_deinit(&many);
    assert_int_equal(read_kind(REQUEST_DETOKENISE, "{\"tokens\":[1,-1]}", &params, NULL),
                     FLO_E_INFER_PARAM);
    assert_string_equal(params.param, "tokens");
}

static void good_parameters_reach_the_message(void **state)
{
    static const char body[] = "{\"model\":\"tiny\",\"messages\":[{\"role\":\"developer\","
                               "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
                               "\"text\":\"b\"}]},{\"role\":\"user\",\"content\":\"c\"}],"
                               "\"max_completion_tokens\":7,\"temperature\":null,\"top_p\":0.5,"
                               "\"seed\":-1,\"stop\":[\"x\",\"yy\"],\"stream\":true,\"user\":\"u\","
                               "\"stream_options\":{\"include_usage\":true},\"logit_bias\":{},"
                               "\"tools\":[],\"tool_choice\":\"auto\","
                               "\"response_format\":{\"type\":\"text\"},\"unheard\":1}";
    struct serve_params params;
    struct flo_err err = {0};
    (void)state;
    if (flo_params_read(REQUEST_CHAT, body, sizeof(body) - 1, &params, &err) < 0) {
        fail_msg("%s", err.what);
    }
    const struct flo_wire_generate *g = &params.message.generate;
    assert_int_equal(g->n_messages, 2);
    assert_memory_equal(g->messages[0].role.data, "system", 6);
    assert_memory_equal(g->messages[0].content.data, "a\nb", 3);
    assert_int_equal(g->messages[0].content.bytes, 3);
    assert_int_equal(g->max_tokens, 7);
    assert_true(g->temperature == 0.8 && g->top_p == 0.5);
    assert_true(g->seed == UINT64_MAX);
    assert_int_equal(g->n_stops, 2);
    assert_true(params.is_stream && params.wants_usage);
    assert_string_equal(params.model, "tiny");
    flo_params_deinit(&params);
}

static void a_nucleus_too_small_for_a_float_is_the_best_token(void **state)
{
    static const char body[] = "{\"prompt\":\"a\",\"top_p\":2.2e-308}";
    struct serve_params params;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_params_read(REQUEST_TEXT, body, sizeof(body) - 1, &params, &err), 0);
    assert_true(params.message.generate.temperature == 0);
    flo_params_deinit(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_documents_that_do_not_fit_are_refused),
        cmocka_unit_test(exact_tokens_count_only_where_the_model_was_sure),
        cmocka_unit_test(wrong_parameters_are_named_with_their_range),
        cmocka_unit_test(bodies_that_are_no_requests_are_refused),
        cmocka_unit_test(names_of_other_servers_mean_the_same),
        cmocka_unit_test(biases_stand_beside_ids_and_a_schema),
        cmocka_unit_test(begin_and_end_of_a_text_are_apart_from_marks_in_it),
        cmocka_unit_test(log_probabilities_are_asked_for_in_two_ways),
        cmocka_unit_test(what_the_answer_does_not_need_is_not_held),
        cmocka_unit_test(inputs_of_vectors_come_in_four_forms),
        cmocka_unit_test(inputs_of_vectors_that_do_not_fit_are_refused),
        cmocka_unit_test(good_parameters_reach_the_message),
        cmocka_unit_test(a_nucleus_too_small_for_a_float_is_the_best_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
