/* The commands of a chat, the values that it sets, and its turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "engine/talk/talk.h"

/* ---- commands ---- */

static void commands_are_known_with_their_words(void **state)
{
    static const struct {
        const char *line;
        enum flo_talk_command command;
        const char *rest;
    } cases[] = {
        {"set top_p 0.5", FLO_TALK_SET, "top_p 0.5"},
        {"set  system  two  words ", FLO_TALK_SET, "system  two  words "},
        {"show", FLO_TALK_SHOW, ""},
        {"show template", FLO_TALK_SHOW, "template"},
        {"clear", FLO_TALK_CLEAR, ""},
        {"help ", FLO_TALK_HELP, ""},
        {"bye", FLO_TALK_BYE, ""},
        {"exit", FLO_TALK_BYE, ""},
        {"quit", FLO_TALK_BYE, ""},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        enum flo_talk_command command;
        const char *rest;
        assert_int_equal(flo_talk_command(cases[i].line, &command, &rest, NULL), 0);
        assert_int_equal(command, cases[i].command);
        assert_string_equal(rest, cases[i].rest);
    }
}

static void an_unknown_command_names_the_near_one(void **state)
{
    static const struct {
        const char *line, *what, *fix;
    } cases[] = {
        {"shwo", "there is no command `/shwo`", "did you mean `/show`?"},
        {"claer now", "there is no command `/claer`", "did you mean `/clear`?"},
        {"etc/passwd, is it text?", "there is no command `/etc/passwd,`", "\"\"\""},
        {"", "there is no command `/`", "/help"},
        {"bye now", "`/bye` takes no words, not `now`", ""},
        {"a-name-that-is-far-longer-than-any-command-of-ours",
         "`/a-name-that-is-far-longer-than-any-comma`", "/help"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        enum flo_talk_command command;
        const char *rest;
        struct flo_err err = {0};
        assert_int_equal(flo_talk_command(cases[i].line, &command, &rest, &err), FLO_E_USAGE);
        assert_non_null(strstr(err.what, cases[i].what));
        assert_non_null(strstr(err.fix, cases[i].fix));
    }
}

/* ---- values ---- */

static void expect_set(struct flo_talk_settings *settings, const char *words, const char *wanted)
{
    struct flo_buf out = {0};
    struct flo_err err = {0};
    int rv = flo_talk_settings_set(settings, words, &out, &err);
    const char *said = rv < 0 ? err.what : out.data;

    assert_true(rv == 0 || rv == FLO_E_USAGE);
    if (strcmp(said, wanted) != 0) {
        fail_msg("/set %s: '%s', '%s' expected", words, said, wanted);
    }
    flo_buf_deinit(&out);
}

static void a_value_is_set_within_its_range(void **state)
{
    static const struct {
        const char *words, *wanted;
    } cases[] = {
        {"temperature 0.7", "temperature 0.7\n"},
        {"temp 2", "temperature 2\n"}, /* the flag's name */
        {"temperature 2.01", "temperature is '2.01', must be from 0 to 2"},
        {"temperature -0.1", "temperature is '-0.1', must be from 0 to 2"},
        {"temperature nan", "temperature is 'nan', must be from 0 to 2"},
        {"temperature hot", "temperature is 'hot', must be from 0 to 2"},
        {"temperature 1x", "temperature is '1x', must be from 0 to 2"},
        {"top_p 1", "top_p 1\n"},
        {"top_p 1.5", "top_p is '1.5', must be from 0 to 1"},
        {"top-k 40", "top_k 40\n"},
        {"top_k -1", "top_k is '-1', must be from 0 to 1048576"},
        {"top_k 1048577", "top_k is '1048577', must be from 0 to 1048576"},
        {"top_k 1.5", "top_k is '1.5', must be from 0 to 1048576"},
        {"repeat_penalty 0.4", "repeat_penalty is '0.4', must be from 0.5 to 2"},
        {"seed 9223372036854775807", "seed 9223372036854775807\n"},
        {"seed 9223372036854775808", "seed is '9223372036854775808', must be from 0 to "
                                     "9223372036854775807"},
        {"seed 99999999999999999999999", "seed is '99999999999999999999999', must be from 0 to "
                                         "9223372036854775807"},
        {"max_tokens 0", "max_tokens is '0', must be from 1 to 1048576"},
        {"max_tokens 5", "max_tokens 5\n"},
        {"max_tokens default", "max_tokens none\n"},
        {"thinking off", "thinking off\n"},
        {"thinking maybe", "thinking is 'maybe', not auto, on or off"},
        {"system You are  brief.", "system You are  brief.\n"},
        {"system default", "system none\n"},
        {"top_q 1", "there is no value `top_q`"},
        {"top_p", "`/set top_p` needs a value"},
        {"top_p  ", "`/set top_p` needs a value"},
    };
    struct flo_talk_settings settings = {0};
    struct flo_buf told = {0};
    struct flo_err err = {0};

    (void)state;
    flo_talk_settings_init(&settings);
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        expect_set(&settings, cases[i].words, cases[i].wanted);
    }
    /* A refused one has changed nothing. */
    flo_talk_settings_tell(&settings, &told);
    assert_string_equal(told.data, "temperature 2, top_p 1, top_k 40, min_p 0, "
                                   "repeat_penalty 1, repeat_last_n 64, seed "
                                   "9223372036854775807, max_tokens none, thinking off");
    assert_int_equal(flo_talk_settings_set(&settings, "temprature 1", &told, &err), FLO_E_USAGE);
    assert_string_equal(err.fix, "did you mean `temperature`?");
    flo_buf_deinit(&told);
    flo_talk_settings_deinit(&settings);
}

static void a_flag_is_named_in_its_error(void **state)
{
    struct flo_talk_settings settings = {0};
    struct flo_err err = {0};
    int row = flo_talk_setting_find("top-p");

    (void)state;
    flo_talk_settings_init(&settings);
    assert_string_equal(flo_talk_setting_flag(row), "top-p");
    assert_int_equal(flo_talk_setting_find("top_p"), row);
    assert_int_equal(flo_talk_setting_find("topp"), -1);
    assert_int_equal(flo_talk_setting_put(&settings, row, "--top-p", "7", &err), FLO_E_USAGE);
    assert_string_equal(err.what, "--top-p is '7', must be from 0 to 1");
}

static void all_values_are_listed_with_their_ranges(void **state)
{
    struct flo_talk_settings settings = {0};
    struct flo_buf out = {0};
    size_t lines = 0;
    int rows = 0;

    (void)state;
    flo_talk_settings_init(&settings);
    assert_int_equal(flo_talk_settings_set(&settings, "", &out, NULL), 0);
    for (const char *at = out.data; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    while (flo_talk_setting_flag(rows) != NULL) {
        rows++;
    }
    assert_int_equal(lines, rows);
    assert_non_null(strstr(out.data, "  temperature     0      from 0 to 2;"));
    flo_buf_deinit(&out);
}

static void values_reach_the_sampler_and_the_api(void **state)
{
    struct flo_talk_settings settings = {0};
    struct flo_sampling sampling;
    struct flo_buf json = {0};

    (void)state;
    flo_talk_settings_init(&settings);
    flo_talk_settings_json(&settings, &json);
    assert_string_equal(json.data, ",\"temperature\":0,\"top_p\":1,\"top_k\":0,"
                                   "\"min_p\":0,\"repeat_penalty\":1,"
                                   "\"repeat_last_n\":64,\"seed\":0");
    expect_set(&settings, "temperature 0.5", "temperature 0.5\n");
    expect_set(&settings, "top_k 3", "top_k 3\n");
    expect_set(&settings, "seed 9", "seed 9\n");
    expect_set(&settings, "max_tokens 8", "max_tokens 8\n");
    expect_set(&settings, "thinking off", "thinking off\n");
    flo_talk_settings_sampling(&settings, &sampling);
    assert_true(sampling.temperature == 0.5f && sampling.top_p == 1 && sampling.top_k == 3 &&
                sampling.seed == 9);
    json.bytes = 0;
    flo_talk_settings_json(&settings, &json);
    assert_non_null(strstr(json.data, ",\"temperature\":0.5,"));
    assert_non_null(strstr(json.data, ",\"seed\":9,\"max_tokens\":8,"
                                      "\"chat_template_kwargs\":{\"enable_thinking\":"
                                      "false}"));
    /* The engine takes 0 of either for "off"; here it is a value. */
    expect_set(&settings, "top_p 0", "top_p 0\n");
    expect_set(&settings, "repeat_penalty 1.5", "repeat_penalty 1.5\n");
    expect_set(&settings, "repeat_last_n 0", "repeat_last_n 0\n");
    flo_talk_settings_sampling(&settings, &sampling);
    assert_true(sampling.temperature == 0 && sampling.repeat_penalty == 1);
    assert_int_equal(flo_sampling_check(&sampling, NULL), 0);
    flo_buf_deinit(&json);
    flo_talk_settings_deinit(&settings);
}

/* ---- turns ---- */

static void say(struct flo_history *history, const char *text)
{
    static const char *const roles[] = {"user", "assistant"};

    assert_int_equal(flo_history_add(history, roles[history->count % 2], text, strlen(text), NULL),
                     0);
}

static void turns_are_messages_behind_the_systems(void **state)
{
    struct flo_engine_message out[FLO_HISTORY_MAX + 2];
    struct flo_history history = {0};

    (void)state;
    say(&history, "Hi");
    say(&history, "Ho");
    say(&history, "How?");
    assert_int_equal(flo_history_messages(&history, 0, NULL, out), 3);
    assert_string_equal(out[0].role, "user");
    assert_string_equal(out[0].text, "Hi");
    assert_int_equal(flo_history_messages(&history, 2, "Be kind.", out), 2);
    assert_string_equal(out[0].role, "system");
    assert_string_equal(out[1].text, "How?");
    assert_int_equal(out[1].bytes, 4);
    flo_history_cut(&history, 1);
    assert_int_equal(flo_history_messages(&history, 0, NULL, out), 1);
    flo_history_cut(&history, 0);
}

static void the_older_half_goes_in_pairs_and_the_question_stays(void **state)
{
    struct flo_history history = {0};

    (void)state;
    for (int i = 0; i < 11; i++) { /* 5 pairs and a question */
        char text[4];
        snprintf(text, sizeof(text), "%d", i);
        say(&history, text);
    }
    assert_int_equal(flo_history_younger(&history, 0), 6);
    assert_int_equal(flo_history_younger(&history, 6), 8);
    assert_int_equal(flo_history_younger(&history, 8), 10);
    assert_int_equal(flo_history_younger(&history, 10), 10);
    flo_history_drop(&history, 6);
    assert_int_equal(history.count, 5);
    assert_string_equal(history.turns[0].text, "6");
    assert_string_equal(history.turns[4].text, "10");
    flo_history_cut(&history, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_known_with_their_words),
        cmocka_unit_test(an_unknown_command_names_the_near_one),
        cmocka_unit_test(a_value_is_set_within_its_range),
        cmocka_unit_test(a_flag_is_named_in_its_error),
        cmocka_unit_test(all_values_are_listed_with_their_ranges),
        cmocka_unit_test(values_reach_the_sampler_and_the_api),
        cmocka_unit_test(turns_are_messages_behind_the_systems),
        cmocka_unit_test(the_older_half_goes_in_pairs_and_the_question_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
