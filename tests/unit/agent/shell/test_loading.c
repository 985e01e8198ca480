/* Loading that packs first: a packer of before that ends slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/serving/serving.h"
#include "tests/shell_rooms.h"
#include "unit/child.h"
#include "unit/remove_tree.h"

#define MODEL "tests/models/tiny-v2.Q4_0.gguf"

static struct flo_shell shell;
static char dir[64];

/* ---- the shell around it ---- */

void flo_shell_lost(struct flo_shell *unused, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err)
{
    (void)unused, (void)model, (void)role;
    fail_msg("%s", err->what);
}

void flo_shell_note(struct flo_shell *unused, const char *type, const struct flo_err *err)
{
    (void)unused, (void)type;
    fail_msg("%s", err->what);
}

/* ---- given ---- */

/* A device whose packers do not end before their tracers do. */
static int begin(void **state)
{
    static const char *const nowhere[] = {NULL};
    const struct flo_serve_options options = {
        .engine_path = SLOW_WORKER, .listen = nowhere, .sandbox = FLO_SANDBOX_PREFERRED};

    (void)state;
    shell_empty(&shell);
    snprintf(dir, sizeof(dir), "/tmp/flo-loading-XXXXXX");
    assert_non_null(mkdtemp(dir));
    setenv("FLO_SLOW", "end", 1);
    shell.base = event_base_new();
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, NULL), 0);
    assert_int_equal(flo_store_open(dir, true, &shell.store, NULL), 0);
    assert_int_equal(flo_outbox_db_open(dir, 1 << 20, &shell.db, NULL), 0);
    return flo_serve_open(shell.base, &options, NULL, &shell.serve, NULL);
}

static int end(void **state)
{
    (void)state;
    flo_shell_load_cancel(&shell, 0, FLO_AGENT_CURRENT);
    flo_serve_close(shell.serve);
    flo_outbox_db_close(shell.db);
    flo_store_close(shell.store);
    flo_settings_deinit(&shell.settings);
    event_base_free(shell.base);
    return remove_tree(dir);
}

static void load(void)
{
    const struct flo_digest digest = {.bytes = {9}};
    const struct flo_serve_model model = {.fd = open(MODEL, O_RDONLY | O_CLOEXEC), .model = "tiny"};

    flo_shell_load_model(&shell, 0, FLO_AGENT_CURRENT, &model, &digest, true);
}

/* ---- tests ---- */

static void packing_begins_when_a_killed_packer_has_given_its_room(void **state)
{
    (void)state;
    load();
    pid_t pid = child_first();
    pid_t tracer = pid == 0 ? 0 : child_tracer(pid);
    if (tracer == 0) {
        skip(); /* this machine shows no children, or lets nobody trace them */
    }
    flo_shell_load_cancel(&shell, 0, FLO_AGENT_CURRENT);
    load();
    assert_int_equal(child_count(), 1);

    kill(tracer, SIGKILL);
    while (kill(pid, 0) == 0 || child_count() == 0) {
        struct flo_agent_event event;
        event_base_loop(shell.base, EVLOOP_ONCE);
        while (flo_queue_take(&shell.queue, &event)) {
            assert_int_equal(event.kind, FLO_AGENT_LOADING);
        }
        assert_in_range(child_count(), 0, 1);
    }
    tracer = child_tracer(child_first());
    assert_int_not_equal(tracer, 0);
    flo_shell_load_cancel(&shell, 0, FLO_AGENT_CURRENT);
    kill(tracer, SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packing_begins_when_a_killed_packer_has_given_its_room,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
