/* Log: one clean line per event, by level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include <flotilla/base.h>

/* The lines that `write_all` logs, with stderr led into a pipe meanwhile. */
static void captured(void (*write_all)(void), char *out, size_t out_bytes)
{
    int ends[2];
    int keep = dup(STDERR_FILENO);

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    write_all();
    assert_true(dup2(keep, STDERR_FILENO) >= 0);
    close(keep);
    close(ends[1]);
    ssize_t bytes = read(ends[0], out, out_bytes - 1);
    out[bytes > 0 ? bytes : 0] = '\0';
    close(ends[0]);
}

static void write_levels(void)
{
    flo_log_level_set(FLO_LOG_WARN);
    flo_log(FLO_LOG_ERROR, "disk", "%d left", 5);
    flo_log(FLO_LOG_WARN, "disk", "warned");
    flo_log(FLO_LOG_INFO, "disk", "not shown");
    flo_log(FLO_LOG_DEBUG, "disk", "not shown");
}

static void levels_below_the_spec_are_not_written(void **state)
{
    char text[4096];
    uint64_t wall_ms;
    (void)state;

    captured(write_levels, text, sizeof(text));

    assert_non_null(strstr(text, "Z error disk 5 left\n"));
    assert_non_null(strstr(text, "Z warn  disk warned\n"));
    assert_null(strstr(text, "not shown"));
    text[24] = '\0';
    assert_true(flo_time_parse(text, &wall_ms));
}

static void write_hostile(void)
{
    char long_text[3000];

    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    flo_log_level_set(FLO_LOG_INFO);
    flo_log(FLO_LOG_INFO, "net", "a\nb\x1b[0m\xff");
    flo_log(FLO_LOG_INFO, "net", "%s", long_text);
}

static void a_sentence_stays_one_line_whatever_it_quotes(void **state)
{
    char text[8192];
    size_t lines = 0;
    (void)state;

    captured(write_hostile, text, sizeof(text));

    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n' ? 1 : 0;
        assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
    }
    assert_int_equal(lines, 2);
    assert_non_null(strstr(text, "net a\\x0ab\\x1b[0m\\xff\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void write_error(void)
{
    struct flo_err err = {0};

    flo_log_level_set(FLO_LOG_INFO);
    flo_fail(&err, FLO_E_DISK_FULL, "386 MiB needed");
    flo_log_err(FLO_LOG_WARN, "update", &err);
    flo_err_why(&err, "122 free");
    flo_log_err(FLO_LOG_WARN, "update", &err);
}

static void an_error_is_logged_with_its_id(void **state)
{
    char text[4096];
    (void)state;

    captured(write_error, text, sizeof(text));

    assert_non_null(strstr(text, "update disk.full: 386 MiB needed\n"));
    assert_non_null(strstr(text, "update disk.full: 386 MiB needed (122 free)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_below_the_spec_are_not_written),
        cmocka_unit_test(a_sentence_stays_one_line_whatever_it_quotes),
        cmocka_unit_test(an_error_is_logged_with_its_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
