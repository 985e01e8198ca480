/* Defaults of a release: they count for what a request does not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/serve/requests/defaults.h"

static struct flo_serve_defaults release; /* large */

static void begin(const char *system)
{
    struct flo_release_serve serve;

    flo_release_serve_init(&serve);
    release.sampling = serve.sampling;
    snprintf(release.system, sizeof(release.system), "%s", system);
}

static struct serve_params read_as(enum request_kind kind, const char *body)
{
    struct serve_params params;
    struct flo_err err = {0};

    if (flo_params_read(kind, body, strlen(body), &params, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return params;
}

static void put(struct serve_params *params, const struct flo_serve_defaults *defaults)
{
    assert_int_equal(flo_defaults_put(params, defaults, NULL), 0);
}

static bool is_text(struct flo_wire_text text, const char *wanted)
{
    return text.bytes == strlen(wanted) && memcmp(text.data, wanted, text.bytes) == 0;
}

#define USER "{\"role\":\"user\",\"content\":\"hello\"}"
#define ASKED "{\"messages\":[" USER "]"

static void what_a_request_leaves_open_is_the_releases(void **state)
{
    (void)state;
    struct serve_params params = read_as(REQUEST_CHAT, ASKED "}");
    const struct flo_wire_generate *g = &params.message.generate;

    begin("");
    release.sampling = (struct flo_release_sampling){.max_tokens = 9,
                                                     .min_p_ppm = 50000,
                                                     .repeat_penalty_ppm = 1100000,
                                                     .seed = 7,
                                                     .temperature_ppm = 0,
                                                     .top_k = 40,
                                                     .top_p_ppm = 900000};
    put(&params, &release);
    assert_int_equal(g->max_tokens, 9);
    assert_true(g->min_p == 0.05 && g->repeat_penalty == 1.1 && g->temperature == 0);
    assert_true(g->top_p == 0.9);
    assert_int_equal(g->top_k, 40);
    assert_int_equal(g->seed, 7);
    /* the next release says nothing: the API's own defaults are back */
    put(&params, NULL);
    assert_int_equal(g->max_tokens, 0);
    assert_true(g->min_p == 0 && g->repeat_penalty == 1 && g->temperature == 0.8);
    assert_true(g->top_p == 1 && g->top_k == 0);
    flo_params_deinit(&params);
}

static void what_a_request_says_stays(void **state)
{
    (void)state;
    struct serve_params params =
        read_as(REQUEST_CHAT, ASKED ",\"max_tokens\":3,\"min_p\":0,\"repeat_last_n\":0,\"seed\":5,"
                                    "\"temperature\":0.5,\"top_k\":0,\"top_p\":1}");
    struct flo_wire_generate before = params.message.generate;

    begin("");
    release.sampling = (struct flo_release_sampling){9, 50000, 1100000, 7, 0, 40, 900000};
    put(&params, &release);
    assert_memory_equal(&params.message.generate, &before, sizeof(before));
    flo_params_deinit(&params);
}

static void a_nucleus_of_nothing_stays_the_best_token(void **state)
{
    (void)state;
    struct serve_params params = read_as(REQUEST_CHAT, ASKED ",\"top_p\":0}");

    begin("");
    release.sampling.temperature_ppm = 1500000;
    put(&params, &release);
    assert_true(params.message.generate.temperature == 0);
    flo_params_deinit(&params);
}

static void values_out_of_the_apis_range_are_cut(void **state)
{
    (void)state;
    struct serve_params params = read_as(REQUEST_CHAT, ASKED "}");

    begin("");
    release.sampling.temperature_ppm = 10000000;
    release.sampling.repeat_penalty_ppm = 0;
    release.sampling.top_p_ppm = 0;
    put(&params, &release);
    assert_true(params.message.generate.temperature == 2);
    assert_true(params.message.generate.repeat_penalty == 0.5);
    assert_true(params.message.generate.top_p == 1);
    flo_params_deinit(&params);
}

static void the_owners_limit_of_an_answer_stays(void **state)
{
    (void)state;
    struct serve_params params = read_as(REQUEST_CHAT, ASKED "}");
    uint32_t *most = &params.message.generate.max_tokens;

    begin("");
    release.sampling.max_tokens = 50;
    *most = 20; /* an app's limit */
    put(&params, &release);
    assert_int_equal(*most, 20);
    release.sampling.max_tokens = 9;
    put(&params, &release);
    assert_int_equal(*most, 9);
    put(&params, NULL);
    assert_int_equal(*most, 20);
    put(&params, &release);
    *most = 5; /* an endpoint's limit */
    put(&params, NULL);
    assert_int_equal(*most, 5);
    flo_params_deinit(&params);
}

static void several_answers_keep_seeds_of_their_own(void **state)
{
    (void)state;
    struct serve_params asked = read_as(REQUEST_CHAT, ASKED ",\"n\":2}"), out[2];

    begin("");
    release.sampling.seed = 7;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(flo_params_choice(&asked, i, &out[i], NULL), 0);
        put(&out[i], &release);
    }
    assert_true(out[0].message.generate.seed != out[1].message.generate.seed);
    flo_params_deinit(&out[0]);
    flo_params_deinit(&out[1]);
    flo_params_deinit(&asked);
}

static void a_conversation_without_one_gets_the_releases_system_prompt(void **state)
{
    (void)state;
    struct serve_params params = read_as(REQUEST_CHAT, ASKED "}");
    const struct flo_wire_generate *g = &params.message.generate;

    for (int i = 0; i < 2; i++) { /* also when it is sent again */
        begin(i == 0 ? "be brief" : "be kind");
        put(&params, &release);
        assert_int_equal(g->n_messages, 2);
        assert_true(is_text(g->messages[0].role, "system"));
        assert_true(is_text(g->messages[0].content, release.system));
        assert_true(is_text(g->messages[1].content, "hello"));
        assert_int_equal(g->public_bytes, strlen(release.system));
    }
    /* the frame is written with it, and the next model has none */
    assert_int_equal(flo_params_keep(&params, NULL), 0);
    assert_true(is_text(g->messages[0].content, "be kind"));
    put(&params, NULL);
    assert_int_equal(g->n_messages, 1);
    assert_int_equal(g->public_bytes, 0);
    assert_true(is_text(g->messages[0].content, "hello"));
    flo_params_deinit(&params);
}

static void the_clients_own_system_prompt_stays(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"messages\":[{\"role\":\"system\",\"content\":\"mine\"}," USER "]}",
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"mine\"}," USER "]}",
        "{\"messages\":[" USER ",{\"role\":\"system\",\"content\":\"mine\"}," USER "]}"};

    begin("be brief");
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        struct serve_params params = read_as(REQUEST_CHAT, bodies[i]);
        uint32_t before = params.message.generate.n_messages;
        put(&params, &release);
        assert_int_equal(params.message.generate.n_messages, before);
        assert_int_equal(params.message.generate.public_bytes, 0);
        flo_params_deinit(&params);
    }
}

static void a_completion_has_no_system_prompt_and_a_vector_no_default(void **state)
{
    (void)state;
    struct serve_params text = read_as(REQUEST_TEXT, "{\"prompt\":\"once\"}");
    struct serve_params vector = read_as(REQUEST_EMBED, "{\"input\":\"once\"}");

    begin("be brief");
    release.sampling.max_tokens = 4;
    put(&text, &release);
    assert_int_equal(text.message.generate.n_messages, 0);
    assert_int_equal(text.message.generate.max_tokens, 4);
    put(&vector, &release);
    assert_int_equal(vector.message.type, FLO_WIRE_EMBED);
    flo_params_deinit(&text);
    flo_params_deinit(&vector);
}

static void images_stay_with_their_messages(void **state)
{
    (void)state;
    struct serve_params params = read_as(
        REQUEST_CHAT,
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
        "{\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]}]}");
    const struct flo_wire_generate *g = &params.message.generate;

    begin("be brief");
    assert_int_equal(g->n_images, 1);
    put(&params, &release);
    assert_int_equal(g->images[0].message, 1);
    put(&params, NULL);
    assert_int_equal(g->images[0].message, 0);
    flo_params_deinit(&params);
}

static void a_conversation_that_is_full_is_refused_with_the_numbers(void **state)
{
    (void)state;
    struct flo_buf body = {0};
    struct flo_err err = {0};

    flo_buf_text(&body, "{\"messages\":[");
    for (int i = 0; i < FLO_WIRE_MESSAGES_MAX; i++) {
        flo_buf_printf(&body, "%s%s", i > 0 ? "," : "", USER);
    }
    flo_buf_text(&body, "]}");
    struct serve_params params = read_as(REQUEST_CHAT, body.data);
    begin("be brief");
    assert_int_equal(flo_defaults_put(&params, &release, &err), FLO_E_INFER_PARAM);
    assert_string_equal(params.param, "messages");
    assert_non_null(strstr(err.what, "256, at most 255"));
    flo_params_deinit(&params);
    flo_buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_leaves_open_is_the_releases),
        cmocka_unit_test(what_a_request_says_stays),
        cmocka_unit_test(a_nucleus_of_nothing_stays_the_best_token),
        cmocka_unit_test(values_out_of_the_apis_range_are_cut),
        cmocka_unit_test(the_owners_limit_of_an_answer_stays),
        cmocka_unit_test(several_answers_keep_seeds_of_their_own),
        cmocka_unit_test(a_conversation_without_one_gets_the_releases_system_prompt),
        cmocka_unit_test(the_clients_own_system_prompt_stays),
        cmocka_unit_test(a_completion_has_no_system_prompt_and_a_vector_no_default),
        cmocka_unit_test(images_stay_with_their_messages),
        cmocka_unit_test(a_conversation_that_is_full_is_refused_with_the_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
