/* Room on a full disk: what goes first, and what goes once per job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "agent/shell/update/update.h"
#include "store_world.h"
#include "tests/shell_rooms.h"

static struct flo_shell *shell;
static struct flo_digest release; /* on its way */
static struct flo_digest step;    /* of it, made already */

static bool has(const struct flo_digest *digest)
{
    return flo_store_blob_has(shell->store, digest, 0);
}

static void put(const char *three, struct flo_digest *digest)
{
    assert_int_equal(flo_store_blob_put(shell->store, three, 3, digest, NULL), 0);
}

static int set_up(void **state)
{
    struct flo_slots slots = {.model = "tiny"};
    struct flo_digest file;

    shell = calloc(1, sizeof(*shell));
    if (shell == NULL || world_set_up(state) < 0) {
        return -1;
    }
    shell_empty(shell);
    struct world *world = *state;
    shell->store = world->store;
    put("two", &step);
    release = put_stepped_of(world, "tiny", "3", 3, "new", &file, &step);
    slots.stated.target = release;
    slots.stated.number = 7;
    slots.stated.outcome = FLO_STATED_OPEN;
    return flo_store_slots_write(shell->store, &slots, NULL);
}

static int tear_down(void **state)
{
    free(shell);
    return world_tear_down(state);
}

static void what_nothing_names_goes_before_the_steps(void **state)
{
    struct flo_digest old;

    (void)state;
    put("old", &old);
    assert_true(flo_shell_make_room(shell, 1, &release));
    assert_false(has(&old));
    assert_true(has(&step));
    assert_true(has(&release));
}

/* Else a device whose disk fills again and again fetches them without end. */
static void steps_go_once_per_job(void **state)
{
    (void)state;
    assert_true(flo_shell_make_room(shell, 1, &release));
    assert_false(has(&step));
    assert_true(has(&release));

    put("two", &step);
    assert_false(flo_shell_make_room(shell, 1, &release));
    assert_true(has(&step));

    assert_true(flo_shell_make_room(shell, 2, &release));
    assert_false(has(&step));
}

static void a_sweep_without_haste_keeps_them(void **state)
{
    (void)state;
    assert_true(flo_shell_make_room(shell, 1, &release));
    put("two", &step);
    assert_int_equal(flo_shell_sweep(shell, NULL, 0), 0);
    assert_true(has(&step));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nothing_names_goes_before_the_steps, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(steps_go_once_per_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_without_haste_keeps_them, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
