/* A model's text on its way to a person: safe for a terminal, thoughts apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/talk/talk.h"

#define REPLACED "\xef\xbf\xbd"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

static void expect_safe(const char *text, size_t bytes, const char *wanted)
{
    struct flo_buf out = {0};

    flo_buf_text(&out, "");
    flo_talk_safe(text, bytes, &out);
    assert_string_equal(out.data, wanted);
    flo_buf_deinit(&out);
}

static void nothing_that_a_terminal_obeys_comes_through(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"plain \xc3\xa9 \xf0\x9f\x98\x80\n\tand more",
         "plain \xc3\xa9 \xf0\x9f\x98\x80\n\tand more"},
        {"\033[31mred\033[0m", REPLACED "[31mred" REPLACED "[0m"},
        {"\033]0;title\a", REPLACED "]0;title" REPLACED},
        {"\xc2\x9b"
         "31m \xc2\x9d \xc2\xa0",
         REPLACED "31m " REPLACED " \xc2\xa0"}, /* U+00A0 is a blank */
        {"\xe2\x80\xaetxt.exe \xe2\x81\xa6 \xe2\x80\xa8 \xe2\x80\xa6", REPLACED
         "txt.exe " REPLACED " " REPLACED " \xe2\x80\xa6"}, /* U+202E turns; U+2026 is "..." */
        {"one\r\ntwo\rthree", "one\ntwothree"},
        {"\b\v\f\x7f", REPLACED REPLACED REPLACED REPLACED},
        {"\xff\xc2", REPLACED REPLACED},
        {"\xed\xa0\x80", REPLACED REPLACED REPLACED}, /* half a pair */
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        expect_safe(cases[i].text, strlen(cases[i].text), cases[i].wanted);
    }
    expect_safe("a\0b", 3, "a" REPLACED "b");
    for (int c = 1; c < 0xa0; c++) { /* each control character */
        char text[4] = {0};
        bool is_control = c < ' ' || c >= 0x7f;
        flo_utf8_put((uint32_t)c, text);
        if (is_control && c != '\n' && c != '\t') {
            expect_safe(text, strlen(text), c == '\r' ? "" : REPLACED);
        } else {
            expect_safe(text, strlen(text), text);
        }
    }
}

static const struct flo_talk_said piped = {0};
static const struct flo_talk_said terminal = {.is_terminal = true};
static const struct flo_talk_said colours = {.is_terminal = true, .has_colour = true};

/* A piece that begins with '~' is one of a thought. */
static void expect(struct flo_talk_said said, const char *const *pieces, const char *shown,
                   const char *kept)
{
    flo_talk_said_begin(&said);
    for (; *pieces != NULL; pieces++) {
        if (**pieces == '~') {
            flo_talk_said_think(&said, *pieces + 1, strlen(*pieces) - 1);
        } else {
            flo_talk_said_add(&said, *pieces, strlen(*pieces));
        }
    }
    flo_talk_said_end(&said);
    flo_buf_text(&said.shown, "");
    flo_buf_text(&said.text, "");
    assert_string_equal(said.shown.data, shown);
    assert_string_equal(said.text.data, kept);
    flo_talk_said_deinit(&said);
}

static void an_answer_ends_with_its_line(void **state)
{
    static const char *const open[] = {"Y", "", "es.", NULL};
    static const char *const ended[] = {" Yes.\n", NULL};
    static const char *const nothing[] = {NULL};

    (void)state;
    expect(terminal, open, "Yes.\n", "Yes.");
    expect(terminal, ended, " Yes.\n", " Yes.\n");
    expect(terminal, nothing, "", "");
    expect(piped, ended, " Yes.\n\n", " Yes.\n");
}

static void a_thought_is_dim_and_no_part_of_the_answer(void **state)
{
    static const char *const pieces[] = {"~", "~Hm", "~.\n", "", "\n", " Y", "es.", NULL};

    (void)state;
    expect(colours, pieces, DIM "Hm.\n" PLAIN "\n\nYes.\n", "Yes.");
    expect(terminal, pieces, "<think>Hm.\n</think>\n\nYes.\n", "Yes.");
    expect(piped, pieces, "<think>Hm.\n</think>\n\nYes.\n", "Yes.");
}

static void a_thought_without_an_answer_ends(void **state)
{
    static const char *const pieces[] = {"~Hm", NULL};

    (void)state;
    expect(colours, pieces, DIM "Hm" PLAIN "\n", "");
    expect(terminal, pieces, "<think>Hm</think>\n", "");
}

static void a_terminal_gets_no_escape_and_a_pipe_gets_the_bytes(void **state)
{
    static const char *const pieces[] = {"~\033[1m", "a\033[2J", "b", NULL};

    (void)state;
    expect(colours, pieces, DIM REPLACED "[1m" PLAIN "\n\na" REPLACED "[2Jb\n", "a\033[2Jb");
    expect(terminal, pieces, "<think>" REPLACED "[1m</think>\n\na" REPLACED "[2Jb\n", "a\033[2Jb");
    expect(piped, pieces, "<think>\033[1m</think>\n\na\033[2Jb\n", "a\033[2Jb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_terminal_obeys_comes_through),
        cmocka_unit_test(an_answer_ends_with_its_line),
        cmocka_unit_test(a_thought_is_dim_and_no_part_of_the_answer),
        cmocka_unit_test(a_thought_without_an_answer_ends),
        cmocka_unit_test(a_terminal_gets_no_escape_and_a_pipe_gets_the_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
