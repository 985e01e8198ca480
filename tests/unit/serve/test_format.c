/* The form of an answer: what of a request reaches the engine, and how a wrong
 * one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>
#include <flotilla/grammar.h>

#include "agent/serve/params/format.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

#define WITH(fields) "{\"prompt\":[1,2]," fields "}"
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"z\":{},\"a\":{}}}"

static void forms_reach_the_engine_in_their_own_order(void **state)
{
    static const struct {
        const char *body;
        enum flo_grammar_kind kind;
        const char *text;
    } rows[] = {
        {WITH("\"response_format\":{\"type\":\"text\"}"), FLO_GRAMMAR_NONE, ""},
        {WITH("\"response_format\":null,\"grammar\":null"), FLO_GRAMMAR_NONE, ""},
        {WITH("\"response_format\":{\"type\":\"json_object\"}"), FLO_GRAMMAR_JSON, ""},
        {WITH("\"response_format\":{\"type\":\"json_object\",\"schema\":" SCHEMA "}"),
         FLO_GRAMMAR_SCHEMA, SCHEMA},
        {WITH("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
              "{\"name\":\"n\",\"strict\":true,\"schema\":" SCHEMA "}}"),
         FLO_GRAMMAR_SCHEMA, SCHEMA},
        {WITH("\"json_schema\":" SCHEMA), FLO_GRAMMAR_SCHEMA, SCHEMA},
        {WITH("\"grammar\":\"root ::= [a]\""), FLO_GRAMMAR_GBNF, "root ::= [a]"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct serve_params params;
        struct flo_err err = {0};
        if (flo_params_read(REQUEST_TEXT, rows[i].body, strlen(rows[i].body), &params, &err) < 0) {
            fail_msg("%s: %s", rows[i].body, err.what);
        }
        const struct flo_wire_generate *g = &params.message.generate;
        assert_int_equal(g->grammar_kind, rows[i].kind);
        assert_int_equal(g->grammar.bytes, strlen(rows[i].text));
        if (g->grammar.bytes > 0) {
            assert_memory_equal(g->grammar.data, rows[i].text, g->grammar.bytes);
        }
        assert_int_equal(g->tokens.bytes, 8);
        assert_int_equal(flo_get_u32(g->tokens.data + 4), 2);
        flo_params_deinit(&params);
    }
}

static void numbers_of_a_form_are_answered_as_they_were_written(void **state)
{
    static const char body[] = WITH("\"json_schema\":{\"enum\":[0.1,1e23,0.30000000000000004,1.0,"
                                    "[-2.7],12345678901234567]}");
    static const char *const answers[] = {"0.1", "1e+23",  "0.30000000000000004",
                                          "1.0", "[-2.7]", "12345678901234567"};
    static const struct flo_pieces none;
    struct serve_params params;
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_wire_text schema;
    (void)state;
    assert_int_equal(flo_params_read(REQUEST_TEXT, body, strlen(body), &params, NULL), 0);
    schema = params.message.generate.grammar;
    assert_int_equal(flo_schema_compile(schema.data, schema.bytes, &program, NULL), 0);
    assert_int_equal(flo_matcher_open(program, &none, 64, &matcher, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(answers); i++) {
        uint32_t at = flo_matcher_start(matcher);
        if (!flo_matcher_walk(matcher, &at, answers[i], strlen(answers[i])) ||
            !matcher->states[at].may_end) {
            fail_msg("%s of %.*s", answers[i], (int)schema.bytes, schema.data);
        }
    }
    flo_matcher_close(matcher);
    flo_params_deinit(&params);
}

static void wrong_forms_name_their_parameter(void **state)
{
    static const struct {
        const char *body, *param, *says;
    } rows[] = {
        {WITH("\"response_format\":\"json\""), "response_format", "a type"},
        {WITH("\"response_format\":{\"type\":\"xml\"}"), "response_format",
         "json_object or json_schema"},
        {WITH("\"response_format\":{\"type\":\"json_schema\"}"), "response_format", "no schema"},
        {WITH("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
              "{\"schema\":[]}}"),
         "response_format", "no schema"},
        {WITH("\"grammar\":\"\""), "grammar", "GBNF"},
        {WITH("\"grammar\":7"), "grammar", "GBNF"},
        {WITH("\"json_schema\":7"), "json_schema", "no schema"},
        {WITH("\"grammar\":\"x\",\"response_format\":{\"type\":"
              "\"json_object\"}"),
         "grammar", "beside another"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct serve_params params;
        struct flo_err err = {0};
        assert_int_equal(
            flo_params_read(REQUEST_TEXT, rows[i].body, strlen(rows[i].body), &params, &err),
            FLO_E_INFER_PARAM);
        assert_string_equal(params.param, rows[i].param);
        if (strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].body, err.what);
        }
    }
}

static void the_engines_refusal_is_about_the_form(void **state)
{
    static const char body[] = WITH("\"response_format\":{\"type\":\"json_object\"}");
    static const char *const about_it[] = {
        "schema /type: 'x' is no type",
        "grammar: 300000 bytes, at most 262144 are read",
        "grammar: allows no token of this model here",
        "grammar: too many readings here",
    };
    struct serve_params params;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_params_read(REQUEST_TEXT, body, strlen(body), &params, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(about_it); i++) {
        flo_fail(&err, FLO_E_INFER_SCHEMA, "%s", about_it[i]);
        assert_string_equal(flo_format_param(&params, &err), "response_format");
    }
    flo_fail(&err, FLO_E_INFER_PARAM, "schema: top_k is 9");
    assert_null(flo_format_param(&params, &err));
    flo_fail(&err, FLO_E_INFER_BUSY, "schema");
    assert_null(flo_format_param(&params, &err));
    flo_params_deinit(&params);
}

static void the_engines_refusal_is_about_the_tools(void **state)
{
#define FUNCTION "{\"name\":\"f\",\"parameters\":{}}"
    static const struct {
        const char *body, *param;
    } rows[] = {
        {"\"tools\":[{\"type\":\"function\",\"function\":" FUNCTION "}]", "tools"},
        {"\"functions\":[" FUNCTION "]", "functions"},
    };
    struct serve_params params;
    struct flo_err err = {0};
    char body[512];
    (void)state;
    flo_fail(&err, FLO_E_INFER_SCHEMA, "schema /tools/f/x: is not supported");
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],%s}",
                 rows[i].body);
        assert_int_equal(flo_params_read(REQUEST_CHAT, body, strlen(body), &params, NULL), 0);
        assert_string_equal(flo_params_param(&params, &err), rows[i].param);
        flo_params_deinit(&params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_reach_the_engine_in_their_own_order),
        cmocka_unit_test(numbers_of_a_form_are_answered_as_they_were_written),
        cmocka_unit_test(wrong_forms_name_their_parameter),
        cmocka_unit_test(the_engines_refusal_is_about_the_form),
        cmocka_unit_test(the_engines_refusal_is_about_the_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
