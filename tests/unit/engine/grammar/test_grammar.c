/* Grammars as texts: what a GBNF grammar or a schema takes and what not, and
 * how a bad one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/form/form.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

enum { N_VOCAB = 64, TEXTS = 12 };

typedef int compile_fn(const char *text, size_t bytes, struct flo_program **program,
                       struct flo_err *err);

static struct flo_matcher *compile_as(compile_fn *compiler, const char *text)
{
    static const struct flo_pieces none;
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_err err = {0};

    if (compiler(text, text == NULL ? 0 : strlen(text), &program, &err) < 0) {
        fail_msg("%s\n%s", err.what, text);
    }
    assert_int_equal(flo_matcher_open(program, &none, N_VOCAB, &matcher, NULL), 0);
    return matcher;
}

static struct flo_matcher *compile(const char *gbnf)
{
    return compile_as(flo_gbnf_compile, gbnf);
}

static bool takes(struct flo_matcher *matcher, const char *text)
{
    uint32_t state = flo_matcher_start(matcher);

    return flo_matcher_walk(matcher, &state, text, strlen(text)) && matcher->states[state].may_end;
}

/* The check of a runtime's answers lets pass all that a grammar takes. */
static void expect_form(const char *schema, const char *text)
{
    size_t bytes = schema == NULL ? 0 : strlen(schema);
    struct flo_err err = {0};

    if ((schema != NULL && flo_form_accept(schema, bytes, &err) < 0) ||
        flo_form_check(schema, bytes, text, strlen(text), &err) < 0) {
        fail_msg("%s\nof\n%s: %s", text, schema, err.what);
    }
}

/* Texts that begin with '!' must not be taken. */
static void expect(compile_fn *compiler, const char *of, const char *const texts[TEXTS])
{
    struct flo_matcher *matcher = compile_as(compiler, of);

    for (size_t i = 0; i < TEXTS && texts[i] != NULL; i++) {
        bool is_bad = texts[i][0] == '!';
        if (takes(matcher, texts[i] + is_bad) == is_bad) {
            fail_msg("%s\nof\n%s", texts[i], of);
        }
        if (!is_bad && compiler == flo_schema_compile) {
            expect_form(of, texts[i]);
        }
    }
    flo_matcher_close(matcher);
}

static void gbnf_texts_take_what_they_say(void **state)
{
    static const struct {
        const char *gbnf, *texts[TEXTS];
    } rows[] = {
        {"root ::= \"yes\" | \"no\"", {"yes", "no", "!", "!y", "!yesno"}},
        {"root ::= [a-c]+ [^a-c] # to the end\n",
         {"abcx", "a\xc3\xa9", "!abc", "!x", "!ax!", "!a\xc3"}},
        {"root ::= \"a\"{2,3} (\"b\" | \"c\")? rest*\nrest ::= \"-\" [0-9]",
         {"aa", "aaa", "aab", "aaac-1-2", "!a", "!aaaa", "!aabc", "!aa-"}},
        {"root ::= \"x\"{2} | \"y\"{2,} | \"z\"{0,1}",
         {"xx", "yy", "yyyyy", "", "z", "!x", "!xxx", "!y", "!zz"}},
        {"root ::= . \"\\\"\\\\\\n\\x41\\u00e9\\U0001F600\"",
         {"q\"\\\nA\xc3\xa9\xf0\x9f\x98\x80",
          "\xe2\x82\xac\"\\\nA\xc3\xa9"
          "\xf0\x9f\x98\x80",
          "!\"\\\nA"}},
        {"root ::= (\n  \"a\"\n  |\n  \"b\"\n)\n  \n# end", {"a", "b", "!ab"}},
        {"root ::= item (\",\" item)* |\n  \"none\"\nitem ::= [\\]\\[\\-]",
         {"]", "[,-", "none", "!,", "!],"}},
        {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))", "!(()"}},
        {"root ::= list\nlist ::= \"a\" list | \"a\"",
         {"a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "!", "!b"}},
        {"root ::= (\"a\"* \"b\"?)*", {"", "a", "abba", "!c"}},
        {"root ::= [\\u00e0-\\u07ff\\u3000-\\U0001F600]",
         {"\xc3\xa0", "\xdf\xbf", "\xe4\xb8\x80", "\xf0\x9f\x98\x80", "!a", "!\xf0\x9f\x98\x81",
          "!\xed\xa0\x80"}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(flo_gbnf_compile, rows[i].gbnf, rows[i].texts);
    }
}

static void a_bad_gbnf_text_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *gbnf, *says;
    } rows[] = {
        {"", "no rule 'root'"},
        {"a ::= \"x\"", "no rule 'root'"},
        {"root ::= other", "'other' is called, but not there"},
        {"root ::= root \"a\" | \"b\"", "'root' is left recursive"},
        {"root ::= \"x\" | a\na ::= \"\" b\nb ::= \"y\"? a", "left recursive"},
        {"root ::= \"abc", "line 1: a literal or class does not end"},
        {"root ::= \"x\"\nroot ::= \"y\"", "line 2: the rule is there already"},
        {"root ::= (\"x\"", "a group does not end"},
        {"root ::= \"x\")", "closes no group"},
        {"root ::= [z-a]", "upside down"},
        {"root ::= \"\\q\"", "not known"},
        {"root ::= \"\\ud800\"", "no character"},
        {"root ::= \"x\"{3,1}", "{m,n}"},
        {"root ::= \"x\"{99999}", "at most 16384"},
        {"root ::= ((\"x\"{9000}) \"y\"){9000}", NULL},
        {"root ::= (\"x\" \"y\"){16000} (\"z\"){0,16384} \"a\"{0,16384} "
         "\"b\"{0,16384}",
         "more than 32768 nodes"},
        {"root = \"x\"", "::= is missing"},
        {"root ::= *", "no literal, class, rule or group"},
        {"root ::= \"\xff\"", "not UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_program *program = NULL;
        struct flo_err err = {0};
        int rv = flo_gbnf_compile(rows[i].gbnf, strlen(rows[i].gbnf), &program, &err);

        if (rows[i].says == NULL) {
            assert_int_equal(rv, 0);
        } else if (rv != FLO_E_INFER_SCHEMA || strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].gbnf, err.what);
        }
        free(program);
    }
}

/* Also in one rule, where the first that is too many does not end reading. */
static void more_names_than_there_may_be_are_refused(void **state)
{
    struct flo_program *program = NULL;
    struct flo_buf text = {0};
    struct flo_err err = {0};

    (void)state;
    flo_buf_text(&text, "root ::=");
    for (int i = 0; i < 40000; i++) {
        flo_buf_printf(&text, " n%d", i);
    }
    assert_int_equal(flo_gbnf_compile(text.data, text.bytes, &program, &err), FLO_E_INFER_SCHEMA);
    assert_non_null(strstr(err.what, "16384 rules"));
    flo_buf_deinit(&text);
}

static void each_type_of_a_schema_takes_its_values(void **state)
{
    static const struct {
        const char *schema, *texts[TEXTS];
    } rows[] = {
        {"{\"type\":\"string\"}",
         {"\"\"", "\"h\xc3\xa9 \\n\\\"\"", "!\"", "!x", "!\"\n\"", "!\"\\q\""}},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
         {"\"ab\"", "\"a\xc3\xa9z\"", "\"\\n\\t\"", "!\"a\"", "!\"abcd\""}},
        {"{\"type\":\"integer\"}", {"0", "-7", "1234567890123456", "!01", "!1.5", "!-", "!"}},
        {"{\"type\":\"integer\",\"minimum\":-15,\"maximum\":207}",
         {"-15", "-1", "0", "9", "10", "199", "207", "!208", "!-16", "!300", "!1000"}},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":9}", {"10", "99999", "!9", "!-3", "!0"}},
        {"{\"type\":\"number\"}", {"0", "-1.5", "2e10", "3.25E-7", "!.5", "!1.", "!+1", "!01"}},
        {"{\"type\":\"number\",\"minimum\":-1,\"exclusiveMaximum\":2}",
         {"-1", "-0.5", "0", "0.25", "1.99", "1", "!2", "!-1.5", "!2.5", "!-2"}},
        {"{\"type\":[\"boolean\",\"null\"]}", {"true", "false", "null", "!0", "!tru"}},
        {"{\"enum\":[\"red\",\"a \\\"b\\\"\",3,null,[1,{\"x\":2}]]}",
         {"\"red\"", "\"a \\\"b\\\"\"", "3", "null", "[1, {\"x\": 2}]", "!\"blue\"", "!33"}},
        {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\"", "!1"}},
        {"{\"const\":\"only\"}", {"\"only\"", "!\"other\""}},
        {"{\"const\":\"a\",\"enum\":[\"b\",\"a\"]}", {"\"a\"", "!\"b\""}},
        {"{\"type\":\"string\",\"format\":\"date\"}",
         {"\"2024-02-28\"", "\"1999-12-31\"", "!\"2024-02-30\"", "!\"2024-13-01\"",
          "!\"2024-1-1\""}},
        {"{\"type\":\"string\",\"format\":\"date-time\"}",
         {"\"2024-02-28T23:59:59Z\"", "\"2024-06-30T01:02:03.5+02:00\"", "!\"2024-02-28\"",
          "!\"2024-02-28T24:00:00Z\""}},
        {"{\"type\":\"string\",\"format\":\"time\"}", {"\"10:20:30Z\"", "!\"10:20\""}},
        {"{\"type\":\"string\",\"format\":\"uuid\"}",
         {"\"123e4567-e89b-12d3-a456-426614174000\"", "!\"123e4567\""}},
        {"{\"type\":\"string\",\"pattern\":\"^[A-Z]{2,3}-\\\\d+(\\\\.x)?$\"}",
         {"\"AB-1\"", "\"ABC-42.x\"", "!\"A-1\"", "!\"AB-\"", "!\"AB-1.y\""}},
        {"{\"type\":\"string\",\"pattern\":\"b[^a-z]|\\\"\"}",
         {"\"b1\"", "\"aab!cc\"", "\"x\\\"y\"", "!\"ba\"", "!\"\""}},
        {"{\"pattern\":\"^(\\\\S|[^\\\\s\\\\d]x)$\"}",
         {"\"a\"", "\"\u00e9\"", "\"ax\"", "!\"\u00a0\"", "!\"\u2009\"", "!\"\u3000x\"",
          "!\"\ufeff\"", "!\"1x\"", "!\" \""}},
        {"{\"pattern\":\"^.\\\\s$\"}", {"\"a \"", "\"\u00a0\u00a0\"", "!\"\u2028 \"", "!\"ab\""}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,"
         "\"maxItems\":3}",
         {"[1]", "[1, 2, 3]", "![]", "![1,2]", "![1, 2, 3, 4]", "![1, \"a\"]"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},"
         "{\"type\":\"string\"}],\"items\":false,\"minItems\":1}",
         {"[1]", "[1, \"a\"]", "![]", "![\"a\"]", "![1, \"a\", 2]"}},
        {"{\"type\":\"array\",\"maxItems\":0}", {"[]", "![1]"}},
        {"{\"type\":\"array\"}", {"[]", "[1, \"a\", {}, [null]]", "![1,]"}},
        {"true", {"1", "{\"a\": [true]}", "\"x\"", "!x"}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(flo_schema_compile, rows[i].schema, rows[i].texts);
    }
}

static void objects_keep_order_and_what_is_required(void **state)
{
    static const struct {
        const char *schema, *texts[TEXTS];
    } rows[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
         "\"b\":{\"type\":\"boolean\"},\"c\":{\"type\":\"null\"}},"
         "\"required\":[\"b\"],\"additionalProperties\":false}",
         {"{\"a\": 1, \"b\": true, \"c\": null}", "{\"b\": true}", "{\"a\": 1, \"b\": false}",
          "{\"b\": true, \"c\": null}", "!{}", "!{\"a\": 1}", "!{\"b\": true, \"a\": 1}",
          "!{\"b\": true, \"d\": 1}"}},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{}}}",
         {"{}", "{\"a\": 1}", "{\"b\": [1]}", "{\"a\": 1, \"b\": {}}", "!{\"c\": 1}",
          "!{, \"a\": 1}"}},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}"
         "}",
         {"{}", "{\"x\": 1}", "{\"x\": 1, \"\": 2}", "!{\"x\": \"a\"}"}},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"},"
         "\"ac\":{\"type\":\"integer\"}},\"additionalProperties\":"
         "{\"type\":\"string\"}}",
         {"{\"ab\": 1}", "{\"a\": \"x\"}", "{\"abc\": \"x\", \"z\": \"\"}",
          "{\"ab\": 1, \"ac\": 2, \"ad\": \"\"}", "!{\"ab\": \"x\"}", "!{\"x\": 1}",
          "!{\"ac\": \"\"}"}},
        {"{\"type\":\"object\",\"required\":[\"x\"]}",
         {"{\"x\": 1}", "{\"x\": [], \"y\": 1}", "!{}", "!{\"y\": 1}"}},
        {"{\"type\":\"object\",\"properties\":{}}", {"{}", "!{\"a\": 1}"}},
        {"{\"type\":\"object\",\"required\":[\"a\\\"b\",\"a\"]}",
         {"{\"a\\\"b\": 1, \"a\": 2}", "{\"a\\\"b\": 1, \"a\": 2, \"ab\": 3}",
          "!{\"a\\\"b\": 1, \"a\": 2, \"a\": 3}", "!{\"a\\\"b\": 1, \"a\": 2, \"a\\\"b\": 3}"}},
        {"{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\","
         "\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"anyOf\":"
         "[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
         "\"required\":[\"v\",\"next\"]}}}",
         {"{\"v\": 1, \"next\": null}", "{\"v\": 1, \"next\": {\"v\": 2, \"next\": null}}",
          "!{\"v\": 1, \"next\": 2}", "!{\"v\": 1}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},"
         "\"required\":[\"a\"]},{\"$ref\":\"#/definitions/b\"}],"
         "\"definitions\":{\"b\":{\"type\":\"object\",\"properties\":"
         "{\"b\":{\"const\":1}},\"required\":[\"b\"]}}}",
         {"{\"a\": 5, \"b\": 1}", "!{\"a\": 5}", "!{\"b\": 1}"}},
        {"{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}},"
         "\"required\":[\"k\"],\"anyOf\":[{\"properties\":{\"k\":{\"const\":"
         "\"x\"}}},{\"properties\":{\"k\":{\"maxLength\":1}}}]}",
         {"{\"k\": \"a\"}", "!{\"k\": \"xy\"}", "!{}"}},
        {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"t\":{\"const\":"
         "\"a\"}},\"required\":[\"t\"]},{\"type\":\"object\",\"properties\":"
         "{\"t\":{\"const\":\"b\"}},\"required\":[\"t\"]},{\"type\":\"null\"}]"
         "}",
         {"{\"t\": \"a\"}", "{\"t\": \"b\"}", "null", "!{\"t\": \"c\"}"}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(flo_schema_compile, rows[i].schema, rows[i].texts);
    }
}

static void objects_have_as_many_members_as_they_may(void **state)
{
#define ABC                                                                                        \
    "\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"                                \
    "\"integer\"},\"c\":{\"type\":\"integer\"}}"
    static const struct {
        const char *schema, *texts[TEXTS];
    } rows[] = {
        {"{\"type\":\"object\"," ABC ",\"minProperties\":2}",
         {"{\"a\": 1, \"b\": 2}", "{\"a\": 1, \"c\": 2}", "{\"b\": 1, \"c\": 2}",
          "{\"a\": 1, \"b\": 2, \"c\": 3}", "!{\"c\": 1}", "!{\"a\": 1}", "!{}"}},
        {"{" ABC ",\"maxProperties\":1}",
         {"{}", "{\"b\": 2}", "{\"c\": 3}", "!{\"a\": 1, \"b\": 2}"}},
        {"{" ABC ",\"maxProperties\":2,\"required\":[\"c\"]}",
         {"{\"c\": 3}", "{\"a\": 1, \"c\": 3}", "{\"b\": 1, \"c\": 3}", "!{\"a\": 1, \"b\": 2",
          "!{}"}},
        {"{" ABC ",\"minProperties\":3,\"maxProperties\":3}",
         {"{\"a\": 1, \"b\": 2, \"c\": 3}", "!{\"a\": 1, \"c\": 3}"}},
        {"{\"type\":\"object\",\"maxProperties\":0}", {"{}", "!{\"a\": 1}"}},
        {"{\"additionalProperties\":{\"type\":\"integer\"},"
         "\"minProperties\":1,\"maxProperties\":2}",
         {"{\"x\": 1}", "{\"x\": 1, \"y\": 2}", "!{}", "!{\"x\": 1, \"y\": 2, \"z\": 3}"}},
        {"{" ABC ",\"additionalProperties\":{\"type\":\"integer\"},"
         "\"minProperties\":2,\"required\":[\"b\"]}",
         {"{\"b\": 1, \"x\": 2}", "{\"a\": 1, \"b\": 2}",
          "{\"b\": 1, \"x\": 2, \"y\": 3, \"z\": 4}", "!{\"b\": 1}", "!{\"a\": 1, \"x\": 2}",
          "!{\"b\": 1, \"a\": 2}"}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(flo_schema_compile, rows[i].schema, rows[i].texts);
    }
}

static void elements_of_an_array_differ_where_they_must(void **state)
{
    static const struct {
        const char *schema, *texts[TEXTS];
    } rows[] = {
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":"
         "[\"a\",\"b\",1,1.0,\"a\",true],\"type\":[\"string\",\"integer\"]}}",
         {"[]", "[1]", "[\"b\", \"a\"]", "[1, \"a\", \"b\"]", "![\"a\", \"a\"]", "![1, \"a\", 1]",
          "![1, \"a\", \"b\", 1]"}},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":2,"
         "\"maxItems\":2,\"items\":{\"$ref\":\"#/$defs/e\"},\"$defs\":"
         "{\"e\":{\"enum\":[\"a\",\"b\",\"c\"]}}}",
         {"[\"a\", \"c\"]", "[\"c\", \"b\"]", "![\"a\"]", "![]", "![\"a\", \"b\", \"c\"]",
          "![\"b\", \"b\"]"}},
        {"{\"type\":\"array\",\"uniqueItems\":false,\"items\":{\"enum\":"
         "[1]},\"maxItems\":2}",
         {"[1, 1]", "[]"}},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"maxItems\":1}", {"[]", "[7]", "![7, 8]"}},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        expect(flo_schema_compile, rows[i].schema, rows[i].texts);
    }
}

static void any_object_takes_json_with_blanks(void **state)
{
    static const char *const texts[TEXTS] = {"{}",
                                             "{\"a\":1}",
                                             "{\n  \"a\": [1, {\"b\": null}]\n}",
                                             "!",
                                             "![]",
                                             "!{\"a\"}",
                                             "!{\"a\":1,}",
                                             "!{\"a\":1} {}",
                                             "!{a:1}",
                                             "!{\"a\":1",
                                             "!{\"a\":\"\\u\"}"};

    (void)state;
    expect(flo_schema_compile, NULL, texts);
}

static void a_bad_schema_is_refused_with_its_pointer(void **state)
{
    static const struct {
        const char *schema, *says;
    } rows[] = {
        {"", "no JSON at byte 0"},
        {"{\"type\":}", "no JSON at byte 8"},
        {"{} x", "no JSON at byte 3"},
        {"{\"type\":\"\xff\"}", "no JSON at byte 9"},
        {"{\"const\":\"\\u0000\"}", "schema: a text with U+0000"},
        {"{\"const\":{\"\\udc00\":1}}", "half of a surrogate pair"},
        {"[]", "schema /: no schema"},
        {"false", "schema /: no schema"},
        {"{\"type\":\"text\"}", "schema /type: 'text' is no type"},
        {"{\"properties\":{\"a\":{\"type\":\"integer\",\"multipleOf\":5}}}",
         "schema /properties/a/multipleOf: is not supported"},
        {"{\"properties\":{\"a\":{\"items\":{\"not\":{}}}}}",
         "schema /properties/a/items/not: is not supported"},
        {"{\"type\":\"object\",\"patternProperties\":{}}", "/patternProperties: is not supported"},
        {"{\"if\":{}}", "schema /if: is not supported"},
        {"{\"$ref\":\"http://x/y\"}", "schema /$ref: 'http://x/y'"},
        {"{\"$ref\":\"#/$defs/none\"}", "schema /$ref: '#/$defs/none'"},
        {"{\"$ref\":\"#\"}", "schema /$ref: leads back to itself"},
        {"{\"enum\":[]}", "schema /enum: has no value"},
        {"{\"type\":\"integer\",\"enum\":[\"a\"]}", "/enum: has no value"},
        {"{\"const\":1,\"enum\":[2]}", "/const: has no value"},
        {"{\"enum\":[1],\"minimum\":2}", "beside 'minimum'"},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "/minimum: no"},
        {"{\"type\":\"number\",\"minimum\":0.5}", "/minimum: other than"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "/pattern: only"},
        {"{\"type\":\"string\",\"pattern\":\"(\"}", "/pattern: only"},
        {"{\"type\":\"string\",\"pattern\":\"\\\\bx\"}", "/pattern: only"},
        {"{\"type\":\"string\",\"pattern\":\"x\",\"maxLength\":2}", "/pattern: beside a length"},
        {"{\"type\":\"string\",\"format\":\"uri\"}", "/format: 'uri'"},
        {"{\"type\":\"string\",\"minLength\":-1}", "/minLength: must be"},
        {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", "/maxItems"},
        {"{\"type\":\"array\",\"uniqueItems\":true}", "/uniqueItems: of other items than an enum"},
        {"{\"type\":\"array\",\"uniqueItems\":1}", "/uniqueItems: must be true or false"},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,2,"
         "3,4,5,6,7,8,9,10,11,12,13]}}",
         "/uniqueItems: of other items than an enum of at most 12"},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,2,"
         "3,4,5,6,7,8,9,10,11,12]}}",
         "/uniqueItems: of so many values"},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":3,\"items\":"
         "{\"enum\":[1,2]}}",
         "/minItems: more than there are"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"minProperties\":2}",
         "/minProperties: more than there may be"},
        {"{\"type\":\"object\",\"required\":[\"a\"],\"maxProperties\":0}",
         "/minProperties: more than"},
        {"{\"type\":\"object\",\"minProperties\":2}",
         "/minProperties: more than one member beside"},
        {"{\"type\":\"object\",\"maxProperties\":-1}", "/maxProperties: must be a whole number"},
        {"{\"anyOf\":[]}", "schema /anyOf: must be a list"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"oneOf\":[{\"const\":5},{\"type\":\"integer\"}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"oneOf\":[{\"const\":1},{\"const\":1.0}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"oneOf\":[{\"const\":{\"a\":1,\"b\":2}},"
         "{\"const\":{\"b\":2,\"a\":1}}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"type\":[\"object\",\"null\"],\"oneOf\":["
         "{\"properties\":{\"t\":{\"const\":1}},\"required\":[\"t\"]},"
         "{\"properties\":{\"t\":{\"const\":2}},\"required\":[\"t\"]}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"oneOf\":[{\"properties\":{\"t\":{\"const\":1}},"
         "\"required\":[\"t\"],\"minLength\":1},{\"properties\":{\"t\":"
         "{\"const\":2}},\"required\":[\"t\"],\"minLength\":1}]}",
         "/oneOf: alternatives that may hold together"},
        {"{\"oneOf\":[{\"$ref\":\"#/none\"},{\"$ref\":\"#/none\"}]}", "/oneOf"},
        {"{\"additionalProperties\":false,\"required\":[\"b\"]}", "/required: 'b' is not among"},
        {"{\"allOf\":[{\"additionalProperties\":false,\"properties\":"
         "{\"a\":{}}}],\"properties\":{\"b\":{}}}",
         "/additionalProperties: is not merged"},
        {"{\"additionalProperties\":false,\"allOf\":[{\"properties\":"
         "{\"a\":{}}}]}",
         "/additionalProperties: is not merged"},
        {"{\"allOf\":[{\"minimum\":1},{\"minimum\":2}]}", "two different 'minimum'"},
        {"{\"additionalProperties\":false,\"properties\":{\"a\":{}},"
         "\"required\":[\"b\"]}",
         "/required: 'b' is not among"},
        {"{\"anyOf\":[{\"$ref\":\"#\"}]}", "schema /anyOf/0: is left recursive"},
        {"{\"items\":{\"pattern\":\"x{3,2}\"}}", "schema /items/pattern: only"},
        {"{\"pattern\":\"x{99999}\"}", "schema /pattern: only"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_program *program = NULL;
        struct flo_err err = {0};
        int rv = flo_schema_compile(rows[i].schema, strlen(rows[i].schema), &program, &err);

        if (rv != FLO_E_INFER_SCHEMA || strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s: %d %s", rows[i].schema, rv, err.what);
        }
        free(program);
    }
}

static void one_continuation_is_forced(void **state)
{
    struct flo_matcher *m = compile("root ::= \"ab\" [cd] \"ef\" \"g\"?");
    uint32_t at = flo_matcher_start(m);

    (void)state;
    assert_int_equal(m->states[at].forced, 'a');
    assert_true(flo_matcher_walk(m, &at, "ab", 2));
    assert_int_equal(m->states[at].forced, -1);
    assert_true(flo_matcher_walk(m, &at, "ce", 2));
    assert_int_equal(m->states[at].forced, 'f');
    assert_true(flo_matcher_walk(m, &at, "f", 1));
    assert_int_equal(m->states[at].forced, -1); /* it may end here */
    assert_false(flo_matcher_must_end(m, at));
    assert_true(flo_matcher_walk(m, &at, "g", 1));
    assert_true(flo_matcher_must_end(m, at));
    flo_matcher_close(m);
}

/* 2,000 readings of every text: equal ones are one. */
static void ambiguity_costs_no_more_than_one_reading(void **state)
{
    struct flo_matcher *m = compile("root ::= (a | b | c)*\na ::= \"x\"+\nb ::= \"x\" \"x\"?\n"
                                    "c ::= (\"x\" | \"xx\" | \"xxx\")*");
    char text[4096];
    uint32_t at = flo_matcher_start(m);

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_true(flo_matcher_walk(m, &at, text, sizeof(text)));
    assert_true(m->state_count < 20);
    assert_false(m->is_ambiguous);
    flo_matcher_close(m);
}

static void room_is_made_when_states_run_out(void **state)
{
    struct flo_matcher *m = compile("root ::= [a-z]{0,9000} \"!\"");
    uint32_t at = flo_matcher_start(m);

    (void)state;
    for (int i = 0; i < 9000; i++) {
        assert_true(flo_matcher_walk(m, &at, "q", 1));
    }
    assert_int_equal(m->states[at].forced, '!');
    assert_false(flo_matcher_walk(m, &at, "q", 1));
    assert_true(flo_matcher_walk(m, &at, "!", 1));
    assert_true(flo_matcher_must_end(m, at));
    flo_matcher_close(m);
}

/* ---- masks ---- */

enum { LETTERS = 36, WORDS_MAX = 48000, WORD = 12 };

static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* A vocabulary: words in order, each whole. */
struct words {
    struct flo_pieces pieces;
    uint32_t ids[WORDS_MAX], places[WORDS_MAX];
    uint8_t lengths[WORDS_MAX], shared[WORDS_MAX];
    char text[WORDS_MAX * WORD];
};

static void add_word(struct words *w, const char *word)
{
    uint32_t i = w->pieces.count++;
    const char *before = i == 0 ? "" : w->text + w->places[i - 1];
    size_t bytes = strlen(word);

    assert_true(i < WORDS_MAX && bytes < WORD);
    w->ids[i] = i;
    w->lengths[i] = (uint8_t)bytes;
    w->places[i] = i * WORD;
    memcpy(w->text + w->places[i], word, bytes);
    while (w->shared[i] < bytes && before[w->shared[i]] == word[w->shared[i]]) {
        w->shared[i]++;
    }
}

/* As struct flo_pieces wants them: places are those of the rest. */
static void finish_words(struct words *w)
{
    for (uint32_t i = 0; i < w->pieces.count; i++) {
        w->places[i] += w->shared[i];
    }
    w->pieces.ids = w->ids;
    w->pieces.places = w->places;
    w->pieces.lengths = w->lengths;
    w->pieces.shared = w->shared;
    w->pieces.text = w->text;
}

/* Words of one to three letters; or of three and `behind`, then "~". */
static struct words *make_words(char behind)
{
    struct words *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    for (int i = 0; i < LETTERS * LETTERS * LETTERS; i++) {
        char word[WORD] = {letters[i / LETTERS / LETTERS], letters[i / LETTERS % LETTERS],
                           letters[i % LETTERS], behind};
        char first[2] = {word[0]}, two[3] = {word[0], word[1]};

        if (behind == '\0' && i % (LETTERS * LETTERS) == 0) {
            add_word(w, first);
        }
        if (behind == '\0' && i % LETTERS == 0) {
            add_word(w, two);
        }
        add_word(w, word);
    }
    if (behind != '\0') {
        add_word(w, "~");
    }
    finish_words(w);
    return w;
}

/* Behind each text of letters other readings are left: each of these rules
 * asks for one of its own half of them at one place. */
static struct flo_matcher *make_ambiguous(const struct words *w)
{
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_buf text = {0};
    uint32_t random = 1;

    flo_buf_text(&text, "root ::= \"~\"");
    for (int rule = 0; rule < 40; rule++) {
        flo_buf_printf(&text, " | [a-z0-9]{%d} [", rule / 10);
        for (int i = 0; i < LETTERS; i++) {
            random = random * 1664525 + 1013904223;
            if (random >> 31 != 0) {
                flo_buf_add(&text, &letters[i], 1);
            }
        }
        flo_buf_text(&text, "] [a-z0-9]*");
    }
    assert_int_equal(flo_gbnf_compile(text.data, text.bytes, &program, NULL), 0);
    assert_int_equal(flo_matcher_open(program, &w->pieces, w->pieces.count, &matcher, NULL), 0);
    flo_buf_deinit(&text);
    return matcher;
}

static bool has(const uint64_t *mask, uint32_t id)
{
    return (mask[id / 64] >> id % 64 & 1) != 0;
}

static void a_mask_of_many_readings_is_narrow_and_soon_there(void **state)
{
    struct words *w = make_words('\0');
    struct flo_matcher *m = make_ambiguous(w);
    uint32_t at = flo_matcher_start(m), count = w->pieces.count;
    uint64_t *mask, *kept = calloc(flo_mask_words(count), sizeof(*kept));
    uint32_t found = 0;
    bool is_new;

    (void)state;
    assert_false(m->is_ambiguous);
    mask = flo_matcher_mask(m, &at, &is_new);
    assert_true(is_new && kept != NULL);
    assert_in_range(m->work, FLO_MASK_WORK_MAX, FLO_MASK_WORK_MAX * 9ull / 8);
    memcpy(kept, mask, flo_mask_words(count) * sizeof(*kept));
    for (uint32_t i = 0; i < count; i++) {
        bool is_letter = w->lengths[i] == 1;
        const char *word = w->text + w->places[i] - w->shared[i];
        uint32_t behind = at;

        found += has(kept, i);
        assert_true(!is_letter || has(kept, i)); /* each text can be spelled */
        if (has(kept, i) && (is_letter || i % 64 == 0)) {
            assert_true(flo_matcher_walk(m, &behind, word, w->lengths[i]));
            at = flo_matcher_start(m);
        }
    }
    assert_in_range(found, count / 20, count - 1);
    /* Whatever was followed before. */
    for (int i = 0; i < 300; i++) {
        at = flo_matcher_start(m);
        assert_true(flo_matcher_walk(m, &at, letters + i % LETTERS, 1));
        assert_true(flo_matcher_walk(m, &at, letters + i % 7, 1));
    }
    at = flo_matcher_start(m);
    mask = flo_matcher_mask(m, &at, &is_new);
    assert_memory_equal(mask, kept, flo_mask_words(count) * sizeof(*kept));
    flo_matcher_close(m);
    free(kept);
    free(w);
}

/* All words that begin with this one: of up to nine letters a and b, and those
 * with one of a to h after nine. */
static void add_words(struct words *w, char *word, size_t count)
{
    char last = count == 9 ? 'h' : 'b';

    for (char letter = 'a'; count < 10 && letter <= last; letter++) {
        word[count] = letter;
        word[count + 1] = '\0';
        add_word(w, word);
        add_words(w, word, count + 1);
    }
}

static void a_mask_of_few_states_with_many_nodes_is_soon_there(void **state)
{
    struct words *w = calloc(1, sizeof(*w));
    struct flo_program *program = NULL;
    struct flo_matcher *m = NULL;
    struct flo_buf text = {0};
    char word[WORD] = "";
    bool is_new;

    (void)state;
    assert_non_null(w);
    add_words(w, word, 0);
    finish_words(w);
    flo_buf_text(&text, "root ::= ([a-z] e)* \"a\" [a-z]{11}"
                        "| [a-b] \"!\" | [a-c] \"!\" | [a-d] \"!\""
                        "| [a-e] \"!\" | [a-f] \"!\" | [a-g] \"!\""
                        "| [a-h] \"!\"\ne ::= \"\"");
    for (int i = 1; i < 8000; i++) {
        flo_buf_text(&text, "|\"\"");
    }
    assert_int_equal(flo_gbnf_compile(text.data, text.bytes, &program, NULL), 0);
    assert_int_equal(flo_matcher_open(program, &w->pieces, w->pieces.count, &m, NULL), 0);
    uint32_t at = flo_matcher_start(m);
    const uint64_t *mask = flo_matcher_mask(m, &at, &is_new);
    assert_in_range(m->work, FLO_MASK_WORK_MAX, FLO_MASK_WORK_MAX * 9ull / 4);
    for (uint32_t i = 0; i < w->pieces.count; i++) {
        assert_true(w->lengths[i] > 1 || has(mask, i));
    }
    flo_matcher_close(m);
    flo_buf_deinit(&text);
    free(w);
}

static void a_mask_is_not_empty_while_something_fits(void **state)
{
    struct words *w = make_words('!');
    struct flo_matcher *m = make_ambiguous(w);
    uint32_t at = flo_matcher_start(m), last = w->pieces.count - 1;
    bool is_new;
    const uint64_t *mask = flo_matcher_mask(m, &at, &is_new);

    (void)state;
    assert_true(m->work > FLO_MASK_WORK_MAX);
    for (uint32_t i = 0; i <= last; i++) {
        assert_int_equal(has(mask, i), i == last);
    }
    flo_matcher_close(m);
    free(w);
}

static void nesting_beyond_the_limit_does_not_fit(void **state)
{
    struct flo_matcher *m = compile("root ::= \"(\" root \")\" | \"x\"");
    uint32_t at = flo_matcher_start(m);
    int depth = 0;

    (void)state;
    while (depth < 5000 && flo_matcher_walk(m, &at, "(", 1)) {
        depth++;
    }
    assert_in_range(depth, 100, 200);
    assert_true(flo_matcher_walk(m, &at, "x", 1));
    for (int i = 0; i < depth; i++) {
        assert_true(flo_matcher_walk(m, &at, ")", 1));
    }
    assert_true(flo_matcher_must_end(m, at));
    flo_matcher_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gbnf_texts_take_what_they_say),
        cmocka_unit_test(a_bad_gbnf_text_is_refused_with_its_place),
        cmocka_unit_test(more_names_than_there_may_be_are_refused),
        cmocka_unit_test(each_type_of_a_schema_takes_its_values),
        cmocka_unit_test(objects_keep_order_and_what_is_required),
        cmocka_unit_test(objects_have_as_many_members_as_they_may),
        cmocka_unit_test(elements_of_an_array_differ_where_they_must),
        cmocka_unit_test(any_object_takes_json_with_blanks),
        cmocka_unit_test(a_bad_schema_is_refused_with_its_pointer),
        cmocka_unit_test(one_continuation_is_forced),
        cmocka_unit_test(ambiguity_costs_no_more_than_one_reading),
        cmocka_unit_test(room_is_made_when_states_run_out),
        cmocka_unit_test(a_mask_of_many_readings_is_narrow_and_soon_there),
        cmocka_unit_test(a_mask_of_few_states_with_many_nodes_is_soon_there),
        cmocka_unit_test(a_mask_is_not_empty_while_something_fits),
        cmocka_unit_test(nesting_beyond_the_limit_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
