/* Reranking: a body becomes texts for scores or for vectors, these become an
 * order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve/front/memory.h"
#include "agent/serve/openai/openai.h"

#define HOW "\"method\":\"embedding\""

static struct flo_serve *serve;
static struct serve_memory memory;
static struct serve_request *request;
static struct flo_err err;

static int set_up(void **state)
{
    (void)state;
    serve = calloc(1, sizeof(*serve));
    memset(&memory, 0, sizeof(memory));
    memset(&err, 0, sizeof(err));
    request = NULL;
    return serve == NULL;
}

static void forget(void)
{
    if (request != NULL) {
        flo_request_free(request);
    }
    request = NULL;
    flo_buf_deinit(&memory.body);
    memset(&memory, 0, sizeof(memory));
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    free(serve);
    return 0;
}

static void ask(const char *body)
{
    const struct serve_question question = {
        .front = &flo_openai_rerank,
        .sink = flo_sink_memory(&memory),
        .party.token = -1,
        .body = {NULL, body, strlen(body)},
    };

    forget();
    request = flo_request_open(serve, &question);
}

static void vector(uint32_t index, float x, float y, size_t count)
{
    const float values[2] = {x, y};
    uint8_t bytes[8];
    struct flo_wire_message frame = {.type = FLO_WIRE_EMBEDDING};

    for (size_t i = 0; i < 2; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        flo_put_u32(bytes + 4 * i, bits);
    }
    frame.embedding.index = index;
    frame.embedding.vector = (struct flo_wire_text){(char *)bytes, 4 * count};
    flo_answer_frame(request, &frame);
}

static void score(uint32_t index, float value)
{
    vector(index, value, 0, 1);
}

static const char *done(void)
{
    const struct flo_wire_done frame = {.tokens_in = 9};

    strcpy(request->model_name, "tiny@1");
    if (flo_answer_done(request, &frame, &err) < 0) {
        flo_answer_fail(request, &err);
    }
    return memory.body.data;
}

static void documents_are_told_by_their_nearness(void **state)
{
    (void)state;
    ask("{\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"},\"c\"]," HOW
        ",\"return_documents\":true,\"pooling\":\"last\"}");
    assert_non_null(request);
    assert_int_equal(request->params.message.embed.n_inputs, 4);
    assert_true(request->params.message.embed.takes_last);
    assert_memory_equal(request->params.message.embed.inputs[2].data.data, "b", 1);
    vector(0, 1, 0, 2);
    vector(1, 0.5f, 0, 2);
    vector(2, 1, 0, 2);
    vector(3, -1, 0, 2);
    const char *text = done();
    assert_int_equal(memory.status, 200);
    assert_non_null(strstr(text, "\"method\":\"embedding\",\"results\":["
                                 "{\"index\":1,\"relevance_score\":1,\"document\":{\"text\":"
                                 "\"b\"}},{\"index\":0,\"relevance_score\":0.5,\"document\":{"
                                 "\"text\":\"a\"}},{\"index\":2,\"relevance_score\":-1,"
                                 "\"document\":{\"text\":\"c\"}}],\"usage\":{\"prompt_tokens\":9,"
                                 "\"total_tokens\":9}}"));
}

static void a_reranker_gives_its_own_scores(void **state)
{
    static const char *const bodies[] = {
        "{\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"},\"c\"],"
        "\"top_n\":2}",
        "{\"query\":\"q\",\"texts\":[\"a\",\"b\",\"c\"],\"top_n\":2,"
        "\"method\":\"rerank\"}",
        "{\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\"],\"texts\":7,"
        "\"top_n\":2,\"method\":null,\"pooling\":null}",
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bodies); i++) {
        ask(bodies[i]);
        assert_non_null(request);
        const struct flo_wire_embed *embed = &request->params.message.embed;
        assert_true(embed->ranks);
        assert_int_equal(embed->n_inputs, 4);
        assert_memory_equal(embed->inputs[0].data.data, "q", 1);
        assert_memory_equal(embed->inputs[2].data.data, "b", 1);
        score(0, 0.25f);
        score(1, 0.5f);
        score(2, 0);
        assert_non_null(strstr(done(), "\"method\":\"rerank\",\"results\":["
                                       "{\"index\":1,\"relevance_score\":0.5},"
                                       "{\"index\":0,\"relevance_score\":0.25}],\"usage\":{"));
    }
}

static void scores_that_are_no_scores_end_the_request(void **state)
{
    static const struct {
        uint32_t index;
        float value;
        size_t count;
    } cases[] = {
        {0, 1, 2}, {2, 1, 1}, {UINT32_MAX, 1, 1}, {0, NAN, 1}, {0, INFINITY, 1},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        ask("{\"query\":\"q\",\"documents\":[\"a\",\"b\"]}");
        vector(cases[i].index, cases[i].value, 0, cases[i].count);
        score(1, 1);
        assert_non_null(strstr(done(), "\"error\""));
        assert_true(memory.status >= 500);
    }
    ask("{\"query\":\"q\",\"documents\":[\"a\",\"b\"]}"); /* one is missing */
    score(0, 1);
    assert_non_null(strstr(done(), "scores of 1 documents, not of 2"));
    assert_true(memory.status >= 500);
}

static void the_best_ones_are_told_where_few_are_wanted(void **state)
{
    (void)state;
    ask("{\"query\":\"q\",\"documents\":[\"a\",\"b\"]," HOW ",\"top_n\":1}");
    vector(0, 0, 1, 2);
    vector(1, 1, 0, 2);
    vector(2, 0, 1, 2);
    assert_non_null(strstr(done(), "[{\"index\":1,\"relevance_score\":1}],\"usage\""));
    /* Equal ones keep their order; more than there are is all. */
    ask("{\"query\":\"q\",\"documents\":[\"a\",\"b\"]," HOW ",\"top_n\":9}");
    vector(0, 1, 0, 2);
    vector(1, 1, 0, 2);
    vector(2, 1, 0, 2);
    assert_non_null(strstr(done(), "[{\"index\":0,\"relevance_score\":1},"
                                   "{\"index\":1,\"relevance_score\":1}]"));
}

static void vectors_of_two_lengths_have_no_order(void **state)
{
    (void)state;
    ask("{\"query\":\"q\",\"documents\":[\"a\"]," HOW "}");
    vector(0, 1, 0, 2);
    vector(1, 1, 0, 1);
    assert_non_null(strstr(done(), "\"error\""));
    assert_true(memory.status >= 500);
}

static void a_wrong_body_names_its_field(void **state)
{
#define D "\"documents\":[\"a\"]"
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"{\"query\":\"q\"," D ",\"method\":\"best\"}",
         "method must be \\\"rerank\\\" or \\\"embedding\\\""},
        {"{\"query\":\"q\"," D ",\"method\":1}", "\"param\":\"method\""},
        {"{\"query\":\"q\"," D ",\"pooling\":\"last\"}",
         "pooling needs \\\"method\\\":\\\"embedding\\\""},
        {"{\"query\":\"\"," D "," HOW "}", "query must be a text"},
        {"{\"query\":[]," D "," HOW "}", "query must be a text"},
        {"{\"query\":\"q\"," HOW "}", "documents must be a list"},
        {"{\"query\":\"q\",\"documents\":[]," HOW "}", "documents has 0 texts, must have 1 to 255"},
        {"{\"query\":\"q\",\"documents\":[\"a\",\"\"]," HOW "}",
         "documents [1] must be a text, or an object with one"},
        {"{\"query\":\"q\",\"documents\":[{\"title\":\"a\"}]," HOW "}", "documents [0] must be"},
        {"{\"query\":\"q\"," D "," HOW ",\"top_n\":0}", "top_n must be a whole number from 1 on"},
        {"{\"query\":\"q\"," D "," HOW ",\"top_n\":\"1\"}", "top_n must be"},
        {"{\"query\":\"q\"," D "," HOW ",\"return_documents\":1}",
         "return_documents must be true or false"},
        {"{\"query\":\"q\"," D "," HOW ",\"pooling\":\"cls\"}", "pooling must be"},
        {"[]", "no JSON object"},
    };
    struct flo_buf many = {0};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        ask(cases[i].body);
        assert_null(request);
        assert_int_equal(memory.status, 400);
        if (strstr(memory.body.data, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].body, memory.body.data);
        }
    }
    for (int i = 0; i < 256; i++) {
        flo_buf_text(&many, i == 0 ? "{\"query\":\"q\"," HOW ",\"documents\":[\"a\"" : ",\"a\"");
    }
    flo_buf_text(&many, "]}");
    ask(many.data);
    assert_null(request);
    assert_non_null(strstr(memory.body.data, "has 256 texts"));
    flo_buf_deinit(&many);
}

static void a_text_that_is_too_long_is_about_the_documents(void **state)
{
    (void)state;
    ask("{\"query\":\"q\",\"documents\":[\"a\"]," HOW "}");
    flo_fail(&err, FLO_E_INFER_TOO_LONG, "input 2 is too long");
    strcpy(request->params.param, "input");
    flo_answer_fail(request, &err);
    assert_non_null(strstr(memory.body.data, "\"param\":\"documents\""));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(documents_are_told_by_their_nearness),
        CASE(a_reranker_gives_its_own_scores),
        CASE(scores_that_are_no_scores_end_the_request),
        CASE(the_best_ones_are_told_where_few_are_wanted),
        CASE(vectors_of_two_lengths_have_no_order),
        CASE(a_wrong_body_names_its_field),
        CASE(a_text_that_is_too_long_is_about_the_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
