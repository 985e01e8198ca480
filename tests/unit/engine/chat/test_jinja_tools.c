/* Jinja: tools, calls, results and thoughts as jinja2 writes them, each byte
 * of theirs marked, and within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/errors/model.h>

#include "engine/chat/case.h"
#include "unit/engine/gguf_make.h"

#define FOLDER "tests/golden/token/tools/"

static const char *const templates[] = {"lines",  "printed", "typed",  "sorted",
                                        "tagged", "nine",    "spelled"};

static int render(const char *text, size_t bytes, const struct flo_jinja_input *input,
                  struct flo_buf *out, struct flo_buf *marks, struct flo_err *err)
{
    struct flo_jinja *jinja = NULL;
    int rv = flo_jinja_open(text, bytes, &jinja, err);
    rv = rv < 0 ? rv : flo_jinja_render(jinja, input, out, marks, err);
    flo_jinja_close(jinja);
    return rv;
}

static char *read_tree(const char *path, struct flo_tree *tree)
{
    size_t bytes;
    char *text = read_whole(path, &bytes);
    assert_int_equal(flo_tree_read(tree, text, bytes, 0, 1000, NULL, NULL), 0);
    return text;
}

/* A case with the names that all share, and as many tools as it says. */
static struct flo_tree_node *whole_case(struct flo_tree *known, const struct flo_tree_node *from)
{
    static const char *const shared[] = {"now", "bos_token", "eos_token"};
    struct flo_tree_node *out = flo_tree_new(known, FLO_TREE_OBJECT);
    struct flo_tree_node **last = &out->first;
    for (const struct flo_tree_node *n = from->first; n != NULL; n = n->next) {
        if (strcmp(n->key, "tools") != 0) {
            last = flo_tree_add(known, last, n);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(shared); i++) {
        last = flo_tree_add(known, last, flo_tree_member(known->nodes, shared[i]));
    }
    int64_t count;
    if (flo_tree_whole(flo_tree_member(from, "tools"), 1, 3, &count)) {
        struct flo_tree_node *tools = flo_tree_new(known, FLO_TREE_ARRAY);
        struct flo_tree_node **end = &tools->first;
        tools->key = "tools";
        const struct flo_tree_node *tool = flo_tree_member(known->nodes, "tools")->first;
        for (int64_t i = 0; i < count; i++, tool = tool->next) {
            end = flo_tree_add(known, end, tool);
        }
        *last = tools;
    }
    assert_false(known->is_full);
    return out;
}

/* `wanted` is a text, or "REFUSED". */
static void expect_case(const char *name, const char *text, size_t bytes,
                        const struct flo_tree_node *node, const struct flo_tree_node *wanted)
{
    struct flo_chat_case it;
    struct flo_buf out = {0}, marks = {0};
    struct flo_err err = {0};
    assert_int_equal(flo_chat_case_read(&it, node, NULL), 0);
    int rv = render(text, bytes, &it.input, &out, &marks, &err);
    if (flo_tree_is(wanted, "REFUSED")) {
        assert_int_equal(rv, FLO_E_INFER_PARAM);
    } else if (rv != 0) {
        fail_msg("%s %s: %s", name, node->first->text, err.what);
    } else if (out.bytes != wanted->bytes || memcmp(out.data, wanted->text, out.bytes) != 0) {
        fail_msg("%s %s: got\n%.*s\nbut jinja2 gives\n%s", name, node->first->text, (int)out.bytes,
                 out.data, wanted->text);
    }
    assert_true(rv < 0 || marks.bytes == out.bytes);
    flo_chat_case_deinit(&it);
    flo_buf_deinit(&out);
    flo_buf_deinit(&marks);
}

static void tools_and_calls_give_the_text_that_jinja2_gives(void **state)
{
    size_t cases = 0;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(templates); i++) {
        struct flo_tree known = {0}, texts = {0};
        char path[128];
        size_t bytes;
        char *known_text = read_tree(FOLDER "cases.json", &known);
        snprintf(path, sizeof(path), FOLDER "%s.json", templates[i]);
        char *wanted = read_tree(path, &texts);
        snprintf(path, sizeof(path), FOLDER "%s.jinja", templates[i]);
        char *text = read_whole(path, &bytes);
        for (const struct flo_tree_node *n = flo_tree_member(known.nodes, "cases")->first;
             n != NULL; n = n->next, cases++) {
            const struct flo_tree_node *hit = flo_tree_member(texts.nodes, n->first->text);
            assert_non_null(hit);
            expect_case(templates[i], text, bytes, whole_case(&known, n), hit);
        }
        flo_tree_deinit(&known);
        flo_tree_deinit(&texts);
        free(known_text);
        free(wanted);
        free(text);
    }
    assert_int_equal(cases, 16 * FLO_COUNT(templates));
}

/* ---- one conversation for small templates ---- */

static const char tools[] = "[{\"name\": \"f<a>\", \"n\": [1, -2.50, 1e400, true, null, {}, []]}]";
static const char call[] = "{\"tool_calls\": [{\"id\": \"call_1\", \"function\": {\"name\": \"f\", "
                           "\"arguments\": {\"b\": \"<a>\", \"a\": 7}}}], \"reasoning_content\": "
                           "\"hm <a>\"}";
static const char result[] = "{\"tool_call_id\": \"call_1\", \"x\": \"<a>\"}";

static int render_small(const char *text, struct flo_jinja_input *input, struct flo_buf *out,
                        struct flo_buf *marks, struct flo_err *err)
{
    const struct flo_engine_setting setting = {
        .tools = tools, .tools_bytes = strlen(tools), .effort = "low"};
    const struct flo_engine_message messages[] = {{"user", "q", 1, NULL, 0},
                                                  {"assistant", "", 0, call, strlen(call)},
                                                  {"tool", "r <a>", 5, result, strlen(result)}};
    input->messages = messages;
    input->count = 3;
    input->bos = input->eos = "";
    input->setting = &setting;
    input->documents = "[{\"t\": \"<a>\"}]";
    input->documents_bytes = strlen(input->documents);
    return render(text, strlen(text), input, out, marks, err);
}

/* The text, what was said between angles. */
static void expect_small(const char *text, struct flo_jinja_input input, const char *wanted)
{
    struct flo_buf out = {0}, marks = {0}, shown = {0};
    struct flo_err err = {0};
    if (render_small(text, &input, &out, &marks, &err) != 0) {
        fail_msg("%s: %s", text, err.what);
    }
    for (size_t i = 0; i <= out.bytes; i++) {
        bool was = i > 0 && marks.data[i - 1] != 0;
        bool is = i < out.bytes && marks.data[i] != 0;
        flo_buf_text(&shown, is == was ? "" : was ? "»" : "«");
        flo_buf_add(&shown, &out.data[i], i < out.bytes);
    }
    assert_string_equal(shown.data, wanted);
    flo_buf_deinit(&out);
    flo_buf_deinit(&marks);
    flo_buf_deinit(&shown);
}

static void what_tools_and_calls_say_stays_marked(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"<a>{{ tools }}", "<a>«[{'name': 'f<a>', 'n': [1, -2.5, inf, True, None, {}, []]}]»"},
        {"<a>{{ tools | tojson }}",
         "<a>«[{\"name\": \"f<a>\", \"n\": [1, -2.5, Infinity, true, null, "
         "{}, []]}]»"},
        {"{{ tools[0] | tojson(indent=1, separators=[',', '=']) | length }}", "81"},
        {"{% for t in tools %}{% for n in t.n %}{{ n }},{% endfor %}"
         "{% endfor %}",
         "«1»,«-2.5»,«inf»,«True»,«None»,«{}»,«[]»,"},
        {"{% for k, v in messages[1].tool_calls[0].function.arguments | "
         "dictsort %}{{ k }}={{ v }};{% endfor %}",
         "«a»=«7»;«b»=«<a>»;"},
        {"{{ messages[1].tool_calls[0].function.name ~ '<a>' }}", "«f»<a>"},
        {"{{ messages[1].reasoning_content | upper }}", "«HM <A>»"},
        {"{{ messages[2].x + messages[2].role }}{{ messages[2].tool_call_id }}",
         "«<a>»tool«call_1»"},
        {"{{ reasoning_effort }}{{ documents }}", "«low[{'t': '<a>'}]»"},
        {"{% set n = namespace(x='') %}{% for t in tools[0].n %}"
         "{% set n.x = n.x ~ t ~ '|' %}{% endfor %}{{ n.x }}",
         "«1»|«-2.5»|«inf»|«True»|«None»|«{}»|«[]»|"},
        {"{{ {'own': messages[2].x} | tojson }}", "{\"own\": «\"<a>\"»}"},
        {"{{ tools[0].n[:2] }}{{ (tools[0].n | list)[:1] }}", "«[1, -2.5][1]»"},
        {"{{ messages[0] }}", "{'role': 'user', 'content': '«q»'}"},
        {"{{ messages[0].tool_calls is defined }}{{ 'x' in messages[2] }}"
         "{{ messages[0].get('name', 'none') }}",
         "FalseTruenone"},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        expect_small(cases[i][0], (struct flo_jinja_input){0}, cases[i][1]);
    }
}

static void an_id_becomes_nine_letters_and_digits_if_asked(void **state)
{
    static const char text[] = "{{ messages[1].tool_calls[0].id == "
                               "messages[2].tool_call_id }} "
                               "{{ messages[2].tool_call_id | length }}";
    (void)state;
    expect_small(text, (struct flo_jinja_input){0}, "True 6");
    expect_small(text, (struct flo_jinja_input){.has_short_ids = true}, "True 9");
    expect_small("{{ messages[2].tool_call_id }}", (struct flo_jinja_input){.has_short_ids = true},
                 "«16xj2wjzp»");
}

static void arguments_are_an_object_or_its_text(void **state)
{
    static const char *const given[][3] = {
        {"\"{\\\"a\\\": [1, \\\"<a>\\\"]}\"", "{'a': [1, '<a>']}", "{\"a\": [1, \"<a>\"]}"},
        {"{\"a\": [1, \"<a>\"]}", "{'a': [1, '<a>']}", "{\"a\": [1, \"<a>\"]}"},
        {"\"{\\\"a\\\": \"", "{\"a\": ", "{\"a\": "},
        {"\"[1]\"", "[1]", "[1]"},
        {"\"\"", "", ""},
        {"null", "None", "None"},
    };
    static const char text[] = "{{ messages[0].tool_calls[0].function.arguments }}";
    (void)state;
    for (size_t i = 0; i < 2 * FLO_COUNT(given); i++) {
        char more[128];
        struct flo_buf out = {0}, marks = {0};
        struct flo_err err = {0};
        snprintf(more, sizeof(more), "{\"tool_calls\": [{\"function\": {\"arguments\": %s}}]}",
                 given[i / 2][0]);
        const struct flo_engine_message message = {"assistant", NULL, 0, more, strlen(more)};
        const struct flo_jinja_input input = {
            .messages = &message, .count = 1, .bos = "", .eos = "", .has_text_calls = i % 2 == 1};
        assert_int_equal(render(text, strlen(text), &input, &out, &marks, &err), 0);
        flo_buf_add(&out, "", 1);
        assert_string_equal(out.data, given[i / 2][1 + i % 2]);
        for (size_t at = 0; at < marks.bytes; at++) {
            assert_int_equal(marks.data[at], 1);
        }
        flo_buf_deinit(&out);
        flo_buf_deinit(&marks);
    }
}

/* ---- bounds ---- */

static int render_tools(const char *text, const struct flo_buf *json, struct flo_buf *out,
                        struct flo_err *err)
{
    const struct flo_engine_message message = {"user", "q", 1, NULL, 0};
    const struct flo_engine_setting setting = {
        .tools = json->data, .tools_bytes = json->bytes, .now_ms = 1};
    const struct flo_jinja_input input = {
        .messages = &message, .count = 1, .bos = "", .eos = "", .setting = &setting};
    struct flo_buf marks = {0};
    int rv = render(text, strlen(text), &input, out, &marks, err);
    flo_buf_deinit(&marks);
    return rv;
}

static void bad_json_is_refused_by_its_name(void **state)
{
    static const struct {
        const char *tools, *more, *why;
    } cases[] = {
        {"{}", NULL, "tools: no JSON list"},
        {"", NULL, "tools: no JSON at byte 0"},
        {"[1, 2", NULL, "tools: no JSON at byte 5"},
        {"[\"\\u0000\"]", NULL, "tools: a text has"},
        {"[\"\\ud800\"]", NULL, "tools: a text has"},
        {"[]", "[]", "message 0: `more`: no JSON object"},
        {"[]", "{", "message 0: `more`: no JSON at byte 1"},
        {"[]", "{\"role\": \"system\"}", "message 0: `more`: it has a role"},
        {"[]", "{\"content\": \"x\"}", "message 0: `more`: it has a role"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_buf out = {0}, marks = {0};
        struct flo_err err = {0};
        struct flo_engine_message message = {"user", "q", 1, cases[i].more, 0};
        const struct flo_engine_setting setting = {.tools = cases[i].tools,
                                                   .tools_bytes = strlen(cases[i].tools)};
        const struct flo_jinja_input input = {
            .messages = &message, .count = 1, .bos = "", .eos = "", .setting = &setting};
        message.more_bytes = message.more != NULL ? strlen(message.more) : 0;
        assert_int_equal(render("x", 1, &input, &out, &marks, &err), FLO_E_INFER_PARAM);
        if (strncmp(err.what, cases[i].why, strlen(cases[i].why)) != 0) {
            fail_msg("'%s', not '%s'", err.what, cases[i].why);
        }
        assert_int_equal(out.bytes, 0);
        flo_buf_deinit(&out);
        flo_buf_deinit(&marks);
    }
}

static void tools_nested_two_hundred_deep_are_refused(void **state)
{
    struct flo_buf json = {0}, out = {0};
    struct flo_err err = {0};
    (void)state;
    for (int i = 0; i < 400; i++) {
        flo_buf_text(&json, i < 200 ? "[" : "]");
    }
    assert_int_equal(render_tools("{{ tools }}", &json, &out, &err), FLO_E_INFER_PARAM);
    assert_non_null(strstr(err.what, "tools: "));
    assert_non_null(strstr(err.what, "64 levels"));
    flo_buf_deinit(&json);
    flo_buf_deinit(&out);
}

/* Five hundred tools, about a megabyte: text grows at its end, copies do not
 * add up. */
static void a_megabyte_of_tools_is_rendered(void **state)
{
    struct flo_buf json = {0};
    (void)state;
    for (int i = 0; i < 500; i++) {
        flo_buf_printf(&json,
                       "%s{\"type\": \"function\", \"function\": {\"name\": "
                       "\"tool_%d\", \"description\": \"Does it\", "
                       "\"parameters\": {\"type\": \"object\", \"required\": "
                       "[\"p0\"], \"properties\": {",
                       i == 0 ? "[" : ", ", i);
        for (int p = 0; p < 16; p++) {
            flo_buf_printf(&json,
                           "%s\"p%d\": {\"type\": \"string\", \"description\": "
                           "\"Some words about what stands there, and more.\", "
                           "\"enum\": [\"a\", \"b\", \"c\"]}",
                           p == 0 ? "" : ", ", p);
        }
        flo_buf_text(&json, "}}}}");
    }
    flo_buf_text(&json, "]");
    assert_true(json.bytes > 900000);
    for (size_t i = 0; i < FLO_COUNT(templates); i++) {
        struct flo_buf out = {0};
        struct flo_err err = {0};
        char path[128];
        size_t bytes;
        snprintf(path, sizeof(path), FOLDER "%s.jinja", templates[i]);
        char *text = read_whole(path, &bytes);
        if (render_tools(text, &json, &out, &err) != 0) {
            fail_msg("%s: %s", templates[i], err.what);
        }
        assert_true(out.bytes > 200000);
        assert_non_null(memmem(out.data, out.bytes, "tool_499", 8));
        free(text);
        flo_buf_deinit(&out);
    }
    flo_buf_deinit(&json);
}

static void work_without_an_end_on_tools_is_stopped(void **state)
{
    static const char *const texts[] = {
        "{% set n = namespace(x=tools) %}{% for a in range(60000) %}"
        "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=tools) %}{% for a in range(60) %}"
        "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=tools) %}{% for a in range(60) %}"
        "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x }}",
        "{% for a in range(60000) %}{% for b in range(60000) %}"
        "{{ tools | tojson | length }}{% endfor %}{% endfor %}",
        "{% for a in range(60000) %}{% set b = tools | dictsort %}"
        "{{ [a, b] | sort }}{% endfor %}",
    };
    struct flo_buf json = {0};
    (void)state;
    flo_buf_text(&json, "[1, 2]");
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_buf out = {.bytes_max = 1u << 20};
        struct flo_err err = {0};
        int rv = render_tools(texts[i], &json, &out, &err);
        if (rv != FLO_E_INFER_TOO_LONG && rv != FLO_E_MODEL_TEMPLATE) {
            fail_msg("%s: %d %s", texts[i], rv, err.what);
        }
        flo_buf_deinit(&out);
    }
    flo_buf_deinit(&json);
}

static void expect_date(const char *text, uint64_t now_ms, const char *wanted)
{
    const struct flo_engine_setting setting = {.now_ms = now_ms};
    const struct flo_jinja_input input = {.bos = "", .eos = "", .setting = &setting};
    struct flo_buf out = {0}, marks = {0};
    struct flo_err err = {0};
    assert_int_equal(render(text, strlen(text), &input, &out, &marks, &err), 0);
    flo_buf_add(&out, "", 1);
    assert_string_equal(out.data, wanted);
    flo_buf_deinit(&out);
    flo_buf_deinit(&marks);
}

static void the_date_is_the_given_one_or_one_that_stays(void **state)
{
    static const char all[] = "{{ strftime_now('%a %A %b %B %d %-d %e %H %I %j %m %-m %M %p %S %w "
                              "%y %Y %F %T %%') }}";
    uint64_t leap = 0, noon = 0;
    (void)state;
    assert_true(flo_time_parse("2024-12-31T23:59:58Z", &leap));
    assert_true(flo_time_parse("2026-03-01T12:00:00Z", &noon));
    expect_date(all, leap,
                "Tue Tuesday Dec December 31 31 31 23 11 366 12 12 59 PM 58 2 "
                "24 2024 2024-12-31 23:59:58 %");
    expect_date(all, noon,
                "Sun Sunday Mar March 01 1  1 12 12 060 03 3 00 PM 00 0 "
                "26 2026 2026-03-01 12:00:00 %");
    expect_date("{{ strftime_now is defined }} {{ strftime_now('%F') }}", leap, "True 2024-12-31");
    expect_date("{{ strftime_now is defined }} {{ strftime_now('%F') }}", 0, "False 2026-01-01");
}

static void a_case_that_is_no_conversation_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "{}", "{\"messages\": 3}", "{\"messages\": [3]}",
                                        "{\"messages\": {\"role\": \"user\"}}"};
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_tree tree = {0};
        struct flo_chat_case it;
        struct flo_err err = {0};
        char text[64];
        snprintf(text, sizeof(text), "%s", texts[i]);
        assert_int_equal(flo_tree_read(&tree, text, strlen(text), 0, 0, NULL, NULL), 0);
        assert_int_equal(flo_chat_case_read(&it, tree.nodes, &err), FLO_E_INFER_PARAM);
        assert_true(err.what[0] != '\0');
        flo_chat_case_deinit(&it);
        flo_tree_deinit(&tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_that_is_no_conversation_is_refused),
        cmocka_unit_test(tools_and_calls_give_the_text_that_jinja2_gives),
        cmocka_unit_test(what_tools_and_calls_say_stays_marked),
        cmocka_unit_test(an_id_becomes_nine_letters_and_digits_if_asked),
        cmocka_unit_test(arguments_are_an_object_or_its_text),
        cmocka_unit_test(bad_json_is_refused_by_its_name),
        cmocka_unit_test(tools_nested_two_hundred_deep_are_refused),
        cmocka_unit_test(a_megabyte_of_tools_is_rendered),
        cmocka_unit_test(work_without_an_end_on_tools_is_stopped),
        cmocka_unit_test(the_date_is_the_given_one_or_one_that_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
