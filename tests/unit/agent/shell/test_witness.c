/* The device as a witness of the audit: a line that it was told is kept until
 * it was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/report/report.h"
#include "tests/shell_rooms.h"
#include "unit/remove_tree.h"

#define HASH "sha256:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN
#define SIXTEEN "0123456789abcdef"
#define SIGNATURE SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN
#define LINE(number, at) "head " number " " HASH " " at " " SIGNATURE

static char folder[64];
static struct flo_shell *shell;

static void start(void)
{
    flo_outbox_db_close(shell->db);
    shell->report->witness_is_told = false;
    assert_int_equal(flo_outbox_db_open(folder, 1 << 20, &shell->db, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    snprintf(folder, sizeof(folder), "/tmp/flo-witness-XXXXXX");
    assert_non_null(mkdtemp(folder));
    shell = calloc(1, sizeof(*shell));
    assert_non_null(shell);
    shell_empty(shell);
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flo_outbox_db_close(shell->db);
    free(shell);
    return remove_tree(folder);
}

/* The numbers of the lines in the next report. */
static void says(const char *wanted)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *lines = flo_witness_json(shell);
    char said[64] = "";
    size_t i;
    const json_t *line;

    json_array_foreach(lines, i, line)
    {
        strncat(said, json_string_value(line) + strlen("head "), 3);
    }
    assert_string_equal(said, wanted);
}

static void the_highest_line_is_kept_over_restarts(void **state)
{
    (void)state;
    says("");
    assert_false(flo_witness_hear(shell, LINE("20", "500"), 100));
    assert_false(flo_witness_hear(shell, LINE("20", "500"), 100));
    assert_true(flo_witness_hear(shell, LINE("10", "600"), 100));
    says("20 ");
    start();
    says("20 ");
    (void)flo_witness_hear(shell, LINE("10", "700"), 100);
    says("20 ");
}

/* It was away while table and file were cut and grew again. */
static void a_line_is_said_before_a_newer_one_takes_its_place(void **state)
{
    (void)state;
    (void)flo_witness_hear(shell, LINE("20", "500"), 100);
    flo_witness_told(shell); /* to the controller of then */
    start();
    (void)flo_witness_hear(shell, LINE("30", "600"), 100);
    says("30 20 ");
    (void)flo_witness_hear(shell, LINE("40", "700"), 100); /* nothing was said yet */
    says("40 20 ");
    start();
    says("40 20 ");
    flo_witness_told(shell);
    says("40 ");
    start();
    (void)flo_witness_hear(shell, LINE("50", "800"), 100);
    says("50 40 ");
}

static void lines_from_before_a_restore_are_over(void **state)
{
    (void)state;
    (void)flo_witness_hear(shell, LINE("20", "500"), 100);
    (void)flo_witness_hear(shell, LINE("30", "600"), 100);
    (void)flo_witness_hear(shell, LINE("12", "900"), 800);
    says("12 ");
}

static void anything_else_is_passed_over(void **state)
{
    static const char *const others[] = {"",
                                         "head",
                                         LINE("20", "500") " ",
                                         LINE("-1", "500"),
                                         "restart 20 " HASH " 500 " SIGNATURE,
                                         "head 20 " HASH " 500 abc",
                                         LINE("99999999999999999999999", "500")};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        (void)flo_witness_hear(shell, others[i], 100);
    }
    says("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_highest_line_is_kept_over_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_is_said_before_a_newer_one_takes_its_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lines_from_before_a_restore_are_over, setup, teardown),
        cmocka_unit_test_setup_teardown(anything_else_is_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
