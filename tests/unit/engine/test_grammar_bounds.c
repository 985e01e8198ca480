/* Grammars that are short to write and long to read: what bounds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/grammar/grammar.h"
#include "engine/token/unicode.h"

static int compile_schema(const char *text, size_t bytes, struct flo_err *err)
{
    struct flo_program *program = NULL;
    int rv = flo_schema_compile(text, bytes, &program, err);

    free(program);
    return rv;
}

/* `count` texts with the number of each for @, between `before` and `after`. */
static void put_many(struct flo_buf *out, const char *before, const char *text,
                     int count, const char *after)
{
    flo_buf_text(out, before);
    for (int i = 0; i < count; i++) {
        const char *number = strchr(text, '@');

        flo_buf_text(out, i > 0 ? "," : "");
        if (number == NULL) {
            flo_buf_text(out, text);
        } else {
            flo_buf_printf(out, "%.*s%d%s", (int)(number - text), text, i,
                           number + 1);
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
    if (says == NULL
            ? rv != 0
            : rv != FLO_E_INFER_PARAM || strstr(err.what, says) == NULL) {
        fail_msg("%d %s, not %s", rv, err.what, says);
    }
    flo_buf_deinit(schema);
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

/* What a schema makes a reader walk through, many times over. */
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
    put_many(&schema, "{\"const\":1}},\"anyOf\":[", "{\"$ref\":\"#/$defs/d0\"}",
             2000, "]}");
    expect_schema(&schema, says);
    /* One list of types, of values, of what means nothing, for many. */
    put_many(&schema, "{\"$defs\":{\"d\":{\"type\":[", "\"null\"", 20000,
             "]}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    put_many(&schema, "{\"$defs\":{\"d\":{\"const\":1,\"enum\":[", "0", 24000,
             ",1]}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    put_many(&schema, "{\"$defs\":{\"d\":{", "\"x-@\":0", 10000,
             ",\"const\":1}},");
    put_many(&schema, "\"anyOf\":[", "{\"$ref\":\"#/$defs/d\"}", 2000, "]}");
    expect_schema(&schema, says);
    /* Two objects, each name of one looked for in the other. */
    put_many(&schema, "{\"allOf\":[{\"properties\":{", "\"a@\":0", 9000, "}},");
    put_many(&schema, "{\"properties\":{", "\"b@\":0", 9000, "}}]}");
    expect_schema(&schema, says);
    /* The same object again and again. */
    put_many(&schema, "{\"$defs\":{\"d\":{\"properties\":{", "\"a@\":0", 20000,
             "}}},");
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
        cmocka_unit_test(a_class_of_too_many_characters_is_refused),
        cmocka_unit_test(parts_of_parts_are_counted_before_they_are_merged),
        cmocka_unit_test(
            a_list_that_would_take_long_is_refused_with_its_length),
        cmocka_unit_test(a_schema_is_read_in_a_bounded_number_of_steps),
        cmocka_unit_test(a_schema_of_too_many_values_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
