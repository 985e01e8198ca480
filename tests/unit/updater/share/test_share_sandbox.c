/* The sandbox of the process that serves neighbours, from the inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sandbox.h"
#include "unit/escapes.h"
#include "updater/share/share.h"

static int enter(void *context)
{
    return flo_share_sandbox_enter(context, NULL) == 0 ? 1 : -1;
}

static void nothing_leaves_who_serves_neighbours(void **state)
{
    struct flo_share_job job = {.state_dir = "/nonexistent"};

    (void)state;
    if (!flo_sandbox_is_built() || flo_sandbox_lacks() != NULL) {
        print_message("no sandbox in this build or kernel: skipped\n");
        skip();
    }
    assert_int_equal(escapes_try(FROM_SHARE, enter, &job), 0);
    assert_int_equal(rights_left(enter, &job), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaves_who_serves_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
