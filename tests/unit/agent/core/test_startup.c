/* Startup with each state of the records, as golden traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/startup.h"
#include "unit/server/golden.h"

static struct flo_buf text;

static void check(const char *name)
{
    golden_check(name, text.data);
    flo_buf_deinit(&text);
}

/* ---- the record of a model ---- */

struct disk {
    const char *scene;
    uint32_t failures; /* of so many reads */
    bool is_damaged, is_found;
};

static const char *word_of(enum flo_startup_step step)
{
    static const char *const words[] = {
        [FLO_STARTUP_READ] = "read",       [FLO_STARTUP_SEARCH] = "search",
        [FLO_STARTUP_RECOVER] = "recover", [FLO_STARTUP_TAKE] = "take",
        [FLO_STARTUP_LEAVE] = "leave",     [FLO_STARTUP_GIVE_UP] = "give up"};

    return words[step];
}

static void read_one(const struct disk *disk)
{
    struct flo_startup_record record = {.reading = FLO_STARTUP_UNREAD};
    enum flo_startup_step step;

    flo_buf_printf(&text, "%s:", disk->scene);
    do {
        step = flo_startup_record_next(&record);
        flo_buf_printf(&text, " %s", word_of(step));
        if (step == FLO_STARTUP_READ && record.failures < disk->failures) {
            record.reading = FLO_STARTUP_FAILED;
            record.failures++;
        } else if (step == FLO_STARTUP_READ) {
            record.reading = disk->is_damaged ? FLO_STARTUP_DAMAGED : FLO_STARTUP_WHOLE;
        } else if (step == FLO_STARTUP_SEARCH) {
            record.was_searched = true;
            record.is_found = disk->is_found;
        } else if (step == FLO_STARTUP_RECOVER) {
            record.reading = FLO_STARTUP_WHOLE;
        }
    } while (step < FLO_STARTUP_TAKE);
    flo_buf_text(&text, "\n");
}

static void a_record_is_read_repaired_or_left(void **state)
{
    static const struct disk disks[] = {
        {"a whole record", 0, false, false},
        {"both halves are damaged, a signed release is here", 0, true, true},
        {"both halves are damaged, no release is here", 0, true, false},
        {"the disk fails once", 1, false, false},
        {"the disk fails twice, then both halves are damaged", 2, true, true},
        {"the disk fails three times", 3, false, false},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(disks); i++) {
        read_one(&disks[i]);
    }
    check("startup-record");
}

/* ---- the execution under way ---- */

static void say(bool is_so, const char *word)
{
    if (is_so) {
        flo_buf_printf(&text, "%s ", word);
    }
}

static void also(bool is_so, const char *word)
{
    if (is_so) {
        flo_buf_printf(&text, ", %s", word);
    }
}

static void go_on(const struct flo_startup_execution *facts)
{
    static const char *const sources[] = {"nothing goes on", "the database's goes on",
                                          "the record's goes on"};
    struct flo_startup_verdict verdict;

    flo_startup_execution(facts, &verdict);
    say(facts->has_story, "database");
    say(facts->has_candidate, facts->is_trial ? "trial" : "candidate");
    say(facts->has_story && facts->has_candidate, facts->is_same ? "(the same)" : "(another)");
    say(facts->has_ended, facts->has_succeeded ? "succeeded" : "ended");
    flo_buf_printf(&text, "-> %s", sources[verdict.source]);
    also(verdict.drops, "the candidate goes");
    also(verdict.commits, "the candidate is current");
    also(verdict.has_ended, "to be cleaned up");
    flo_buf_text(&text, "\n");
}

static void an_execution_goes_on_by_the_database_or_by_the_record(void **state)
{
    (void)state;
    go_on(&(struct flo_startup_execution){.has_story = false});
    go_on(&(struct flo_startup_execution){.has_story = true});
    for (unsigned bits = 0; bits < 4; bits++) {
        go_on(&(struct flo_startup_execution){.has_story = true,
                                              .has_candidate = true,
                                              .is_same = (bits & 1) != 0,
                                              .is_trial = (bits & 2) != 0});
    }
    for (unsigned bits = 0; bits < 2; bits++) {
        const bool is_trial = bits != 0;
        go_on(&(struct flo_startup_execution){.has_candidate = true, .is_trial = is_trial});
        go_on(&(struct flo_startup_execution){
            .has_candidate = true, .is_trial = is_trial, .has_ended = true});
        go_on(&(struct flo_startup_execution){
            .has_candidate = true, .is_trial = is_trial, .has_ended = true, .has_succeeded = true});
    }
    check("startup-execution");
}

/* ---- enrolled again; the record can be read again ---- */

static void a_device_that_is_enrolled_again_owes_nothing_to_earlier_rollouts(void **state)
{
    static const char *const words[] = {"stays as it is", "loses its candidate",
                                        "goes on with a trial that gives way to any order"};
    static const char *const outcomes[] = {"open", "done", "refused", "failed"};

    (void)state;
    flo_buf_printf(&text, "nothing under way: %s\n", words[flo_startup_enrolled(false, false)]);
    flo_buf_printf(&text, "a candidate waits: %s\n", words[flo_startup_enrolled(true, false)]);
    flo_buf_printf(&text, "a trial: %s\n", words[flo_startup_enrolled(true, true)]);
    for (int i = FLO_STATED_OPEN; i <= FLO_STATED_FAILED; i++) {
        flo_buf_printf(&text, "its newest order was %s: %s\n", outcomes[i],
                       outcomes[flo_startup_outcome((enum flo_stated_outcome)i)]);
    }
    check("startup-enrolled");
}

static void updates_go_on_when_the_record_of_the_device_can_be_read_again(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        const struct flo_startup_device facts = {.was_unread = (bits & 8) != 0,
                                                 .is_read = (bits & 4) != 0,
                                                 .is_frozen = (bits & 2) != 0,
                                                 .is_enrolled = (bits & 1) != 0};
        struct flo_startup_again again = flo_startup_device_again(&facts);

        flo_buf_printf(&text, "%s, %s, %s, %s -> %s", facts.was_unread ? "unread" : "known",
                       facts.is_read ? "read" : "not read", facts.is_frozen ? "frozen" : "free",
                       facts.is_enrolled ? "enrolled" : "alone",
                       again.is_news ? "the time is known" : "nothing");
        also(again.unfreezes, "updates go on");
        also(again.connects, "connects");
        flo_buf_text(&text, "\n");
    }
    check("startup-device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_repaired_or_left),
        cmocka_unit_test(an_execution_goes_on_by_the_database_or_by_the_record),
        cmocka_unit_test(a_device_that_is_enrolled_again_owes_nothing_to_earlier_rollouts),
        cmocka_unit_test(updates_go_on_when_the_record_of_the_device_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
