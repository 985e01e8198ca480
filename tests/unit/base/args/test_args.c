/* Command lines: what is understood, and what is said of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/args/args.h"

struct line {
    struct flo_args args;
    const char *file;
    bool is_forced;
    uint64_t bytes, soak_ms;
    uint32_t threads;
    const char *labels[4];
    size_t n_labels;
};
static struct line line;

static int take_label(void *state, const char *value, struct flo_err *err)
{
    struct line *to = state;

    if (strchr(value, '=') == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--label is `%s`, not k=v", value);
    }
    to->labels[to->n_labels++] = value;
    return 0;
}

static const char *kinds(void)
{
    return "red blue";
}

static const struct flo_flag global[] = {
    {"output", "table|json", "how answers are printed", .letter = 'o'},
    {"context", "NAME", "which fleet", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_flag make[] = {
    {"file", "FILE", "where it goes", FLO_TEXT(struct line, file)},
    {"force", NULL, "write over it", FLO_SWITCH(struct line, is_forced)},
    {"bytes", "N", "how many", FLO_U64(struct line, bytes)},
    {"threads", "N", "how many", FLO_U32(struct line, threads), .min = 1, .max = 64},
    {"soak", "DURATION", "how long", FLO_MS(struct line, soak_ms), .min = 200, .max = 604800000},
    {"label", "K=V", "of which kind:", .take = take_label, .more = kinds},
    {"context", "N", "tokens of context", FLO_ASKED},
    {"n", "N", "of something", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_flag send[] = {
    {"to", "HOST", "where it goes", .is_needed = true},
    FLO_FLAGS_END,
};
static const struct flo_verb
    ship_list = {"ship list", "", "ships", {0}, .state = &line},
    ship_make = {"ship make", "NAME [OTHER] [--file FILE]", "a ship", {make}, .state = &line},
    ship_send = {"ship send", "NAME... --to HOST", "away", {send}, .state = &line},
    undo = {"undo", "ID | --all", "back", {0}, .state = &line};
static const struct flo_verb *const verbs[] = {&ship_list, &ship_make, &ship_send, &undo};
static const char *const aliases[][2] = {{"ships", "ship"}, {"ls", "list"}, {NULL, NULL}};
static const char *const elsewhere[] = {"sink", NULL};
static const struct flo_args_program program = {
    .name = "yard",
    .about = "Builds ships",
    .verbs = verbs,
    .count = FLO_COUNT(verbs),
    .flags = global,
    .aliases = aliases,
    .elsewhere = elsewhere,
    .elsewhere_program = "sea",
    .elsewhere_package = "water",
};

static struct flo_err err;
static char said[8192];

/* Read "yard <text>", cut at spaces, into `line`. */
static int read_line_of(const struct flo_args_program *of, const char *text)
{
    static char copy[512];
    char *argv[32] = {copy};
    int argc = 1;
    struct flo_args *args = NULL;
    struct flo_buf help = {0};

    snprintf(copy, sizeof(copy), "x %s", text);
    argv[0] = strtok(copy, " ");
    while ((argv[argc] = strtok(NULL, " ")) != NULL) {
        argc++;
    }
    memset(&line, 0, sizeof(line));
    memset(&err, 0, sizeof(err));
    int rv = flo_args_read(of, argc, argv, &args, &help, &err);
    snprintf(said, sizeof(said), "%s", help.data == NULL ? "" : help.data);
    flo_buf_deinit(&help);
    if (rv < 0) {
        assert_true(rv == FLO_E_USAGE || rv == FLO_E_NOT_BUILT);
        assert_int_equal(err.code, rv);
        assert_true(err.what[0] != '\0' && err.fix[0] != '\0');
    }
    return rv;
}

static int read_line(const char *text)
{
    return read_line_of(&program, text);
}

static void refused(const char *text, const char *what, const char *fix)
{
    assert_int_equal(read_line(text), FLO_E_USAGE);
    assert_string_equal(err.what, what);
    assert_string_equal(err.fix, fix);
}

static void flags_fill_what_their_rows_say(void **state)
{
    (void)state;
    assert_int_equal(read_line("ship make a --file=f --force --bytes 7 b "
                               "--threads 64 --soak 30s --label k=v "
                               "--label l=w"),
                     0);
    assert_ptr_equal(line.args.verb, &ship_make);
    assert_string_equal(line.args.words[0], "a");
    assert_string_equal(line.args.words[1], "b");
    assert_null(line.args.words[2]);
    assert_string_equal(line.file, "f");
    assert_true(line.is_forced);
    assert_int_equal(line.bytes, 7);
    assert_int_equal(line.threads, 64);
    assert_int_equal(line.soak_ms, 30000);
    assert_int_equal(line.n_labels, 2);
    assert_string_equal(line.labels[1], "l=w");
}

static void the_last_of_a_flag_counts_and_each_can_be_asked(void **state)
{
    const char *value;

    (void)state;
    assert_int_equal(read_line("ship make a --file x --file y -n 1 -n=2"), 0);
    assert_string_equal(line.file, "y");
    assert_string_equal(flo_args_text(&line.args, "n", NULL), "2");
    assert_true(flo_args_each(&line.args, "n", 0, &value));
    assert_string_equal(value, "1");
    assert_false(flo_args_each(&line.args, "n", 2, &value));
    assert_true(flo_args_has(&line.args, "file"));
    assert_false(flo_args_has(&line.args, "force"));
}

static void flags_of_the_program_stand_anywhere(void **state)
{
    static const char *const lines[] = {"-o json ship list",       "ship -o json list",
                                        "ship list --output=json", "--context c -o json ships ls",
                                        "ship list -ojson",        "-ojson ship list",
                                        "ship -o=json list"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(lines); i++) {
        assert_int_equal(read_line(lines[i]), 0);
        assert_ptr_equal(line.args.verb, &ship_list);
        assert_true(line.args.is_json);
    }
}

static void a_verbs_own_flag_is_not_the_programs_of_that_name(void **state)
{
    (void)state;
    assert_int_equal(read_line("--context prod ship make a --context 512"), 0);
    assert_string_equal(flo_args_global(&line.args, "context", NULL), "prod");
    assert_string_equal(flo_args_text(&line.args, "context", NULL), "512");
    assert_int_equal(read_line("--context prod ship make a"), 0);
    assert_string_equal(flo_args_global(&line.args, "context", NULL), "prod");
    assert_null(flo_args_text(&line.args, "context", NULL));
}

static void behind_two_dashes_all_are_words(void **state)
{
    (void)state;
    assert_int_equal(read_line("ship send --to h -- -a --help"), 0);
    assert_int_equal(line.args.word_count, 2);
    assert_string_equal(line.args.words[1], "--help");
}

static void words_are_counted_by_the_usage(void **state)
{
    (void)state;
    refused("ship make", "`yard ship make` needs NAME",
            "yard ship make NAME [OTHER] [--file FILE]");
    refused("ship make a b c", "`c` is too much for `yard ship make`",
            "yard ship make NAME [OTHER] [--file FILE]");
    refused("ship list a", "`a` is too much for `yard ship list`", "yard ship list");
    assert_int_equal(read_line("ship send a b c d --to h"), 0);
    assert_int_equal(read_line("undo"), 0);
    assert_int_equal(read_line("undo 7"), 0);
}

static void a_wrong_value_is_told_with_what_is_possible(void **state)
{
    (void)state;
    refused("ship make a --threads 65", "--threads is `65`, not a number from 1 to 64",
            "yard ship make --help");
    refused("ship make a --bytes 99999999999999999999",
            "--bytes is `99999999999999999999`, not a number from 0 to "
            "18446744073709551615",
            "yard ship make --help");
    refused("ship make a --bytes -1",
            "--bytes is `-1`, not a number from 0 to 18446744073709551615",
            "yard ship make --help");
    refused("ship make a --soak 8d", "--soak is `8d`, not a duration from 200ms to 7d",
            "yard ship make --help");
    refused("ship list -o yaml", "--output is `yaml`, not one of table|json",
            "yard ship list --help");
    refused("ship make a --label x", "--label is `x`, not k=v", "yard ship make --help");
    refused("ship make a --file", "--file needs a value: FILE", "yard ship make --help");
    refused("ship make a --force=1", "--force takes no value", "yard ship make --help");
    refused("ship send a", "`yard ship send` needs --to HOST", "yard ship send NAME... --to HOST");
}

static void near_words_are_offered(void **state)
{
    (void)state;
    refused("ship make a --forse", "`--forse` is no flag of `yard ship make`",
            "did you mean `--force`?");
    refused("ship make a --contxt=1", "`--contxt` is no flag of `yard ship make`",
            "did you mean `--context`?");
    refused("ship make a -x", "`-x` is no flag of `yard ship make`",
            "yard ship make --help lists the flags");
    refused("ship make a -fil x", "`-fil` is no flag of `yard ship make`",
            "did you mean `--file`?");
    refused("ship make a -context x", "`-context` is no flag of `yard ship make`",
            "did you mean `--context`?");
    refused("ship la", "`ship la` is no command of yard", "did you mean `ship list`?");
    refused("shps list", "`shps` is no command of yard", "did you mean `ship`?");
    refused("shp list", "`shp` is no command of yard", "did you mean `ship`?");
    refused("ship lst", "`ship lst` is no command of yard", "did you mean `ship list`?");
    refused("mkae a", "`mkae` is no command of yard", "did you mean `ship make`?");
    refused("ls", "`ls` is no command of yard", "did you mean `ship list`?");
    refused("qqqqqqq", "`qqqqqqq` is no command of yard", "yard --help lists the commands");
    refused("ship", "`yard ship` needs a verb", "yard ship --help lists them");
    refused("--forse ship list", "`--forse` is no flag of `yard`", "yard --help lists the flags");
    refused("-o json", "yard needs a command", "yard --help lists them");
}

static void a_command_that_moved_is_told_where_it_is(void **state)
{
    (void)state;
    refused("sink a", "`sink` is no command of yard", "sea sink does it (package water)");
}

static void json_is_seen_behind_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(read_line("ship list --x -o json"), FLO_E_USAGE);
    assert_true(line.args.is_json);
    assert_int_equal(read_line("ship list --x"), FLO_E_USAGE);
    assert_false(line.args.is_json);
}

static void help_comes_from_the_tables(void **state)
{
    (void)state;
    assert_int_equal(read_line("ship make --help --nonsense"), 0);
    assert_string_equal(said, "usage: yard ship make NAME [OTHER] [--file FILE]\n"
                              "\n"
                              "A ship.\n"
                              "\n"
                              "  --file FILE              where it goes\n"
                              "  --force                  write over it\n"
                              "  --bytes N                how many\n"
                              "  --threads N              how many\n"
                              "  --soak DURATION          how long\n"
                              "  --label K=V              of which kind: red blue\n"
                              "  --context N              tokens of context\n"
                              "  -n N                     of something\n"
                              "\n"
                              "Flags of every command: yard --help\n");
    static const char *const wholes[] = {"--help", "-h", "help", "-o json --help"};
    for (size_t i = 0; i < FLO_COUNT(wholes); i++) {
        assert_int_equal(read_line(wholes[i]), 0);
        assert_non_null(strstr(said, "  ship make  a ship\n"));
        assert_non_null(strstr(said, "  -o, --output table|json  how"));
    }
    assert_int_equal(read_line("help ship"), 0);
    assert_non_null(strstr(said, "  ship send  away\n"));
    assert_null(strstr(said, "undo"));
    assert_int_equal(read_line("help ship make"), 0);
    assert_non_null(strstr(said, "--soak"));
    assert_int_equal(read_line("--version"), 0);
    assert_string_equal(said, "yard " FLO_VERSION "\n");
}

static void a_verb_that_is_left_out_names_its_option(void **state)
{
    static const struct flo_verb sail = {
        "sail", "", "left out of this program, as YARD_SAIL is off", {0}, .left_out = "YARD_SAIL"};
    static const struct flo_verb *const some[] = {&ship_list, &sail};
    const struct flo_args_program small = {
        .name = "yard", .about = "Builds ships", .verbs = some, .count = FLO_COUNT(some)};

    (void)state;
    assert_int_equal(read_line_of(&small, "sail home --fast"), FLO_E_NOT_BUILT);
    assert_string_equal(err.what, "sail: left out of this program, as YARD_SAIL is off");
    assert_string_equal(err.fix, "build it with -DYARD_SAIL=ON (docs/install.md)");
    assert_int_equal(read_line_of(&small, "ship list"), 0);
}

static void help_of_many_verbs_has_groups_and_a_start(void **state)
{
    static const struct flo_verb port = {
        "port", "", "the harbour", .state = &line, .example = "", .group = "Land"};
    static const struct flo_verb make_one = {
        "ship make", "NAME", "a ship", .state = &line, .example = "'the one'", .group = "Sea"};
    static const struct flo_verb list_them = {
        "ship list", "", "ships", .state = &line, .example = "", .group = "Sea"};
    static const struct flo_verb *const grouped[] = {&port, &make_one, &list_them};
    static const struct flo_verb *const start[] = {&make_one, NULL};
    const struct flo_args_program many = {.name = "yard",
                                          .about = "Builds ships",
                                          .verbs = grouped,
                                          .count = FLO_COUNT(grouped),
                                          .start = start};

    (void)state;
    assert_int_equal(read_line_of(&many, "--help"), 0);
    assert_string_equal(said, "usage: yard COMMAND [FLAG...]\n"
                              "\n"
                              "Builds ships.\n"
                              "\n"
                              "Start here:\n"
                              "  yard ship make 'the one'\n"
                              "      a ship\n"
                              "\n"
                              "Land:\n"
                              "  port           the harbour\n"
                              "\n"
                              "Sea:\n"
                              "  ship           make, list\n"
                              "\n"
                              "yard COMMAND --help tells its flags, with an example.\n");
    assert_int_equal(read_line_of(&many, "port --help"), 0);
    assert_non_null(strstr(said, "\nExample:\n  yard port\n"));
}

static void a_line_without_a_verb_is_of_the_standard_one(void **state)
{
    const struct flo_args_program with = {.name = "yard",
                                          .verbs = verbs,
                                          .count = FLO_COUNT(verbs),
                                          .flags = global,
                                          .standard = "undo"};

    (void)state;
    assert_int_equal(read_line_of(&with, "--context c"), 0);
    assert_ptr_equal(line.args.verb, &undo);
    assert_int_equal(read_line_of(&with, "--contxt c"), FLO_E_USAGE);
    assert_string_equal(err.fix, "did you mean `--context`?");
    assert_int_equal(read_line_of(&with, "--context c ship list"), 0);
    assert_ptr_equal(line.args.verb, &ship_list);
}

static void a_program_of_one_command_has_no_verb(void **state)
{
    const struct flo_verb only = {"", "--to HOST", "all of it", {send}, .state = &line};
    const struct flo_verb *const list[] = {&only};
    const struct flo_args_program one = {.name = "boat", .verbs = list, .count = 1};

    (void)state;
    assert_int_equal(read_line_of(&one, "--to h"), 0);
    assert_int_equal(read_line_of(&one, ""), FLO_E_USAGE);
    assert_string_equal(err.what, "`boat` needs --to HOST");
    assert_int_equal(read_line_of(&one, "word --to h"), FLO_E_USAGE);
    assert_string_equal(err.what, "`word` is too much for `boat`");
    assert_int_equal(read_line_of(&one, "--help"), 0);
    assert_non_null(strstr(said, "usage: boat --to HOST\n"));
}

/* Names that exist: the context "c1", as --context says, and ships. */
static void names(const struct flo_args *of, const char *what, struct flo_buf *out)
{
    flo_buf_printf(out, "%s-of-%s\tis there\n", what, flo_args_text(of, "context", "nowhere"));
}

/* The lines for "yard <text>"; the last word is typed so far. */
static const char *complete(const char *text)
{
    struct flo_args_program with = program;
    static char copy[512];
    char *argv[32];
    int argc = 0;
    struct flo_buf out = {0};

    with.names = names;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *at = copy; at != NULL;) {
        char *space = strchr(at, ' ');
        argv[argc++] = at;
        if (space != NULL) {
            *space++ = '\0';
        }
        at = space;
    }
    flo_args_complete(&with, argc, argv, &out);
    snprintf(said, sizeof(said), "%.*s", (int)out.bytes, out.data != NULL ? (char *)out.data : "");
    flo_buf_deinit(&out);
    return said;
}

static void the_shell_is_told_what_may_stand_there(void **state)
{
    (void)state;
    assert_string_equal(complete(""), "ship\t\nundo\tback\n");
    assert_string_equal(complete("u"), "undo\tback\n");
    assert_string_equal(complete("ships li"), "list\tships\n");
    assert_string_equal(complete("-o json ship m"), "make\ta ship\n");
    assert_string_equal(complete("ship make --fo"), "--force\twrite over it\n");
    assert_string_equal(complete("ship make -o "), "table\t\njson\t\n");
    assert_string_equal(complete("ship list --output=j"), "json\t\n");
    assert_string_equal(complete("ship make --file "), ":files\n");
    assert_string_equal(complete("nosuch verb "), "");
    assert_string_equal(complete("ship make a b c"), "");
}

static void names_are_asked_for_with_the_flags_that_were_given(void **state)
{
    (void)state;
    assert_string_equal(complete("ship make --file f "), "NAME-of-nowhere\tis there\n");
    assert_string_equal(complete("ship make one "), "OTHER-of-nowhere\tis there\n");
    assert_string_equal(complete("--context=c1 ship send a b N"), "NAME-of-c1\tis there\n");
    assert_string_equal(complete("undo "), "ID-of-nowhere\tis there\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_fill_what_their_rows_say),
        cmocka_unit_test(the_last_of_a_flag_counts_and_each_can_be_asked),
        cmocka_unit_test(flags_of_the_program_stand_anywhere),
        cmocka_unit_test(a_verbs_own_flag_is_not_the_programs_of_that_name),
        cmocka_unit_test(behind_two_dashes_all_are_words),
        cmocka_unit_test(words_are_counted_by_the_usage),
        cmocka_unit_test(a_wrong_value_is_told_with_what_is_possible),
        cmocka_unit_test(near_words_are_offered),
        cmocka_unit_test(a_command_that_moved_is_told_where_it_is),
        cmocka_unit_test(json_is_seen_behind_what_is_wrong),
        cmocka_unit_test(help_comes_from_the_tables),
        cmocka_unit_test(help_of_many_verbs_has_groups_and_a_start),
        cmocka_unit_test(a_line_without_a_verb_is_of_the_standard_one),
        cmocka_unit_test(a_program_of_one_command_has_no_verb),
        cmocka_unit_test(a_verb_that_is_left_out_names_its_option),
        cmocka_unit_test(the_shell_is_told_what_may_stand_there),
        cmocka_unit_test(names_are_asked_for_with_the_flags_that_were_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
