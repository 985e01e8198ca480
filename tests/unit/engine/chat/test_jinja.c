/* Jinja: the same text as jinja2's, byte for byte, and nothing guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "engine/chat/jinja/jinja.h"
#include "unit/engine/gguf_make.h"

#define FOLDER "tests/golden/token/templates/"
#define MESSAGES_MAX 8

static const char *const templates[] = {"chatml", "thinking", "dated",    "functions", "instruct",
                                        "marked", "turns",    "prefixed", "ended",     "zephyr",
                                        "sys",    "observed", "gathered", "odds"};

/* A line of conversations.txt: roles and texts in hex. */
static size_t read_talk(char *line, struct flo_engine_message *messages)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *role = strtok_r(line, " ", &rest); role != NULL; role = strtok_r(NULL, " ", &rest)) {
        struct flo_engine_message *message = &messages[count++];
        char *hex = strtok_r(NULL, " ", &rest);
        assert_non_null(hex);
        assert_true(count <= MESSAGES_MAX);
        *message = (struct flo_engine_message){.role = role};
        message->text = from_hex(hex, strcmp(hex, "-") == 0 ? 0 : strlen(hex), &message->bytes);
    }
    return count;
}

static int render(const char *text, size_t bytes, const struct flo_engine_message *messages,
                  size_t count, struct flo_buf *out, struct flo_buf *marks, struct flo_err *err)
{
    struct flo_jinja *jinja = NULL;
    const struct flo_jinja_input input = {
        .messages = messages, .count = count, .bos = "<s>", .eos = "</s>"};
    int rv = flo_jinja_open(text, bytes, &jinja, err);
    rv = rv < 0 ? rv : flo_jinja_render(jinja, &input, out, marks, err);
    flo_jinja_close(jinja);
    return rv;
}

static void expect_line(const char *name, const char *text, size_t bytes,
                        const struct flo_engine_message *messages, size_t count, const char *wanted)
{
    struct flo_buf out = {0}, marks = {0};
    struct flo_err err = {0};
    int rv = render(text, bytes, messages, count, &out, &marks, &err);
    if (strcmp(wanted, "REFUSED") == 0) {
        assert_int_equal(rv, FLO_E_INFER_PARAM);
    } else {
        size_t wanted_bytes;
        char *whole = from_hex(wanted, strlen(wanted), &wanted_bytes);
        if (rv != 0) {
            fail_msg("%s: %s", name, err.what);
        }
        if (out.bytes != wanted_bytes || memcmp(out.data, whole, wanted_bytes) != 0) {
            fail_msg("%s: got\n%.*s\nbut jinja2 gives\n%.*s", name, (int)out.bytes, out.data,
                     (int)wanted_bytes, whole);
        }
        assert_int_equal(marks.bytes, out.bytes);
        free(whole);
    }
    flo_buf_deinit(&out);
    flo_buf_deinit(&marks);
}

static void templates_give_the_text_that_jinja2_gives(void **state)
{
    (void)state;
    size_t lines = 0;
    for (size_t i = 0; i < FLO_COUNT(templates); i++) {
        char path[128];
        size_t bytes, ignored;
        char *talk_rest = NULL, *wanted_rest = NULL;
        snprintf(path, sizeof(path), FOLDER "%s.jinja", templates[i]);
        char *text = read_whole(path, &bytes);
        snprintf(path, sizeof(path), FOLDER "%s.txt", templates[i]);
        char *wanted = read_whole(path, &ignored);
        char *talks = read_whole(FOLDER "conversations.txt", &ignored);
        char *talk = strtok_r(talks, "\n", &talk_rest);
        char *line = strtok_r(wanted, "\n", &wanted_rest);
        for (; talk != NULL; talk = strtok_r(NULL, "\n", &talk_rest)) {
            struct flo_engine_message messages[MESSAGES_MAX];
            size_t count = read_talk(talk, messages);
            assert_non_null(line);
            expect_line(templates[i], text, bytes, messages, count, line);
            for (size_t m = 0; m < count; m++) {
                free((char *)(uintptr_t)messages[m].text);
            }
            line = strtok_r(NULL, "\n", &wanted_rest);
            lines++;
        }
        free(text);
        free(wanted);
        free(talks);
    }
    assert_int_equal(lines, 9 * FLO_COUNT(templates));
}

/* The text, with what came out of a message between angles. */
static void expect_marks(const char *text, const char *said, const char *wanted)
{
    struct flo_buf out = {0}, marks = {0}, shown = {0};
    struct flo_err err = {0};
    const struct flo_engine_message message = {.role = "user", .text = said, .bytes = strlen(said)};
    int rv = render(text, strlen(text), &message, 1, &out, &marks, &err);
    if (rv != 0) {
        fail_msg("%s: %s", text, err.what);
    }
    for (size_t i = 0; i < out.bytes; i++) {
        bool was = i > 0 && marks.data[i - 1] != 0;
        if ((marks.data[i] != 0) != was) {
            flo_buf_text(&shown, was ? "]" : "[");
        }
        flo_buf_add(&shown, &out.data[i], 1);
    }
    flo_buf_text(&shown, out.bytes > 0 && marks.data[out.bytes - 1] != 0 ? "]" : "");
    assert_string_equal(shown.data, wanted);
    flo_buf_deinit(&out);
    flo_buf_deinit(&marks);
    flo_buf_deinit(&shown);
}

static void a_message_stays_one_whatever_is_done_with_it(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"<a>{{ messages[0].content }}</a>", "<a>[ <a>b</a> ]</a>"},
        {"{{ '<a>' + messages[0]['content'] | trim ~ '</a>' }}", "<a>[<a>b</a>]</a>"},
        {"{{ messages[0].content.split('b') | join('|') }}", "[ <a>]|[</a> ]"},
        {"{{ messages[0].content.replace('b', 'cc') | upper }}", "[ <A>]CC[</A> ]"},
        {"{{ messages[0].content[1:4] + messages[0].content[-1] }}", "[<a> ]"},
        {"{{ messages[0].content | tojson }}", "\"[ <a>b</a> ]\""},
        {"{% set x %}<{{ messages[0].content }}>{% endset %}{{ x }}{{ x }}",
         "<[ <a>b</a> ]><[ <a>b</a> ]>"},
        {"{% macro m(t) %}({{ t }}){% endmacro %}{{ m(messages[0].content) }}", "([ <a>b</a> ])"},
        {"{% for c in messages[0].content %}{% if loop.index < 3 %}{{ c }}."
         "{% endif %}{% endfor %}",
         "[ ].[<]."},
        {"{{ messages | map(attribute='content') | first }}", "[ <a>b</a> ]"},
        {"{% set n = namespace(x=messages[0].content) %}"
         "{% set n.x = n.x + '<a>' %}{{ n.x }}",
         "[ <a>b</a> ]<a>"},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        expect_marks(cases[i][0], " <a>b</a> ", cases[i][1]);
    }
}

static void what_is_not_known_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\n{{ x | unheard_of }}",
        "\n{{ strftime_now('%Q') }}",
        "\n{{ strftime_now('%') }}",
        "\n{{ 'a'.format(1) }}",
        "\n{% include 'x' %}",
        "\n{{ messages | sort(attribute='a.b') }}",
        "\n{{ [1, 'a'] | sort }}",
        "\n{{ messages | map(attribute='role') | tojson }}",
        "\n{{ missing.field }}",
        "\n{{ 1.5 }}",
        "\n{{ 1 / 2 }}",
        "\n{{ messages[0].items }}",
        "\n{{ range(3) }}",
        "\n{{ messages is unheard_of }}",
        "\n{% if true %}",
        "\n{{ 'a",
        "\n{{ 1 +",
        "\n{% raw %}{% endraw %}",
        "\n{{ 'a' + 1 }}",
        "\n{{ 'a' + missing }}",
        "\n{{ messages.append(1) }}",
        "\n{{ ''.__class__.__mro__ }}",
        "\n{{ {1: 2} }}",
        "\n{{ 9223372036854775807 }}",
        "\n{{ 1 // 0 }}",
        "\n{{ '\xc3\xa4' | upper }}",
        "\n{{ 1 < 2 < 3 }}",
        "\n{% for a, b in [1] %}{% endfor %}",
        "\n{{ dict }}",
        "\n{{ messages[0].content() }}",
    };
    const struct flo_engine_message message = {.role = "user", .text = "x", .bytes = 1};
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_buf out = {0}, marks = {0};
        struct flo_err err = {0};
        int rv = render(texts[i], strlen(texts[i]), &message, 1, &out, &marks, &err);
        if (rv != FLO_E_MODEL_TEMPLATE || strstr(err.what, "line 2") == NULL) {
            fail_msg("%s: %d %s", texts[i], rv, err.what);
        }
        flo_buf_deinit(&out);
        flo_buf_deinit(&marks);
    }
}

static void a_template_without_an_end_is_stopped(void **state)
{
    (void)state;
    static const char *const texts[] = {
        /* steps */
        "{% for a in range(60000) %}{% for b in range(60000) %}"
        "{% endfor %}{% endfor %}",
        /* memory */
        "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}"
        "{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        /* text */
        "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}"
        "{% for a in range(15) %}{% set n.x = n.x + n.x %}{% endfor %}"
        "{% for a in range(60000) %}{{ n.x }}{% endfor %}",
        /* calls */
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    };
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_buf out = {.bytes_max = 1u << 20};
        struct flo_buf marks = {.bytes_max = 1u << 20};
        struct flo_err err = {0};
        int rv = render(texts[i], strlen(texts[i]), NULL, 0, &out, &marks, &err);
        if (rv != FLO_E_INFER_TOO_LONG) {
            fail_msg("%s: %d %s", texts[i], rv, err.what);
        }
        flo_buf_deinit(&out);
        flo_buf_deinit(&marks);
    }
}

/* Neither the reader's stack nor the runner's grows with the text. */
static void a_text_nested_without_end_is_refused(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"{{ ", "(", " }}"},      {"{{ 1", "+1", " }}"},  {"{{ x", ".x", " }}"},
        {"{{ x", "|trim", " }}"}, {"{{ ", "-", "1 }}"},   {"", "{% if true %}", ""},
        {"{{ 1", " if 1", " }}"}, {"{{ [", "[", "]] }}"}, {"{{ x", " is defined", " }}"},
    };
    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        struct flo_buf text = {0};
        struct flo_err err = {0};
        struct flo_jinja *jinja = NULL;
        flo_buf_text(&text, parts[i][0]);
        for (int n = 0; n < 20000; n++) {
            flo_buf_text(&text, parts[i][1]);
        }
        flo_buf_text(&text, parts[i][2]);
        assert_int_equal(flo_jinja_open(text.data, text.bytes, &jinja, &err), FLO_E_MODEL_TEMPLATE);
        flo_buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_give_the_text_that_jinja2_gives),
        cmocka_unit_test(a_message_stays_one_whatever_is_done_with_it),
        cmocka_unit_test(what_is_not_known_is_refused_with_its_line),
        cmocka_unit_test(a_template_without_an_end_is_stopped),
        cmocka_unit_test(a_text_nested_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
