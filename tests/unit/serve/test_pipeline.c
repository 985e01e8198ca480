/* Pipelines: which stages a client may use, what the next one is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/requests/names.h"
#include "agent/serve/requests/pipeline.h"

static struct flo_serve *serve;
static struct serve_request request;
static struct flo_err err;

static void add_model(unsigned place, const char *name, const char *token)
{
    struct serve_place *one = &serve->places[place];

    one->serve = serve;
    one->model = place;
    one->has_route = true;
    strcpy(one->route.model, name);
    strcpy(one->route.version, "1");
    if (token != NULL) {
        strcpy(one->route.tokens[one->route.n_tokens++], token);
    }
}

/* `ear` and `desk`, both for the door; the shop may use `desk` alone. */
static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    assert_non_null(serve);
    serve->had_route = true;
    strcpy(serve->tokens[0].name, "door");
    strcpy(serve->tokens[1].name, "shop");
    serve->n_tokens = 2;
    add_model(0, "ear", "door");
    add_model(1, "desk", "door");
    strcpy(serve->places[1].route.tokens[serve->places[1].route.n_tokens++], "shop");
    serve->pipelines[0] =
        (struct flo_serve_pipeline){.name = "intercom", .n_stages = 2, .stages = {"ear", "desk"}};
    serve->n_pipelines = 1;
    memset(&request, 0, sizeof(request));
    memset(&err, 0, sizeof(err));
    request.serve = serve;
    request.kind = REQUEST_AUDIO;
    request.party.token = SERVE_TOKEN_ANY;
    request.party.prefixes = 9;
    request.params.message.type = FLO_WIRE_GENERATE;
    request.params.message.generate.temperature = 0.5;
    request.params.message.generate.priority = FLO_WIRE_BATCH;
    strcpy(request.params.model, "intercom");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_params_deinit(&request.params);
    flo_buf_deinit(&request.kept.text);
    free(serve);
    return 0;
}

static void a_pipeline_begins_with_its_first_model(void **state)
{
    (void)state;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    assert_string_equal(request.params.model, "ear");
    assert_true(flo_pipeline_goes_on(&request));
}

static void another_name_or_another_kind_is_no_pipeline(void **state)
{
    (void)state;
    strcpy(request.params.model, "ear");
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    assert_null(request.pipeline);
    assert_false(flo_pipeline_goes_on(&request));
    strcpy(request.params.model, "intercom");
    request.kind = REQUEST_CHAT;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    assert_null(request.pipeline);
}

static void a_token_must_be_allowed_for_every_stage(void **state)
{
    (void)state;
    request.party.token = 0;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    request.party.token = 1;
    strcpy(request.params.model, "intercom");
    assert_int_equal(flo_pipeline_begin(&request, &err), FLO_E_INFER_MODEL);
    assert_non_null(strstr(err.what, "stage 1 of intercom"));
    strcpy(serve->places[1].route.tokens[1], "none"); /* the last one, too */
    strcpy(serve->places[0].route.tokens[0], "shop");
    assert_int_equal(flo_pipeline_begin(&request, &err), FLO_E_INFER_MODEL);
    assert_non_null(strstr(err.what, "stage 2 of intercom"));
}

static void an_answer_becomes_the_next_question(void **state)
{
    const struct flo_wire_generate *in = &request.params.message.generate;

    (void)state;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    flo_buf_text(&request.kept.text, " is the door shut?");
    request.tokens_out = 3;
    assert_int_equal(flo_pipeline_next(&request, &err), 0);
    assert_ptr_equal(request.place, &serve->places[1]);
    assert_string_equal(request.params.model, "desk");
    assert_int_equal(in->audio.bytes, 0);
    assert_int_equal(in->n_messages, 1);
    assert_memory_equal(in->messages[0].content.data, " is the door shut?",
                        in->messages[0].content.bytes);
    assert_true(in->temperature == 0.5);
    assert_int_equal(in->client, 9);
    assert_int_equal(in->priority, FLO_WIRE_BATCH);
    assert_int_equal(request.kept.text.bytes, 0);
    assert_int_equal(request.tokens_out, 0);
    assert_false(flo_pipeline_goes_on(&request));
}

static void silence_asks_nobody_anything(void **state)
{
    (void)state;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    flo_buf_text(&request.kept.text, " \n");
    assert_int_equal(flo_pipeline_next(&request, &err), FLO_E_INFER_PARAM);
    flo_pipeline_blame(&request, &err);
    assert_int_equal(err.code, FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "stage 1 of intercom (ear): no word came out of it");
}

static void a_model_that_left_in_between_is_named_by_its_stage(void **state)
{
    (void)state;
    assert_int_equal(flo_pipeline_begin(&request, &err), 0);
    flo_buf_text(&request.kept.text, "a");
    serve->places[1].is_removed = true;
    assert_int_equal(flo_pipeline_next(&request, &err), FLO_E_INFER_MODEL);
    assert_non_null(strstr(err.what, "stage 2 of intercom: model \"desk\""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_pipeline_begins_with_its_first_model),
        TEST(another_name_or_another_kind_is_no_pipeline),
        TEST(a_token_must_be_allowed_for_every_stage),
        TEST(an_answer_becomes_the_next_question),
        TEST(silence_asks_nobody_anything),
        TEST(a_model_that_left_in_between_is_named_by_its_stage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
