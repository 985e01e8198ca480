/* The audit's signed heads: what is cut, emptied or written again is found. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/audit.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/audit/lines.h"
#include "server-stub/state/audit/witness.h"
#include "server-stub/store/groups.h"
#include "server-stub/store/lines.h"
#include "tests/unit/server/store_faults.h"
#include "tests/unit/waits.h"

static bool syncs_fail;

int fdatasync(int fd)
{
    (void)fd;
    errno = EIO;
    return syncs_fail ? -1 : 0;
}

struct world {
    char dir[64];
    struct flo_controller *controller;
    struct flo_err err;
};

static void open_controller(struct world *world, bool is_restored)
{
    struct flo_controller_options options = {
        .dir = world->dir, .listen = "127.0.0.1:0", .fleet = "demo", .is_restored = is_restored};

    if (flo_controller_open(&options, &world->controller, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    flo_log_level_set(FLO_LOG_ERROR);
    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-audit-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    open_controller(world, false);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char command[128];

    flo_controller_close(world->controller);
    snprintf(command, sizeof(command), "rm -r '%s'", world->dir);
    assert_int_equal(system(command), 0);
    free(world);
    return 0;
}

static void act(struct world *world, int records, const char *what)
{
    for (int i = 0; i < records; i++) {
        char object[16];
        snprintf(object, sizeof(object), "o-%d", i);
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(
            flo_controller_audit(world->controller, "ops", what, object, "ok", "", &world->err), 0);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    }
}

/* As somebody with the database's file does it, next to the controller. */
static void sql(struct world *world, const char *statement)
{
    char command[512];

    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3,sys;"
             " c=sqlite3.connect('%s/control.db');"
             " c.execute(sys.argv[1]); c.commit()\" \"%s\"",
             world->dir, statement);
    assert_int_equal(system(command), 0);
}

static int verify(struct world *world, uint64_t *records)
{
    struct flo_audit_check check = {.is_over = false};
    int rv = 0;

    while (rv == 0 && !check.is_over) {
        rv = flo_audit_check_on(world->controller, &check, &world->err);
    }
    if (records != NULL) {
        *records = check.walk.number;
    }
    return rv;
}

/* A minute passes. */
static bool the_running_one_sees(struct world *world)
{
    flo_audit_head_tick(world->controller, UINT64_MAX);
    return flo_audit_is_broken(world->controller->audit);
}

static void each_64_records_have_a_signed_head(void **state)
{
    struct world *world = *state;
    uint64_t before = flo_audit_head_newest(world->controller).number;

    act(world, 64, "x");
    uint64_t after = flo_audit_head_newest(world->controller).number;
    assert_true(after >= before + 1);
    act(world, 63, "x");
    assert_int_equal(flo_audit_head_newest(world->controller).number, after);
    assert_false(the_running_one_sees(world)); /* and a minute one */
    assert_true(flo_audit_head_newest(world->controller).number >= after + 63);
    assert_int_equal(verify(world, NULL), 0);
}

static void a_check_goes_in_slices_over_what_comes_meanwhile(void **state)
{
    struct world *world = *state;
    struct flo_audit_check check = {.is_over = false};
    int slices = 0;

    act(world, 1200, "x");
    while (!check.is_over) {
        assert_int_equal(flo_audit_check_on(world->controller, &check, &world->err), 0);
        if (slices++ == 0) {
            act(world, 600, "y");
        }
    }
    assert_true(slices >= 3);
    assert_true(check.walk.number >= 1800);
}

static void a_cut_tail_fails(void **state)
{
    struct world *world = *state;

    act(world, 70, "x");
    sql(world, "DELETE FROM audit WHERE n > 20");
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
    assert_non_null(strstr(world->err.what, "its end was cut off"));
    assert_true(the_running_one_sees(world));

    /* records written after the cut do not make it whole, nor a restart */
    act(world, 100, "y");
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
}

static void an_emptied_table_fails(void **state)
{
    struct world *world = *state;

    act(world, 70, "x");
    sql(world, "DELETE FROM audit");
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
    assert_true(the_running_one_sees(world));
}

/* A chain of its own, as long as the old one, whose every hash is right. */
static void a_chain_written_again_fails(void **state)
{
    struct world *world = *state;
    uint64_t records;

    act(world, 70, "x");
    assert_int_equal(verify(world, &records), 0);
    uint64_t marked = flo_audit_head_newest(world->controller).number;
    sql(world, "DELETE FROM audit");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (uint64_t i = 0; i < records; i++) {
        struct flo_audit_record record = {.at_ms = i,
                                          .who = "nobody",
                                          .what = "nothing",
                                          .object = "",
                                          .result = "ok",
                                          .detail = ""};
        assert_int_equal(flo_fleet_audit_add(world->controller->store, &record, &world->err), 0);
    }
    assert_int_equal(flo_fleet_commit(world->controller->store, &world->err), 0);
    uint64_t stands = 0;
    assert_int_equal(verify(world, &stands), FLO_E_AUDIT_CHAIN);
    assert_true(stands <= marked);
    assert_non_null(strstr(world->err.what, "written again"));
    assert_true(the_running_one_sees(world));
}

static void heads_that_are_removed_or_changed_fail(void **state)
{
    static const char *const harms[] = {"python3 -c \"import re; t = open('audit.head').read();"
                                        " open('audit.head', 'w').write(re.sub(r' (\\d{13}) ',"
                                        " lambda m: ' %d ' % (int(m[1]) + 1), t))\"",
                                        "rm audit.head", ": >audit.head",
                                        "sed -i 's/ 1 / 2 /;s/0 /1 /' audit.head",
                                        "rm keys/audit.key"};
    struct world *world = *state;
    char command[320];

    act(world, 70, "x");
    for (size_t i = 0; i < FLO_COUNT(harms); i++) {
        flo_controller_close(world->controller);
        snprintf(command, sizeof(command), "cp -r '%s' '%s.kept'", world->dir, world->dir);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof(command), "cd '%s' && %s", world->dir, harms[i]);
        assert_int_equal(system(command), 0);
        open_controller(world, false);
        if (!flo_audit_is_broken(world->controller->audit) ||
            verify(world, NULL) != FLO_E_AUDIT_CHAIN) {
            fail_msg("`%s` was not seen", harms[i]);
        }
        flo_controller_close(world->controller);
        snprintf(command, sizeof(command), "rm -r '%s'; mv '%s.kept' '%s'", world->dir, world->dir,
                 world->dir);
        assert_int_equal(system(command), 0);
        open_controller(world, false);
        assert_int_equal(verify(world, NULL), 0);
    }
}

/* Whoever can write to the database says that there never was a head. */
static void a_table_that_forgets_its_heads_fails(void **state)
{
    struct world *world = *state;

    act(world, 70, "x");
    sql(world, "DELETE FROM audit WHERE n > 20");
    sql(world, "DELETE FROM setting WHERE name = 'audit_head'");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
}

static void half_a_line_of_a_lost_power_is_no_break(void **state)
{
    struct world *world = *state;
    char command[160];

    act(world, 70, "x");
    flo_controller_close(world->controller);
    snprintf(command, sizeof(command), "printf 'head 99 sha' >>'%s'/audit.head", world->dir);
    assert_int_equal(system(command), 0);
    open_controller(world, false);
    assert_false(flo_audit_is_broken(world->controller->audit));
    act(world, 70, "x");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_int_equal(verify(world, NULL), 0);
}

/* Each look reads 512 records, on the thread that orders wait for. */
static void a_broken_chain_is_not_looked_at_by_each_commit(void **state)
{
    struct world *world = *state;

    act(world, 140, "x");
    sql(world, "UPDATE audit SET object = 'y' WHERE n = 20");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    act(world, 64, "x");
    uint64_t before = flo_fleet_statements(world->controller->store);
    act(world, 1, "x");
    uint64_t one = flo_fleet_statements(world->controller->store) - before;
    act(world, 10, "x");

    assert_int_equal(flo_fleet_statements(world->controller->store) - before, 11 * one);
    assert_in_range(one, 1, 4); /* begin, the one before, insert, commit */
}

static void a_broken_chain_gets_no_further_signature(void **state)
{
    struct world *world = *state;

    act(world, 140, "x");
    sql(world, "UPDATE audit SET object = 'y' WHERE n = 20");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    uint64_t newest = flo_audit_head_newest(world->controller).number;
    act(world, 140, "x");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_int_equal(flo_audit_head_newest(world->controller).number, newest);
}

/* Each line was signed once, and is true of its record still. */
static void an_old_head_at_the_end_of_the_file_excuses_no_cut(void **state)
{
    struct world *world = *state;
    char command[256];

    act(world, 10, "x");
    flo_controller_close(world->controller);
    open_controller(world, false);
    uint64_t kept = flo_audit_head_newest(world->controller).number;
    act(world, 140, "y");
    flo_controller_close(world->controller);
    snprintf(command, sizeof(command), "DELETE FROM audit WHERE n > %llu",
             (unsigned long long)kept);
    sql(world, command);
    snprintf(command, sizeof(command),
             "cd '%s'; grep '^head %llu ' audit.head | tail -n 1 >>audit.head", world->dir,
             (unsigned long long)kept);
    assert_int_equal(system(command), 0);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
}

/* `harm` puts the line of a restart behind what came later; the table ends
 * where that line says. */
static void excuse_a_cut(struct world *world, const char *harm)
{
    char command[512];

    act(world, 10, "x");
    flo_controller_close(world->controller);
    open_controller(world, true);
    act(world, 140, "y");
    assert_int_equal(verify(world, NULL), 0);
    flo_controller_close(world->controller);
    snprintf(command, sizeof(command),
             "cd '%s' && r=$(grep '^restart ' audit.head) && %s && python3 -c "
             "\"import sqlite3, sys; c = sqlite3.connect('control.db');"
             " c.execute('DELETE FROM audit WHERE n > ' + sys.argv[2]);"
             " c.commit()\" $r",
             world->dir, harm);
    assert_int_equal(system(command), 0);
    open_controller(world, false);
    assert_true(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CHAIN);
}

static void a_restart_that_is_written_again_excuses_no_cut(void **state)
{
    excuse_a_cut(*state, "echo \"$r\" >>audit.head");
}

static void a_restart_that_is_moved_to_the_end_excuses_no_cut(void **state)
{
    excuse_a_cut(*state, "sed -i '/^restart /d' audit.head && "
                         "echo \"$r\" >>audit.head");
}

static void a_backup_that_is_taken_by_its_word_goes_on(void **state)
{
    struct world *world = *state;

    act(world, 140, "x");
    sql(world, "DELETE FROM audit WHERE n > 20");
    flo_controller_close(world->controller);
    open_controller(world, true);
    assert_false(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), 0);
    act(world, 140, "y");
    flo_controller_close(world->controller);
    open_controller(world, false);
    assert_int_equal(verify(world, NULL), 0);
}

static int take_detail(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    (void)hash;
    snprintf(context, 64, "%s", record->detail);
    return 0;
}

/* Whoever reads it reads it in a terminal. */
static void the_audit_has_no_control_characters(void **state)
{
    struct world *world = *state;
    char detail[64] = "";

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_controller_audit(world->controller, "ops", "x", "y", "ok", "a\x1b[2Jb\nc", &world->err),
        0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_audit_newest(world->controller->store, INT64_MAX, 1, take_detail,
                                            detail, &world->err),
                     0);
    assert_non_null(strstr(detail, "c"));
    for (size_t i = 0; detail[i] != '\0'; i++) {
        assert_true((unsigned char)detail[i] >= ' ');
    }
}

/* ---- witnesses ---- */

static void hear(struct world *world, const char *line)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_audit_witness(world->controller, "gw-1", line, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void again(struct world *world, bool is_restored)
{
    flo_controller_close(world->controller);
    open_controller(world, is_restored);
}

/* A line that devices were told; what then came is cut off, in the table and in
 * the file, as if it had never been. */
static void cut_back(struct world *world, char told[FLO_AUDIT_LINE_TEXT])
{
    char command[256];

    act(world, 10, "x");
    again(world, false);
    struct flo_audit_checkpoint kept = flo_audit_head_newest(world->controller);
    act(world, 70, "y");
    snprintf(told, FLO_AUDIT_LINE_TEXT, "%s", flo_audit_head_line(world->controller));
    flo_controller_close(world->controller);
    snprintf(command, sizeof(command), "DELETE FROM audit WHERE n > %llu",
             (unsigned long long)kept.number);
    sql(world, command);
    snprintf(command, sizeof(command), "sed -i '/^head %llu /q' '%s/audit.head'",
             (unsigned long long)kept.number, world->dir);
    assert_int_equal(system(command), 0);
    open_controller(world, false);
    assert_false(flo_audit_is_broken(world->controller->audit)); /* nothing here tells */
    assert_int_equal(verify(world, NULL), 0);
}

static void a_witness_shows_that_table_and_file_were_cut(void **state)
{
    struct world *world = *state;
    char told[FLO_AUDIT_LINE_TEXT];
    uint64_t records;

    cut_back(world, told);
    hear(world, flo_audit_head_line(world->controller));
    assert_false(flo_audit_is_broken(world->controller->audit));
    hear(world, told);
    assert_true(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, &records), FLO_E_AUDIT_CUT);
    assert_non_null(strstr(world->err.what, "told to device gw-1"));
    assert_string_equal(flo_audit_head_line(world->controller), "");

    hear(world, told); /* one record */
    uint64_t now;
    assert_int_equal(verify(world, &now), FLO_E_AUDIT_CUT);
    assert_int_equal(now, records);
}

/* The table grew over the number, and its record is another one. */
static void a_table_that_grew_again_is_shown(void **state)
{
    struct world *world = *state;
    char told[FLO_AUDIT_LINE_TEXT];

    cut_back(world, told);
    act(world, 140, "z");
    assert_int_equal(verify(world, NULL), 0);
    hear(world, told);
    assert_int_equal(verify(world, NULL), FLO_E_AUDIT_CUT);
    assert_non_null(strstr(world->err.what, "is another one now"));
}

static void a_line_that_a_device_invents_shows_nothing(void **state)
{
    struct world *world = *state;
    const char *newest = flo_audit_head_line(world->controller);
    char line[FLO_AUDIT_LINE_TEXT], hash[FLO_DIGEST_TEXT];
    uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES] = {1};
    struct flo_audit_checkpoint checkpoint = {.number = 999999, .at_ms = UINT64_MAX / 2};

    flo_audit_line(&checkpoint, signature, line);
    line[strlen(line) - 1] = '\0';
    hear(world, line);
    hear(world, "head");
    hear(world, "");
    flo_digest_text(&checkpoint.hash, hash);
    snprintf(line, sizeof(line), "head 999999%s", strrchr(newest, ' '));
    hear(world, line);
    assert_false(flo_audit_is_broken(world->controller->audit));
}

/* A line costs its query once, however many devices say it. */
static void a_line_that_fits_is_looked_at_once(void **state)
{
    struct world *world = *state;
    const char *line = flo_audit_head_line(world->controller);

    hear(world, line);
    uint64_t before = flo_fleet_statements(world->controller->store);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(flo_audit_witness(world->controller, "gw-1", line, &world->err), 0);
    }
    assert_int_equal(flo_fleet_statements(world->controller->store), before);
}

static void a_restored_audit_excuses_lines_from_before(void **state)
{
    struct world *world = *state;
    char told[FLO_AUDIT_LINE_TEXT];

    cut_back(world, told);
    again(world, true);
    hear(world, told);
    assert_false(flo_audit_is_broken(world->controller->audit));
    again(world, false);
    hear(world, told);
    assert_false(flo_audit_is_broken(world->controller->audit));
    assert_int_equal(verify(world, NULL), 0);
}

/* ---- faults ---- */

static off_t head_bytes(const struct world *world)
{
    char path[96];
    struct stat st;

    snprintf(path, sizeof(path), "%s/audit.head", world->dir);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_fault_of_the_store_breaks_no_chain_and_signs_nothing(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    struct flo_audit_checkpoint before = flo_audit_head_newest(world->controller);
    bool was_made;

    act(world, 3, "x");
    assert_int_equal(flo_fleet_begin(store, &world->err), 0);
    assert_int_equal(
        flo_fleet_group_put(store, &(struct flo_fleet_group){.name = "lab"}, &world->err), 0);
    assert_int_equal(flo_fleet_commit(store, &world->err), 0);
    for (unsigned at = 1;; at++) {
        faults_on(store, at);
        assert_false(the_running_one_sees(world));
        if (!faults_off()) {
            break;
        }
        assert_int_equal(flo_audit_head_newest(world->controller).number, before.number);
    }
    assert_int_equal(flo_audit_head_newest(world->controller).number, before.number + 3);
    assert_int_equal(flo_audit_head_seals(world->controller), flo_fleet_seals_number(store));
    off_t bytes = head_bytes(world);
    assert_false(the_running_one_sees(world));
    assert_true(head_bytes(world) == bytes); /* nothing is new */
    act(world, 1, "x");
    flo_audit_head_tick(world->controller, waits_now_ms());
    assert_true(head_bytes(world) == bytes); /* no minute passed */
    FAULTS_SWEEP_WHOLE(store, verify(world, NULL), 0);
    FAULTS_SWEEP_WHOLE(store, flo_audit_head_was_made(world->controller, &was_made, &world->err),
                       0);
    assert_true(was_made);
    FAULTS_SWEEP(
        store, flo_controller_audit(world->controller, "ops", "x", "y", "ok", "", &world->err), 0);
    FAULTS_SWEEP_WHOLE(store, flo_audit_head_restart(world->controller, &world->err), 0);
    again(world, false);
    assert_int_equal(verify(world, NULL), 0);
}

/* Neither a half line nor one that may not be there after a power cut. */
static void a_head_that_is_not_on_the_disk_was_not_signed(void **state)
{
    struct world *world = *state;
    struct rlimit all, few = {.rlim_cur = 300, .rlim_max = RLIM_INFINITY};

    act(world, 3, "x");
    flo_audit_head_tick(world->controller, UINT64_MAX);
    uint64_t before = flo_audit_head_newest(world->controller).number;
    act(world, 3, "x");
    syncs_fail = true;
    assert_int_equal(flo_audit_head_restart(world->controller, &world->err), FLO_E_IO_WRITE);
    flo_audit_head_tick(world->controller, UINT64_MAX);
    syncs_fail = false;
    assert_int_equal(flo_audit_head_newest(world->controller).number, before);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    few.rlim_max = all.rlim_max;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};
    flo_buf_printf(&path, "%s/audit.head", world->dir);
    char FLO_CLEANUP(flo_free_cleanup) *text = NULL;
    size_t bytes;
    assert_int_equal(flo_file_read(path.data, 65536, &text, &bytes, &world->err), 0);
    few.rlim_cur = bytes + 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    int rv = flo_audit_head_restart(world->controller, &world->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_true(rv < 0);
    flo_audit_head_tick(world->controller, UINT64_MAX);
    assert_int_equal(flo_audit_head_newest(world->controller).number, before + 3);
    again(world, false);
    assert_int_equal(verify(world, NULL), 0);
}

static void a_line_is_looked_at_again_after_a_fault(void **state)
{
    struct world *world = *state;
    char told[FLO_AUDIT_LINE_TEXT];

    cut_back(world, told);
    FAULTS_SWEEP(world->controller->store,
                 flo_audit_witness(world->controller, "gw-1", told, &world->err), 0);
    assert_true(flo_audit_is_broken(world->controller->audit));
}

/* ---- lines in a shared database ---- */

static int take_line(void *context, uint64_t number, const char *text)
{
    flo_buf_printf(context, "%d%s ", (int)number, text);
    return 0;
}

static int pulls(struct world *world, const char *path, const char *text_or_null, bool *differs)
{
    struct flo_err err = {0};

    (void)unlink(path);
    if (text_or_null != NULL) {
        assert_true(flo_file_write(path, text_or_null, strlen(text_or_null), 0600, &err) == 0);
    }
    return flo_audit_lines_pull(world->controller, path, differs, &world->err);
}

static void a_file_gets_the_lines_that_it_lacks(void **state)
{
    static const struct {
        const char *put; /* into the table, as line `at` */
        uint64_t at;
        const char *file, *becomes, *rows; /* NULL: no file */
        bool differs;
    } steps[] = {
        {NULL, 0, "a\nb\nhalf", "a\nb\nhalf", "0a 1b ", false},
        {NULL, 0, "a\nb\n", "a\nb\n", "0a 1b ", false},
        {"c\n", 2, "a\nb\nhalf", "a\nb\nc\n", "0a 1b 2c ", false},
        {NULL, 0, "a\nx\n", "a\nx\n", "0a 1b 2c ", true},
        {NULL, 0, "a\nbb\n", "a\nbb\n", "0a 1b 2c ", true},
        {NULL, 0, "a\nb\nc\nd\n", "a\nb\nc\nd\n", "0a 1b 2c ", true},
        {NULL, 0, NULL, "a\nb\nc\n", "0a 1b 2c ", false},
        {"z\n", 0, NULL, "z\n", "0z ", false},
    };
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    const char *own = world->controller->options.store;
    char path[96];
    bool differs;

    snprintf(path, sizeof(path), "%s/lines", world->dir);
    assert_int_equal(flo_audit_lines_put(world->controller, 0, "alone\n", &world->err), 0);
    assert_int_equal(pulls(world, path, "a\n", &differs), 0);
    world->controller->options.store = "shared";
    for (size_t i = 0; i < FLO_COUNT(steps); i++) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) rows = {0};
        char FLO_CLEANUP(flo_free_cleanup) *text = NULL;
        size_t bytes;
        if (steps[i].put != NULL) {
            FAULTS_SWEEP_WHOLE(
                store,
                flo_audit_lines_put(world->controller, steps[i].at, steps[i].put, &world->err), 0);
        }
        FAULTS_SWEEP_WHOLE(store, pulls(world, path, steps[i].file, &differs), 0);
        assert_int_equal(differs, steps[i].differs);
        assert_int_equal(flo_fleet_audit_lines(store, 0, take_line, &rows, &world->err), 0);
        assert_string_equal(rows.data, steps[i].rows);
        assert_int_equal(flo_file_read(path, 65536, &text, &bytes, &world->err), 0);
        assert_string_equal(text, steps[i].becomes);
    }
    assert_int_equal(flo_audit_lines_pull(world->controller, "/proc/lines", &differs, &world->err),
                     FLO_E_IO_OPEN);
    assert_true(flo_audit_lines_pull(world->controller, world->dir, &differs, &world->err) < 0);
    FAULTS_SWEEP_WHOLE(store, flo_audit_head_restart(world->controller, &world->err), 0);
    world->controller->options.store = own;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_64_records_have_a_signed_head, setup, teardown),
        cmocka_unit_test_setup_teardown(a_check_goes_in_slices_over_what_comes_meanwhile, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cut_tail_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(an_emptied_table_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chain_written_again_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_that_are_removed_or_changed_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_that_forgets_its_heads_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_line_of_a_lost_power_is_no_break, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_chain_is_not_looked_at_by_each_commit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_broken_chain_gets_no_further_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(an_old_head_at_the_end_of_the_file_excuses_no_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_that_is_written_again_excuses_no_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_that_is_moved_to_the_end_excuses_no_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_backup_that_is_taken_by_its_word_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_audit_has_no_control_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(a_witness_shows_that_table_and_file_were_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_table_that_grew_again_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_a_device_invents_shows_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_fits_is_looked_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fault_of_the_store_breaks_no_chain_and_signs_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_that_is_not_on_the_disk_was_not_signed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_is_looked_at_again_after_a_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_gets_the_lines_that_it_lacks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restored_audit_excuses_lines_from_before, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
