/* Forms of answers: what fits which schema, and how a fault is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/form/form.h"

/* An answer, and the end of the error (NULL: it fits). */
struct row {
    const char *schema, *answer, *says;
};

static void a_schema_that_cannot_be_checked_is_refused_with_its_pointer(void **state)
{
    static const struct row rows[] = {
        {"{\"properties\":{\"age\":{\"multipleOf\":2}}}", NULL,
         "schema /properties/age/multipleOf: is not supported"},
        {"{\"items\":{\"not\":{}}}", NULL, "schema /items/not: is not supported"},
        {"{\"anyOf\":[true,{\"if\":{}}]}", NULL, "schema /anyOf/1/if: is not supported"},
        {"{\"type\":\"text\"}", NULL, "schema /type: is no type"},
        {"{\"type\":[]}", NULL, "schema /type: is no type"},
        {"{\"enum\":[]}", NULL, "schema /enum: must be a list of values"},
        {"{\"allOf\":{}}", NULL, "schema /allOf: must be a list of schemas"},
        {"{\"items\":[{}]}", NULL, "schema /items: must have a schema here"},
        {"{\"required\":[1]}", NULL, "schema /required: must be a list of names"},
        {"{\"properties\":[]}", NULL, "schema /properties: must be an object"},
        {"{\"minLength\":-1}", NULL,
         "schema /minLength: must be a whole number of at most 16 digits"},
        {"{\"minimum\":\"1\"}", NULL, "schema /minimum: must be a number"},
        {"{\"uniqueItems\":1}", NULL, "schema /uniqueItems: must be true or false"},
        {"{\"pattern\":\"(?=a)\"}", NULL,
         "schema /pattern: only literals, classes, groups, | and * + ? {} are built"},
        {"{\"pattern\":\"a^b\"}", NULL,
         "schema /pattern: only literals, classes, groups, | and * + ? {} are built"},
        {"{\"format\":\"uri\"}", NULL, "schema /format: is a format that is not supported"},
        {"{\"$ref\":\"#/$defs/a\"}", NULL, "schema /$ref: is not in this schema"},
        {"{\"$ref\":\"other.json\"}", NULL, "schema /$ref: is not in this schema"},
        {"{\"$ref\":\"#\"}", NULL, "schema /: leads back to itself, or to more than 64 schemas"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"allOf\":[{\"$ref\":\"#\"}]}]}", NULL,
         "schema /: leads back to itself, or to more than 64 schemas"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"not\":true}}}", NULL,
         "schema /$ref/not: is not supported"},
        {"{\"$defs\":{\"a\":{\"not\":true}}}", NULL, NULL},
        {"{\"properties\":{\"a\":true,\"a\":false}}", NULL, "schema: two members are called 'a'"},
        {"{\"type\":\"\\u0000\"}", NULL, "schema: a text with U+0000 or half of a surrogate pair"},
        {"7", NULL, "schema /: must be a schema"},
        {"{", NULL, "schema: no JSON at byte 1, or more than 64 levels"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        int rv = flo_form_accept(rows[i].schema, strlen(rows[i].schema), &err);
        if (rows[i].says == NULL
                ? rv != 0
                : rv != FLO_E_INFER_SCHEMA || strcmp(err.what, rows[i].says) != 0) {
            fail_msg("%s: %d %s", rows[i].schema, rv, err.what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_that_cannot_be_checked_is_refused_with_its_pointer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
