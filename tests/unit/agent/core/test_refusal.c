/* Orders that a device does not take: each case is a line of a golden trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>

#include "agent/core/refusal.h"
#include "unit/server/golden.h"

static struct flo_buf text;

static void say(bool is_so, const char *word)
{
    if (is_so) {
        flo_buf_printf(&text, ", %s", word);
    }
}

static void refuse(const char *scene, struct flo_refusal_facts facts)
{
    static const char *const answers[] = {"no answer", "the kept answer again", "refused"};
    struct flo_refusal refusal;

    flo_agent_refuse(&facts, &refusal);
    flo_buf_printf(&text, "%-18s %s: %s", flo_error_id(facts.code), scene, answers[refusal.answer]);
    say(refusal.is_told, "a security event");
    say(refusal.comes_again, "it has to come again");
    say(refusal.is_degraded, "this device is degraded");
    say(refusal.sees_clock, "a look at the clock");
    say(refusal.doubts, "asks for trust statements");
    say(refusal.asks, "asks for the newest number and the time");
    flo_buf_text(&text, "\n");
}

static void an_order_is_refused_asked_for_again_or_passed_over(void **state)
{
    static const int codes[] = {
        FLO_E_CMD_SCOPE,  FLO_E_CMD_EXPIRED,  FLO_E_CMD_FUTURE, FLO_E_CMD_EPOCH, FLO_E_CMD_LEAP,
        FLO_E_CMD_FORMAT, FLO_E_TARGET_LIMIT, FLO_E_DISK_FULL,  FLO_E_MEMORY,    FLO_E_SIG_BAD};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(codes); i++) {
        refuse("it came first", (struct flo_refusal_facts){.code = codes[i], .has_id = true});
        refuse("it was answered",
               (struct flo_refusal_facts){.code = codes[i], .has_id = true, .is_answered = true});
    }
    refuse("nobody can read it", (struct flo_refusal_facts){.code = FLO_E_SIG_BAD});
    refuse("nobody can read it", (struct flo_refusal_facts){.code = FLO_E_SIG_UNKNOWN_KEY});
    refuse("nobody can read it", (struct flo_refusal_facts){.code = FLO_E_MEMORY});
    refuse("of the next epoch", (struct flo_refusal_facts){.code = FLO_E_CMD_EPOCH,
                                                           .has_id = true,
                                                           .is_answered = true,
                                                           .is_next_epoch = true});
    refuse("the controller was asked",
           (struct flo_refusal_facts){.code = FLO_E_CMD_LEAP, .has_id = true, .was_asked = true});
    refuse(
        "the controller was asked",
        (struct flo_refusal_facts){.code = FLO_E_CMD_EXPIRED, .has_id = true, .was_asked = true});
    refuse("the clock is good", (struct flo_refusal_facts){.code = FLO_E_CMD_EXPIRED,
                                                           .has_id = true,
                                                           .clock_is_good = true});
    golden_check("refusal", text.data);
    flo_buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_refused_asked_for_again_or_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
