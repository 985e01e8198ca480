/* Loading that packs first: a packer of before that ends slowly.  Drafts, whose
 * loss costs no load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/shell/serving/serving.h"
#include "base/host/digest.h"
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

static int begin_with(const char *engine)
{
    static const char *const nowhere[] = {NULL};
    const struct flo_serve_options options = {
        .engine_path = engine, .listen = nowhere, .sandbox = FLO_SANDBOX_PREFERRED};

    shell_empty(&shell);
    snprintf(dir, sizeof(dir), "/tmp/flo-loading-XXXXXX");
    assert_non_null(mkdtemp(dir));
    shell.base = event_base_new();
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, NULL), 0);
    assert_int_equal(flo_store_open(dir, true, &shell.store, NULL), 0);
    assert_int_equal(flo_outbox_db_open(dir, 1 << 20, &shell.db, NULL), 0);
    return flo_serve_open(shell.base, &options, NULL, &shell.serve, NULL);
}

/* A device whose packers do not end before their tracers do. */
static int begin(void **state)
{
    (void)state;
    setenv("FLO_SLOW", "end", 1);
    return begin_with(SLOW_WORKER);
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
    const struct flo_shell_digests digests = {.model.bytes = {9}};
    const struct flo_serve_model model = {.fd = open(MODEL, O_RDONLY | O_CLOEXEC), .model = "tiny"};

    flo_shell_load_model(&shell, 0, FLO_AGENT_CURRENT, &model, &digests, true);
}

/* A device whose engine tells what it got. */
static int begin_drafting(void **state)
{
    (void)state;
    return begin_with(DRAFTING_ENGINE);
}

static int file_of(const char *text)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

/* Loads a model whose draft has these bytes, and should have others. */
static struct flo_serve_draft load_with_draft(const char *there, const char *wanted)
{
    const struct flo_serve_model model = {
        .fd = open(MODEL, O_RDONLY | O_CLOEXEC), .draft_fd = file_of(there), .model = "tiny"};
    struct flo_shell_digests digests;
    struct flo_serve_status status = {0};

    assert_int_equal(flo_sha256_file(MODEL, &digests.model, NULL, NULL), 0);
    flo_sha256(wanted, strlen(wanted), &digests.draft);
    flo_shell_load_model(&shell, 0, FLO_AGENT_CURRENT, &model, &digests, false);
    while (!status.roles[FLO_ROLE_CURRENT].is_loaded) {
        event_base_loop(shell.base, EVLOOP_ONCE);
        flo_serve_get_status(shell.serve, 0, &status);
    }
    assert_int_equal(flo_serve_flip(shell.serve, 0, FLO_ROLE_CURRENT, NULL), 0);
    flo_serve_get_status(shell.serve, 0, &status);
    return status.draft;
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

static void an_engine_gets_a_draft_with_the_right_bytes(void **state)
{
    (void)state;
    assert_string_equal(load_with_draft("FLODRAFT", "FLODRAFT").kind, "table");
}

static void a_draft_with_wrong_bytes_is_left_out_and_the_model_is_loaded(void **state)
{
    struct flo_serve_draft draft = load_with_draft("FLODRAFT", "FLODRAFT as signed");

    (void)state;
    assert_string_equal(draft.kind, "");
    assert_non_null(strstr(draft.why, "the bytes on disk hash to"));
}

static void a_draft_that_is_missing_or_too_much_is_left_out_with_its_reason(void **state)
{
    const struct flo_release_file file = {.digest.bytes = {7}};
    struct flo_shell_files files = {.draft = &file};
    struct flo_serve_model model = {.model = "tiny"};

    (void)state;
    flo_shell_draft_add(&shell, &files, NULL, &model);
    assert_int_equal(model.draft_fd, 0);
    assert_non_null(strstr(model.draft_why, "not here"));
    flo_shell_draft_add(&shell, &files, "memory is short", &model);
    assert_string_equal(model.draft_why, "memory is short");
    files.draft = NULL;
    model = (struct flo_serve_model){.model = "tiny"};
    flo_shell_draft_add(&shell, &files, NULL, &model);
    assert_string_equal(model.draft_why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packing_begins_when_a_killed_packer_has_given_its_room,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_engine_gets_a_draft_with_the_right_bytes, begin_drafting,
                                        end),
        cmocka_unit_test_setup_teardown(
            a_draft_with_wrong_bytes_is_left_out_and_the_model_is_loaded, begin_drafting, end),
        cmocka_unit_test_setup_teardown(
            a_draft_that_is_missing_or_too_much_is_left_out_with_its_reason, begin_drafting, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
