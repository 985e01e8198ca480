/* Errors: sentences, context, the printed form, the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/process.h>

static void a_failure_returns_its_code_and_keeps_the_sentence(void **state)
{
    struct flo_err err = {.why = "old"};
    (void)state;

    int rv = flo_fail(&err, FLO_E_ABSENT, "%s: %d", "thing", 7);

    assert_int_equal(rv, FLO_E_ABSENT);
    assert_int_equal(err.code, FLO_E_ABSENT);
    assert_string_equal(err.what, "thing: 7");
    assert_string_equal(err.why, "");
}

static void a_sentence_may_be_made_from_itself(void **state)
{
    struct flo_err err = {0};
    (void)state;

    flo_fail(&err, FLO_E_ABSENT, "inner");
    flo_fail(&err, FLO_E_STATE, "outer (%s)", err.what);

    assert_string_equal(err.what, "outer (inner)");
}

static void control_characters_and_bad_utf8_are_escaped(void **state)
{
    struct flo_err err = {0};
    (void)state;

    flo_fail(&err, FLO_E_ABSENT, "a\n\x1b[31m\xff\xc3\xa9");

    assert_string_equal(err.what, "a\\x0a\\x1b[31m\\xff\xc3\xa9");
}

static void what_a_terminal_obeys_in_utf8_is_escaped_too(void **state)
{
    struct flo_err err = {0};
    (void)state;

    /* C1 "CSI" and a right-to-left override; an em dash stays */
    flo_fail(&err, FLO_E_ABSENT, "a\xc2\x9b\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x94");

    assert_string_equal(err.what, "a\\xc2\\x9b\\xe2\\x80\\xae\\xe2\\x81\\xa6"
                                  "\xe2\x80\x94");
}

static void a_long_sentence_is_cut_between_characters(void **state)
{
    struct flo_err err = {0};
    char text[2001];
    (void)state;
    for (size_t i = 0; i < 2000; i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    text[2000] = '\0';

    flo_fail(&err, FLO_E_ABSENT, "x%s", text);

    size_t chars = strlen(err.what);
    assert_in_range(chars, sizeof(err.what) - 3, sizeof(err.what) - 1);
    assert_int_equal(flo_utf8_valid(err.what, chars), chars);
}

static void a_name_that_stands_there_is_not_put_in_front_again(void **state)
{
    struct flo_err err = {0};

    (void)state;
    flo_fail(&err, FLO_E_ABSENT, "README.md: No such file or directory");
    assert_int_equal(flo_wrap(&err, FLO_E_IO_OPEN, "%s", "README.md"), FLO_E_IO_OPEN);
    assert_int_equal(err.code, FLO_E_IO_OPEN);
    assert_string_equal(err.what, "README.md: No such file or directory");
    (void)flo_wrap(&err, FLO_E_IO_OPEN, "%s", "README");
    assert_string_equal(err.what, "README: README.md: No such file or directory");
}

static void a_context_stands_in_front(void **state)
{
    struct flo_err err = {0};
    (void)state;

    int rv = flo_fail(&err, FLO_E_DISK_FULL, "812 MB needed");
    rv = flo_wrap(&err, rv, "stage %s", "a@1");

    assert_int_equal(rv, FLO_E_DISK_FULL);
    assert_string_equal(err.what, "stage a@1: 812 MB needed");
}

static void what_the_system_lacks_wins_over_the_given_code(void **state)
{
    struct flo_err err = {0};
    (void)state;

    errno = ENOSPC;
    assert_int_equal(flo_fail_errno(&err, FLO_E_IO_WRITE, "f"), FLO_E_DISK_FULL);
    errno = ENOMEM;
    assert_int_equal(flo_fail_errno(&err, FLO_E_IO_WRITE, "f"), FLO_E_MEMORY);
    errno = EMFILE;
    assert_int_equal(flo_fail_errno(&err, FLO_E_IO_OPEN, "f"), FLO_E_DESCRIPTORS);
    errno = ENFILE;
    assert_int_equal(flo_fail_errno(&err, FLO_E_PROCESS, "f"), FLO_E_DESCRIPTORS);
    errno = EACCES;
    assert_int_equal(flo_fail_errno(&err, FLO_E_IO_WRITE, "f"), FLO_E_IO_WRITE);
    assert_string_equal(err.what, "f: Permission denied");
}

static void everything_accepts_null(void **state)
{
    (void)state;

    assert_int_equal(flo_fail(NULL, FLO_E_ABSENT, "x"), FLO_E_ABSENT);
    assert_int_equal(flo_wrap(NULL, FLO_E_ABSENT, "x"), FLO_E_ABSENT);
    assert_int_equal(flo_err_why(NULL, "x"), FLO_E_ABSENT);
}

static void assert_prints(const struct flo_err *err, const char *wanted, int exit_code)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);

    assert_int_equal(flo_err_print(file, err), exit_code);
    fclose(file);
    assert_string_equal(text, wanted);
    free(text);
}

static void the_printed_form_has_two_or_three_lines(void **state)
{
    struct flo_err err = {0};
    (void)state;

    flo_fail(&err, FLO_E_DISK_FULL, "386 MiB needed, 122 free");
    assert_prints(&err,
                  "error[disk.full]: 386 MiB needed, 122 free\n"
                  "  fix: free the named bytes, then try again\n",
                  FLO_EXIT_REFUSED);

    flo_err_why(&err, "the %s slot is kept", "previous");
    flo_err_fix(&err, "remove /data/x");
    assert_prints(&err,
                  "error[disk.full]: 386 MiB needed, 122 free\n"
                  "  why: the previous slot is kept\n"
                  "  fix: remove /data/x\n",
                  FLO_EXIT_REFUSED);
}

static void every_row_is_found_by_its_id(void **state)
{
    (void)state;

    size_t count = 0;
    int code;

    for (; (code = flo_error_at(count)) != 0; count++) {
        assert_true(code < 0);
        assert_int_equal(flo_error_place(code), count);
        assert_int_equal(flo_error_code(flo_error_id(code)), code);
        assert_true(strlen(flo_error_meaning(code)) > 0);
        assert_true(strlen(flo_error_fix(code)) > 0);
        assert_int_not_equal(flo_error_exit(code), FLO_EXIT_OK);
    }
    assert_true(count > 200 && count <= FLO_ERRORS_MAX);
    assert_int_equal(flo_error_place(0), FLO_ERRORS_MAX);
    assert_int_equal(flo_error_code("no.such"), 0);
    assert_string_equal(flo_error_id(-100000), "internal");
    assert_string_equal(flo_error_id(5), "internal");
}

/* `return flo_err_fix(err, ...)` of a caller that gave no place for it. */
static void test_a_failure_that_nobody_hears_is_no_success(void **state)
{
    (void)state;
    assert_int_equal(flo_fail(NULL, FLO_E_CFG_RANGE, "x"), FLO_E_CFG_RANGE);
    assert_int_equal(flo_err_fix(NULL, "do this"), FLO_E_CFG_RANGE);
    assert_int_equal(flo_err_why(NULL, "because"), FLO_E_CFG_RANGE);
    assert_int_equal(flo_wrap(NULL, FLO_E_DB, "y"), FLO_E_DB);
    assert_int_equal(flo_err_at(NULL, "/z"), FLO_E_DB);
    assert_int_not_equal(flo_url_check("http://db.example.com", &flo_url_http, NULL), 0);
}

static int two_steps(int first, int second, int *done)
{
    FLO_TRY(first);
    *done += 1;
    FLO_TRY(second);
    *done += 1;
    return 0;
}

static void a_step_that_fails_is_the_last_and_its_code_the_answer(void **state)
{
    int done = 0;
    (void)state;

    assert_int_equal(two_steps(FLO_E_ABSENT, FLO_E_STATE, &done), FLO_E_ABSENT);
    assert_int_equal(done, 0);
    assert_int_equal(two_steps(0, FLO_E_STATE, &done), FLO_E_STATE);
    assert_int_equal(done, 1);
    assert_int_equal(two_steps(1, 0, &done), 0);
    assert_int_equal(done, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_stands_there_is_not_put_in_front_again),
        cmocka_unit_test(a_failure_returns_its_code_and_keeps_the_sentence),
        cmocka_unit_test(test_a_failure_that_nobody_hears_is_no_success),
        cmocka_unit_test(a_sentence_may_be_made_from_itself),
        cmocka_unit_test(control_characters_and_bad_utf8_are_escaped),
        cmocka_unit_test(what_a_terminal_obeys_in_utf8_is_escaped_too),
        cmocka_unit_test(a_long_sentence_is_cut_between_characters),
        cmocka_unit_test(a_context_stands_in_front),
        cmocka_unit_test(what_the_system_lacks_wins_over_the_given_code),
        cmocka_unit_test(everything_accepts_null),
        cmocka_unit_test(a_step_that_fails_is_the_last_and_its_code_the_answer),
        cmocka_unit_test(the_printed_form_has_two_or_three_lines),
        cmocka_unit_test(every_row_is_found_by_its_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
