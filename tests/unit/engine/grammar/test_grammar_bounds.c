/* Grammars that are short to write and long to read: what bounds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"
#include "engine/token/unicode.h"

static int compile_schema(const char *text, size_t bytes, struct flo_err *err)
{
    struct flo_program *program = NULL;
    int rv = flo_schema_compile(text, bytes, &program, err);

    free(program);
    return rv;
}

/* `count` texts with the number of each for @, between `before` and `after`. */
static void put_many(struct flo_buf *out, const char *before, const char *text, int count,
                     const char *after)
{
    flo_buf_text(out, before);
    for (int i = 0; i < count; i++) {
        const char *number = strchr(text, '@');

        flo_buf_text(out, i > 0 ? "," : "");
        if (number == NULL) {
            flo_buf_text(out, text);
        } else {
            flo_buf_printf(out, "%.*s%d%s", (int)(number - text), text, i, number + 1);
        }
    }
    flo_buf_text(out, after);
}

/* Refused with a text in which `says` is; without one it is taken. */
static void expect_schema(struct flo_buf *schema, const char *says)
{
    struct flo_err err = {0};
    int rv = compile_schema(schema->data, schema->bytes, &err);

    assert_false(schema->failed);
    if (says == NULL ? rv != 0 : rv != FLO_E_INFER_SCHEMA || strstr(err.what, says) == NULL) {
        fail_msg("%d %s, not %s", rv, err.what, says);
    }
    flo_buf_deinit(schema);
}

/* A text that begins with "root" is GBNF. */
static struct flo_matcher *matcher_of(struct flo_buf *text)
{
    static const struct flo_pieces none;
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_err err = {0};
    bool is_gbnf = text->bytes > 4 && memcmp(text->data, "root", 4) == 0;

    if ((is_gbnf ? flo_gbnf_compile : flo_schema_compile)(text->data, text->bytes, &program, &err) <
        0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(flo_matcher_open(program, &none, 64, &matcher, NULL), 0);
    flo_buf_deinit(text);
    return matcher;
}

static void expect_answers(struct flo_buf *text, const char *const *answers)
{
    struct flo_matcher *m = matcher_of(text);

    for (; *answers != NULL; answers++) {
        uint32_t at = flo_matcher_start(m);

        if (!flo_matcher_walk(m, &at, *answers, strlen(*answers)) || !m->states[at].may_end) {
            fail_msg("%s", *answers);
        }
    }
    assert_false(m->is_ambiguous);
    flo_matcher_close(m);
}

static void each_of_many_alternatives_can_be_answered(void **state)
{
    static const char
        *const values[] = {"\"v0\"", "\"v1999\"", NULL},
               *const numbers[] = {"0", "255", NULL}, *const more[] = {"0", "1999", NULL},
               *const words[] = {"w0", "w2999", NULL}, *const optional[] = {"", "b", "qbqb", NULL},
               *const objects[] = {"{}", "{\"n0\": 1}", "{\"n0\": 1, \"n1499\": 2}",
                                   "{\"n1499\": 1}", NULL};
    struct flo_buf text = {0};

    (void)state;
    put_many(&text, "{\"enum\":[", "\"v@\"", 2000, "]}");
    expect_answers(&text, values);
    put_many(&text, "{\"oneOf\":[", "{\"const\":@}", 256, "]}");
    expect_answers(&text, numbers);
    put_many(&text, "{\"anyOf\":[", "{\"const\":@}", 2000, "]}");
    expect_answers(&text, more);
    put_many(&text, "{\"properties\":{", "\"n@\":{\"type\":\"integer\"}", 1500, "}}");
    expect_answers(&text, objects);
    flo_buf_text(&text, "root ::= \"w0\"");
    for (int i = 1; i < 3000; i++) {
        flo_buf_printf(&text, "|\"w%d\"", i);
    }
    expect_answers(&text, words);
    flo_buf_text(&text, "root ::= ((\"q\" | \"b\")?){700}");
    expect_answers(&text, optional);
}

/* Schemas that flo_grammar_open() refuses. */
static void a_beginning_of_too_many_ways_is_told(void **state)
{
    struct flo_buf text = {0};
    struct flo_matcher *m;

    (void)state;
    flo_buf_text(&text, "root ::= a \"0\"");
    for (int i = 1; i < 5000; i++) {
        flo_buf_printf(&text, "|a \"%d\"", i % 10);
    }
    flo_buf_text(&text, "\na ::= \"x\"");
    m = matcher_of(&text);
    (void)flo_matcher_start(m);
    assert_true(m->is_ambiguous);
    flo_matcher_close(m);
}

static void a_class_of_too_many_characters_is_refused(void **state)
{
    (void)state;
    for (uint32_t count = 250; count <= 260; count++) {
        struct flo_buf schema = {0};
        char utf8[4];

        flo_buf_text(&schema, "{\"pattern\":\"^[");
        for (uint32_t i = 0; i < count; i++) {
            flo_buf_add(&schema, utf8, flo_utf8_put(0x100 + 2 * i, utf8));
        }
        flo_buf_text(&schema, "]$\"}");
        expect_schema(&schema, count <= 252 ? NULL : "schema /pattern: only");
    }
}

static void parts_of_parts_are_counted_before_they_are_merged(void **state)
{
    struct flo_buf schema = {0};

    (void)state;
    flo_buf_text(&schema, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 6; i++) {
        char part[64];

        snprintf(part, sizeof(part), "{\"$ref\":\"#/$defs/d%d\"}", i + 1);
        flo_buf_printf(&schema, "\"d%d\":{\"allOf\":", i);
        put_many(&schema, "[", part, 8, "]},");
    }
    flo_buf_text(&schema, "\"d6\":{\"type\":\"object\"}}}");
    expect_schema(&schema, "schema /allOf: more than 4096 parts");
}

static void a_list_that_would_take_long_is_refused_with_its_length(void **state)
{
    static const char one[] = "{\"const\":@}", *name = "\"n@\"";
    struct flo_buf schema = {0};

    (void)state;
    put_many(&schema, "{\"oneOf\":[", one, 256, "]}");
    expect_schema(&schema, NULL);
    put_many(&schema, "{\"oneOf\":[", one, 257, "]}");
    expect_schema(&schema, "schema /oneOf: 257 alternatives, at most 256");
    put_many(&schema, "{\"anyOf\":[", one, 1000, "]}");
    expect_schema(&schema, NULL);
    put_many(&schema, "{\"required\":[", name, 4097, "]}");
    expect_schema(&schema, "schema /required: 4097 names, at most 4096");
    put_many(&schema, "{\"properties\":{", "\"n@\":true", 4097, "}}");
    expect_schema(&schema, "schema /properties: 4097 members, at most 4096");
}

/* Schemas that a reader walks through many times over. */
static void a_schema_is_read_in_a_bounded_number_of_steps(void **state)
{
    static const char says[] = "takes more than 33554432 steps to read";
    struct flo_buf schema = {0};

    (void)state;
    /* A long way through the names for each of many references. */
    put_many(&schema, "{\"$defs\":{", "\"n@\":0", 12000, ",\"d0\":");
    for (int i = 1; i <= 20; i++) {
        flo_buf_printf(&schema, "{\"$ref\":\"#/$defs/d%d\"},\"d%d\":", i, i);
    }
    put_many(&schema, "{\"const\":1}},\"anyOf\":[", "{\"$ref\":\"#/$defs/d0\"}", 2000, "]}");
    expect_schema(&schema, says);
    /* One list of types, of values, of what means nothing, for many. */
    put_many(&schema, "{\"$defs\":{\"d\":{\"type\":[", "\"null\"", 20000, "]}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    put_many(&schema, "{\"$defs\":{\"d\":{\"const\":1,\"enum\":[", "0", 24000, ",1]}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    put_many(&schema, "{\"$defs\":{\"d\":{", "\"x-@\":0", 10000, ",\"const\":1}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    /* Two objects, each name of one looked for in the other. */
    put_many(&schema, "{\"allOf\":[{\"properties\":{", "\"a@\":0", 9000, "}},");
    put_many(&schema, "{\"properties\":{", "\"b@\":0", 9000, "}}]}");
    expect_schema(&schema, says);
    /* The same object again and again. */
    put_many(&schema, "{\"$defs\":{\"d\":{\"properties\":{", "\"a@\":0", 20000, "}}},");
    put_many(&schema, "\"allOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
}

static void a_schema_of_too_many_values_is_refused(void **state)
{
    struct flo_buf schema = {0};

    (void)state;
    put_many(&schema, "{\"default\":[", "0", 32766, "]}");
    expect_schema(&schema, NULL);
    put_many(&schema, "{\"default\":[", "0", 32767, "]}");
    expect_schema(&schema, "schema: 32769 values, at most 32768");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_many_alternatives_can_be_answered),
        cmocka_unit_test(a_beginning_of_too_many_ways_is_told),
        cmocka_unit_test(a_class_of_too_many_characters_is_refused),
        cmocka_unit_test(parts_of_parts_are_counted_before_they_are_merged),
        cmocka_unit_test(a_list_that_would_take_long_is_refused_with_its_length),
        cmocka_unit_test(a_schema_is_read_in_a_bounded_number_of_steps),
        cmocka_unit_test(a_schema_of_too_many_values_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
