/* The collection on the controller: which artifacts go, and which never do.
 *
 * Release n of `tiny` has one model, whole(n) with a list of chunks, that comes
 * packed, or by deltas delta(n, base). */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server-stub/state/artifacts/artifacts.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"
#include "unit/remove_tree.h"

#define HOUR_MS (UINT64_C(3600) * 1000)
#define OLD_S (30 * 86400)

struct place {
    struct world world;
    char dir[64];
};

static struct flo_digest whole(unsigned n)
{
    struct flo_digest digest;

    memset(digest.bytes, (int)(250 - n), sizeof(digest.bytes));
    return digest;
}

static struct flo_digest delta(unsigned n, unsigned base)
{
    struct flo_digest digest = whole(0xdd);

    digest.bytes[0] = (uint8_t)n;
    digest.bytes[1] = (uint8_t)base;
    return digest;
}

static struct flo_digest chunks(unsigned n)
{
    return delta(n, 251);
}

static struct flo_digest packed(unsigned n)
{
    return delta(n, 252);
}

static void path_of(struct place *place, struct flo_digest digest, char *out)
{
    assert_true(flo_artifact_path(place->world.controller, &digest, out));
}

static void put(struct place *place, struct flo_digest digest, time_t age_s)
{
    char path[FLO_ARTIFACT_PATH];
    path_of(place, digest, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    struct timespec at = {.tv_sec = (time_t)(waits_wall_ms() / 1000) - age_s};
    struct timespec times[] = {at, at};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool is_here(struct place *place, struct flo_digest digest)
{
    return flo_artifact_is_here(place->world.controller, &digest);
}

static void add_digest(struct flo_buf *out, const char *before, struct flo_digest digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(&digest, text);
    flo_buf_printf(out, "%s\"%s\"", before, text);
}

/* whole(n), by deltas from these bases, in a document's list of files. */
static void add_file(struct place *place, struct flo_buf *out, unsigned n, bool is_step,
                     const unsigned *bases)
{
    bool is_first = is_step;

    flo_buf_printf(out, "%s{\"name\":\"%s%u\",\"role\":\"%s\",\"bytes\":10", is_step ? "," : "",
                   is_step ? "steps/" : "m", n, is_step ? "step" : "model");
    add_digest(out, ",\"digest\":", whole(n));
    if (!is_step) {
        add_digest(out, ",\"chunks\":{\"bytes\":65536,\"digest\":", chunks(n));
        add_digest(out,
                   "},\"get\":[{\"codec\":\"zstd\",\"bytes\":9,"
                   "\"memory_bytes\":1000,\"digest\":",
                   packed(n));
        flo_buf_printf(out, "}");
        put(place, whole(n), OLD_S);
        put(place, chunks(n), OLD_S);
        put(place, packed(n), OLD_S);
    } else {
        flo_buf_printf(out, ",\"get\":[");
    }
    for (size_t i = 0; bases[i] != 0; i++) {
        add_digest(out, is_first ? "{\"digest\":" : ",{\"digest\":", delta(n, bases[i]));
        add_digest(out, ",\"base\":", whole(bases[i]));
        flo_buf_printf(out, ",\"codec\":\"tensor1\",\"bytes\":5,"
                            "\"memory_bytes\":1000}");
        is_first = false;
        put(place, delta(n, bases[i]), OLD_S);
    }
    flo_buf_printf(out, "]}");
}

struct spec {
    unsigned number;
    const unsigned *bases;
    unsigned step; /* 0: none */
    const unsigned *step_bases;
    const char *state; /* NULL: published */
    bool is_young;
    const char *model; /* NULL: tiny */
};

static void id_of(unsigned number, char *out)
{
    struct flo_digest digest = whole(0xee);

    digest.bytes[0] = (uint8_t)number;
    flo_digest_text(&digest, out);
}

static void add(struct place *place, struct spec spec)
{
    struct flo_buf body = {0};
    char version[16];
    char id[FLO_DIGEST_TEXT];
    struct flo_fleet_release row = {.model = spec.model != NULL ? spec.model : "tiny",
                                    .version = version,
                                    .number = spec.number,
                                    .digest = id,
                                    .state = spec.state != NULL ? spec.state : "published",
                                    .bytes = 10,
                                    .created_at_ms = spec.is_young ? waits_wall_ms() : 1};
    struct world *world = &place->world;

    id_of(spec.number, id);
    snprintf(version, sizeof(version), "%u", spec.number);
    flo_buf_printf(&body,
                   "{\"v\":2,\"fleet\":\"demo\",\"model\":\"%s\","
                   "\"version\":\"%u\",\"number\":%u,\"created_at_ms\":0,"
                   "\"files\":[",
                   row.model, spec.number, spec.number);
    add_file(place, &body, spec.number, false, spec.bases);
    if (spec.step != 0) {
        add_file(place, &body, spec.step, true, spec.step_bases);
    }
    flo_buf_printf(&body,
                   "],\"variants\":[{\"name\":\"q4\",\"files\":[\"m%u\"],"
                   "\"entry\":\"m%u\",\"needs\":{}}]}",
                   spec.number, spec.number);
    row.body = body.data;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    if (flo_fleet_release_add(world->controller->store, &row, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    flo_buf_deinit(&body);
}

#define FROM(...) ((const unsigned[]){__VA_ARGS__, 0})
#define NOTHING FROM(0)

/* Release n by deltas from n-1 and n-2, up to seven. */
static void seven(struct place *place)
{
    add(place, (struct spec){1, .bases = NOTHING});
    add(place, (struct spec){2, .bases = FROM(1)});
    for (unsigned n = 3; n <= 7; n++) {
        add(place, (struct spec){n, .bases = FROM(n - 1, n - 2)});
    }
}

/* Its report: a release in a slot; 0: none. */
static void report(struct place *place, size_t device, unsigned current, unsigned previous)
{
    struct world *world = &place->world;
    struct flo_fleet_store *store = world->controller->store;
    char ids_of[2][FLO_DIGEST_TEXT] = {"", ""};
    char text[512];

    id_of(current, ids_of[0]);
    id_of(previous, ids_of[1]);
    snprintf(text, sizeof(text),
             "{\"models\":[{\"model\":\"tiny\",\"serving\":null,"
             "\"current\":{\"release\":\"%s\"},\"previous\":%s%s%s}]}",
             ids_of[0], previous != 0 ? "{\"release\":\"" : "null", previous != 0 ? ids_of[1] : "",
             previous != 0 ? "\"}" : "");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_reported(store, ids[device], text, NULL, NULL, false, 0, NULL,
                                               0, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void run(struct place *place, size_t device, unsigned number)
{
    report(place, device, number, 0);
}

static struct flo_artifact_counts collect(struct place *place, bool is_dry)
{
    struct flo_artifact_counts counts = {0};

    if (flo_collect_all(place->world.controller, is_dry, NULL, NULL, &counts, &place->world.err) <
        0) {
        fail_msg("%s", place->world.err.what);
    }
    return counts;
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct flo_controller_options options = {.dir = ":memory:", .fleet = "demo"};
    struct world *world = &place->world;
    char blobs[96];

    flo_log_level_set(FLO_LOG_ERROR);
    strcpy(place->dir, "/tmp/flotilla-artifacts-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    assert_int_equal(flo_controller_open(&options, &world->controller, &world->err), 0);
    snprintf(world->controller->dir, sizeof(world->controller->dir), "%s", place->dir);
    snprintf(blobs, sizeof(blobs), "%s/blobs", place->dir);
    assert_int_equal(mkdir(blobs, 0755), 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(enrol(world, ids[0], "gw-1"), 0);
    assert_int_equal(enrol(world, ids[1], "gw-2"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    int left;

    flo_controller_close(place->world.controller);
    left = remove_tree(place->dir);
    free(place);
    return left;
}

/* ---- tests ---- */

static void a_delta_from_what_nobody_has_goes(void **state)
{
    struct place *place = *state;

    seven(place);
    run(place, 0, 2);
    run(place, 1, 7);
    struct flo_artifact_counts counts = collect(place, false);
    /* Held: 2, which a device runs, and the newest: 4 to 7. */
    assert_int_equal(counts.deltas, 4);
    assert_int_equal(counts.delta_bytes, 40);
    assert_false(is_here(place, delta(2, 1)));
    assert_false(is_here(place, delta(3, 1)));
    assert_false(is_here(place, delta(4, 3)));
    assert_false(is_here(place, delta(5, 3)));
    for (unsigned n = 3; n <= 7; n++) {
        assert_true(is_here(place, whole(n)));
        assert_true(is_here(place, chunks(n)));
        assert_true(is_here(place, packed(n)));
        for (unsigned base = n - 2; base < n; base++) {
            assert_int_equal(is_here(place, delta(n, base)), base == 2 || base >= 4);
        }
    }
    assert_true(is_here(place, whole(1)));
    assert_int_equal(counts.files, 3 * 7 + 11 - 4);
    assert_int_equal(counts.bytes, 280);
    assert_int_equal(flo_collector_removed(place->world.controller->collector).files, 4);
    assert_int_equal(collect(place, false).deltas, 0);
}

static void a_device_that_is_away_for_months_keeps_its_delta(void **state)
{
    struct place *place = *state;
    struct world *world = &place->world;
    struct flo_fleet_store *store = world->controller->store;
    bool is_news;

    seven(place);
    run(place, 0, 1);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_online(store, ids[0], false, &is_news, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    collect(place, false);
    assert_true(is_here(place, delta(2, 1)));
    assert_true(is_here(place, delta(3, 1)));
    /* Retired, it never comes back. */
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_retire(store, ids[0], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    collect(place, false);
    assert_false(is_here(place, delta(2, 1)));
    assert_false(is_here(place, delta(3, 1)));
}

static void a_release_to_go_back_to_counts_as_held(void **state)
{
    struct place *place = *state;

    seven(place);
    report(place, 0, 7, 1);
    collect(place, false);
    assert_true(is_here(place, delta(2, 1)));
    assert_true(is_here(place, delta(3, 1)));
    assert_false(is_here(place, delta(3, 2)));
}

/* Pages of reports; the last device has what nobody else has. */
static void every_devices_report_is_read(void **state)
{
    struct place *place = *state;
    struct world *world = &place->world;
    char id[37];

    seven(place);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "many-%u", i);
        snprintf(id, sizeof(id), "%08x-7777-4777-8777-777777777777", i);
        assert_int_equal(enrol(world, id, name), 0);
    }
    assert_int_equal(enrol(world, ids[2], "gw-3"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    run(place, 2, 1);
    collect(place, false);
    assert_true(is_here(place, delta(2, 1)));
}

/* Pages of releases, and models next to each other in the list. */
static void each_model_has_its_newest(void **state)
{
    struct place *place = *state;

    for (unsigned n = 1; n <= 70; n++) {
        add(place, (struct spec){n, .bases = n > 1 ? FROM(n - 1) : NOTHING});
    }
    for (unsigned n = 101; n <= 106; n++) {
        add(place, (struct spec){n, .bases = FROM(n - 1), .model = "between"});
    }
    struct flo_artifact_counts counts = collect(place, false);
    /* Held: 67 to 70, and 103 to 106. */
    assert_int_equal(counts.deltas, 69 + 6 - 3 - 3);
    assert_int_equal(counts.files, 76 * 3 + 6);
    assert_true(is_here(place, delta(70, 69)));
    assert_true(is_here(place, delta(68, 67)));
    assert_false(is_here(place, delta(67, 66)));
    assert_true(is_here(place, delta(106, 105)));
    assert_false(is_here(place, delta(103, 102)));
}

static void the_deltas_of_a_chain_stay_together(void **state)
{
    struct place *place = *state;

    seven(place);
    /* From 1 through 2 to 8: no device has 2, but makes it. */
    add(place, (struct spec){8, .bases = FROM(2), .step = 2, .step_bases = FROM(1)});
    run(place, 0, 1);
    collect(place, false);
    assert_true(is_here(place, delta(8, 2)));
    assert_true(is_here(place, delta(2, 1)));
    run(place, 0, 8);
    collect(place, false);
    assert_false(is_here(place, delta(8, 2)));
    assert_false(is_here(place, delta(2, 1)));
}

static void drafts_and_young_releases_keep_all(void **state)
{
    struct place *place = *state;

    seven(place);
    add(place, (struct spec){8, .bases = FROM(1), .state = "draft"});
    add(place, (struct spec){9, .bases = FROM(1), .is_young = true});
    collect(place, false);
    assert_true(is_here(place, delta(8, 1)));
    assert_true(is_here(place, delta(9, 1)));
    assert_false(is_here(place, delta(2, 1)));
}

static void nobody_goes_to_a_yanked_release(void **state)
{
    struct place *place = *state;

    seven(place);
    add(place, (struct spec){8, .bases = FROM(7), .state = "yanked"});
    run(place, 0, 7);
    collect(place, false);
    assert_false(is_here(place, delta(8, 7)));
    assert_true(is_here(place, whole(8))); /* a yank may be taken back */
}

static void a_file_of_no_release_goes_when_it_is_old(void **state)
{
    struct place *place = *state;
    char path[FLO_ARTIFACT_PATH];
    char link[FLO_ARTIFACT_PATH];

    seven(place);
    put(place, whole(100), OLD_S);
    put(place, whole(101), 60);
    path_of(place, whole(102), link);
    path_of(place, whole(1), path);
    assert_int_equal(symlink(path, link), 0);
    struct flo_artifact_counts counts = collect(place, false);
    assert_int_equal(counts.unnamed, 1);
    assert_int_equal(counts.unnamed_bytes, 10);
    assert_false(is_here(place, whole(100)));
    assert_true(is_here(place, whole(101)));
    assert_true(is_here(place, whole(102)));
}

static void a_dry_pass_removes_nothing(void **state)
{
    struct place *place = *state;

    seven(place);
    put(place, whole(100), OLD_S);
    struct flo_artifact_counts counts = collect(place, true);
    assert_int_equal(counts.deltas, 6);
    assert_int_equal(counts.unnamed, 1);
    assert_true(is_here(place, delta(2, 1)));
    assert_true(is_here(place, whole(100)));
    assert_int_equal(flo_collector_removed(place->world.controller->collector).files, 0);
}

static void another_fleets_database_removes_nothing(void **state)
{
    struct place *place = *state;
    struct flo_artifact_counts counts;

    for (unsigned n = 100; n < 110; n++) {
        put(place, whole(n), OLD_S);
    }
    assert_int_equal(
        flo_collect_all(place->world.controller, false, NULL, NULL, &counts, &place->world.err),
        FLO_E_STATE);
    assert_non_null(strstr(place->world.err.what, "none of the 10 files"));
    assert_true(is_here(place, whole(100)));
}

static void a_document_that_cannot_be_read_ends_it(void **state)
{
    struct place *place = *state;
    struct world *world = &place->world;
    struct flo_artifact_counts counts;

    seven(place);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    add_release(world, 8, "8", DIGEST); /* its document is {} */
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_collect_all(world->controller, false, NULL, NULL, &counts, &world->err),
                     FLO_E_IO_READ);
    assert_non_null(strstr(world->err.what, "tiny@8"));
    assert_true(is_here(place, delta(2, 1)));
}

static void a_collected_delta_is_not_taken_for_lost(void **state)
{
    struct place *place = *state;
    struct flo_controller *controller = place->world.controller;
    struct flo_digest gone = delta(2, 1);
    struct flo_digest never = whole(99);

    seven(place);
    collect(place, false);
    assert_true(flo_artifact_was_collected(controller, &gone));
    assert_false(flo_artifact_was_collected(controller, &never));
    flo_artifact_is_wanted(controller, &gone);
    assert_false(flo_artifact_was_collected(controller, &gone));
    put(place, gone, OLD_S); /* uploaded again, then collected again */
    assert_int_equal(collect(place, false).deltas, 1);
    assert_true(flo_artifact_was_collected(controller, &gone));
}

static uint64_t turn_until_done(struct place *place, uint64_t now_ms)
{
    uint64_t turns = 0;

    while (flo_collect_turn(place->world.controller, now_ms)) {
        turns++;
        assert_true(turns < 1000);
    }
    return turns;
}

static void the_first_pass_is_an_hour_after_the_start(void **state)
{
    struct place *place = *state;

    seven(place);
    assert_int_equal(turn_until_done(place, 1000), 0);
    assert_int_equal(turn_until_done(place, HOUR_MS), 0);
    assert_true(is_here(place, delta(2, 1)));
    assert_true(turn_until_done(place, 1000 + HOUR_MS) >= 4);
    assert_false(is_here(place, delta(2, 1)));
    assert_int_equal(flo_collector_found(place->world.controller->collector)->deltas, 6);
    put(place, delta(2, 1), OLD_S);
    assert_int_equal(turn_until_done(place, 2 * HOUR_MS), 0);
    assert_true(turn_until_done(place, 1000 + 2 * HOUR_MS) > 0);
    assert_false(is_here(place, delta(2, 1)));
}

static void a_release_that_comes_in_between_keeps_its_files(void **state)
{
    struct place *place = *state;
    struct flo_controller *controller = place->world.controller;

    seven(place);
    put(place, whole(8), OLD_S);
    put(place, delta(8, 1), OLD_S);
    (void)flo_collect_turn(controller, 1000);
    assert_true(flo_collect_turn(controller, 1000 + HOUR_MS));
    add(place, (struct spec){8, .bases = FROM(1), .is_young = true});
    flo_collect_again(controller);
    turn_until_done(place, 1000 + HOUR_MS);
    assert_true(is_here(place, whole(8)));
    assert_true(is_here(place, delta(8, 1)));
    assert_false(is_here(place, delta(2, 1)));
}

static bool may_not(void *context)
{
    (void)context;
    return false;
}

static void who_may_not_act_removes_nothing(void **state)
{
    struct place *place = *state;

    seven(place);
    place->world.controller->options.may_act = may_not;
    assert_int_equal(turn_until_done(place, 1000), 0);
    assert_int_equal(turn_until_done(place, 1000 + HOUR_MS), 0);
    assert_true(is_here(place, delta(2, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_delta_from_what_nobody_has_goes),
        TEST(a_device_that_is_away_for_months_keeps_its_delta),
        TEST(a_release_to_go_back_to_counts_as_held),
        TEST(every_devices_report_is_read),
        TEST(each_model_has_its_newest),
        TEST(the_deltas_of_a_chain_stay_together),
        TEST(drafts_and_young_releases_keep_all),
        TEST(nobody_goes_to_a_yanked_release),
        TEST(a_file_of_no_release_goes_when_it_is_old),
        TEST(a_dry_pass_removes_nothing),
        TEST(another_fleets_database_removes_nothing),
        TEST(a_document_that_cannot_be_read_ends_it),
        TEST(a_collected_delta_is_not_taken_for_lost),
        TEST(the_first_pass_is_an_hour_after_the_start),
        TEST(a_release_that_comes_in_between_keeps_its_files),
        TEST(who_may_not_act_removes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
