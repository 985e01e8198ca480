/* Reports of what a program said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/hook.h>

#include "agent/shell/report/report.h"

/* ---- of other files ---- */

json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes)
{
    (void)settings, (void)machine, (void)disk_free_bytes;
    return json_object();
}

uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why)
{
    (void)shell;
    *why = FLO_RUNG_NONE;
    return 0;
}

const char *flo_rung_why_word(enum flo_rung_why why)
{
    (void)why;
    return "";
}

void flo_shell_refusal(const struct flo_trust *trust, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    (void)trust, (void)slots, (void)release, (void)number;
    memset(out, 0, sizeof(*out));
}

json_t *flo_events_told_json(const struct flo_outbox_db *db)
{
    (void)db;
    return json_object();
}

bool flo_shell_prompts_stay(const struct flo_shell *shell)
{
    return shell->device.prompts_stay;
}

json_t *flo_witness_json(const struct flo_shell *shell)
{
    (void)shell;
    return json_array();
}

/* ---- reports ---- */

/* The room for a sentence ends in the middle of a character. */
static void an_error_is_told_though_it_was_cut_in_a_character(void **state)
{
    struct flo_agent_error error = {.code = FLO_E_HOOK_FAILED};
    size_t room = sizeof(error.what) - 1;

    (void)state;
    memset(error.what, 'a', room);
    memcpy(error.what + room - 2, "\xe2\x82", 2); /* of a euro sign */
    json_t *json = flo_report_error(&error);
    assert_non_null(json);
    const char *what = json_string_value(json_object_get(json, "what"));
    assert_non_null(what);
    assert_memory_equal(what, error.what, room - 2);
    assert_string_equal(json_string_value(json_object_get(json, "id")), "hook.failed");
    json_decref(json);
}

static void an_end_has_its_error_though_it_was_cut(void **state)
{
    struct flo_agent_execution execution = {
        .state = FLO_EXECUTION_ROLLED_BACK,
        .error = {.code = FLO_E_HOOK_FAILED, .what = "caf\xc3"}};

    (void)state;
    json_t *json = flo_report_execution(&execution);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "error"), "id")),
                        "hook.failed");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_told_though_it_was_cut_in_a_character),
        cmocka_unit_test(an_end_has_its_error_though_it_was_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
