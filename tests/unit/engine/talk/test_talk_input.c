/* Lines that a person types become whole texts and commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/talk/talk.h"

/* A line with the kind that it completes, and the text then. */
struct step {
    const char *line;
    enum flo_talk_input_kind kind;
    const char *text;
};

static void play(const struct step *steps)
{
    struct flo_talk_input input = {0};

    for (; steps->line != NULL; steps++) {
        enum flo_talk_input_kind kind =
            flo_talk_input_line(&input, steps->line, strlen(steps->line));
        if (kind != steps->kind) {
            fail_msg("'%s': kind %d, %d expected", steps->line, (int)kind, (int)steps->kind);
        }
        assert_int_equal(flo_talk_input_is_open(&input), kind == FLO_INPUT_MORE);
        if (steps->text != NULL) {
            assert_string_equal(input.text.data, steps->text);
            assert_int_equal(input.text.bytes, strlen(steps->text));
        }
    }
    flo_talk_input_deinit(&input);
}

static void a_line_is_a_text_and_one_with_a_slash_a_command(void **state)
{
    static const struct step steps[] = {
        {"hello", FLO_INPUT_TEXT, "hello"},
        {"  two words ", FLO_INPUT_TEXT, "  two words "},
        {"/show template", FLO_INPUT_COMMAND, "show template"},
        {" /no command", FLO_INPUT_TEXT, " /no command"},
        {"/", FLO_INPUT_COMMAND, ""},
        {"", FLO_INPUT_NOTHING, NULL},
        {" \t ", FLO_INPUT_NOTHING, NULL},
        {"again", FLO_INPUT_TEXT, "again"},
        {NULL, FLO_INPUT_MORE, NULL},
    };

    (void)state;
    play(steps);
}

static void a_backslash_at_the_end_joins_the_next_line(void **state)
{
    static const struct step steps[] = {
        {"one\\", FLO_INPUT_MORE, NULL},
        {"two \\", FLO_INPUT_MORE, NULL},
        {"three", FLO_INPUT_TEXT, "one\ntwo \nthree"},
        {"/set system a\\", FLO_INPUT_MORE, NULL},
        {"b", FLO_INPUT_COMMAND, "set system a\nb"},
        {"\\", FLO_INPUT_MORE, NULL},
        {"/bye", FLO_INPUT_TEXT, "\n/bye"},
        {"a\\b", FLO_INPUT_TEXT, "a\\b"},
        {NULL, FLO_INPUT_MORE, NULL},
    };

    (void)state;
    play(steps);
}

static void three_quotes_hold_a_text_of_many_lines(void **state)
{
    static const struct step steps[] = {
        {"\"\"\"", FLO_INPUT_MORE, NULL},
        {"/no command \\", FLO_INPUT_MORE, NULL},
        {"", FLO_INPUT_MORE, NULL},
        {"\"\"\"", FLO_INPUT_TEXT, "/no command \\\n"},
        {" \"\"\"one", FLO_INPUT_MORE, NULL},
        {"two\"\"\" ", FLO_INPUT_TEXT, "one\ntwo"},
        {"\"\"\"/in one line\"\"\"", FLO_INPUT_TEXT, "/in one line"},
        {"\"\"\"\"\"\"", FLO_INPUT_NOTHING, NULL},
        {"a \"\"\" is no begin", FLO_INPUT_TEXT, "a \"\"\" is no begin"},
        {"/set system \"\"\"Be brief.", FLO_INPUT_MORE, NULL},
        {"Be kind.\"\"\"", FLO_INPUT_COMMAND, "set system Be brief.\nBe kind."},
        {"and then", FLO_INPUT_TEXT, "and then"},
        {NULL, FLO_INPUT_MORE, NULL},
    };

    (void)state;
    play(steps);
}

static void keys_and_bytes_that_are_no_text_are_left_out(void **state)
{
    static const struct step steps[] = {
        {"up\033[A and \033[1;5Dword\033OH end", FLO_INPUT_TEXT, "up and word end"},
        {"\033[A\033[B", FLO_INPUT_NOTHING, NULL},
        {"cut\033[12", FLO_INPUT_TEXT, "cut"},
        {"alone\033 \033", FLO_INPUT_TEXT, "alone "},
        {"bell\a tab\tdel\x7f", FLO_INPUT_TEXT, "bell tab\tdel"},
        {"bad \xff\xc3 good \xc3\xa9", FLO_INPUT_TEXT,
         "bad \xef\xbf\xbd\xef\xbf\xbd good \xc3\xa9"},
        {"csi \xc2\x9b"
         "31m",
         FLO_INPUT_TEXT,
         "csi \xef\xbf\xbd"
         "31m"},
        {NULL, FLO_INPUT_MORE, NULL},
    };
    struct flo_talk_input input = {0};

    (void)state;
    play(steps);
    assert_int_equal(flo_talk_input_line(&input, "a\0b", 3), FLO_INPUT_TEXT);
    assert_string_equal(input.text.data, "ab");
    flo_talk_input_deinit(&input);
}

static void a_text_that_is_too_long_is_dropped_as_a_whole(void **state)
{
    size_t bytes = FLO_INPUT_BYTES_MAX / 2;
    char *half = malloc(bytes);
    struct flo_talk_input input = {0};

    (void)state;
    memset(half, 'x', bytes);
    assert_int_equal(flo_talk_input_line(&input, "\"\"\"", 3), FLO_INPUT_MORE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_talk_input_line(&input, half, bytes), FLO_INPUT_MORE);
    }
    assert_int_equal(flo_talk_input_line(&input, "end", 3), FLO_INPUT_MORE);
    assert_int_equal(flo_talk_input_line(&input, "\"\"\"", 3), FLO_INPUT_LONG);
    assert_int_equal(flo_talk_input_line(&input, "short", 5), FLO_INPUT_TEXT);
    assert_string_equal(input.text.data, "short");
    flo_talk_input_deinit(&input);
    free(half);
}

static void a_text_under_way_can_be_forgotten(void **state)
{
    struct flo_talk_input input = {0};

    (void)state;
    assert_int_equal(flo_talk_input_line(&input, "\"\"\"one", 6), FLO_INPUT_MORE);
    flo_talk_input_drop(&input);
    assert_false(flo_talk_input_is_open(&input));
    assert_int_equal(flo_talk_input_line(&input, "/bye", 4), FLO_INPUT_COMMAND);
    assert_string_equal(input.text.data, "bye");
    flo_talk_input_deinit(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_text_and_one_with_a_slash_a_command),
        cmocka_unit_test(a_backslash_at_the_end_joins_the_next_line),
        cmocka_unit_test(three_quotes_hold_a_text_of_many_lines),
        cmocka_unit_test(keys_and_bytes_that_are_no_text_are_left_out),
        cmocka_unit_test(a_text_that_is_too_long_is_dropped_as_a_whole),
        cmocka_unit_test(a_text_under_way_can_be_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
