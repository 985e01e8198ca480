/* Devices close by: asked before the mirror, believed as little. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "base/host/digest.h"
#include "mirror.h"
#include "unit/held_clock.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"
#include "updater/fetch/fetch.h"

#define CHUNK (1u << 20)
#define CHUNKS 3
#define SIZE (CHUNKS * CHUNK)
#define PROBLEM(status, code)                                                                      \
    "HTTP/1.1 " status "\r\nContent-Type: application/problem+json\r\n"                            \
    "Connection: close\r\nContent-Length: 48\r\n\r\n"                                              \
    "{\"code\":\"" code "\",\"detail\":\"it waits\"}      "

static const char fetches[] = PROBLEM("503 x", "neighbour.fetches");

struct world {
    char dir[64];
    char mirror_dir[80];
    struct flo_store *store;
    struct mirror mirror;
    struct mirror near[2];
    struct flo_fetch fetch;
    uint32_t waits;
    uint64_t wait_ms; /* so long, by its clock */
    uint8_t *data;    /* [SIZE] */
    struct flo_digest chunks[CHUNKS];
    struct flo_artifact artifact; /* without chunk hashes */
    struct flo_err err;
};

static void on_wait(void *context)
{
    struct world *world = context;

    held_clock_pass_ms(world->wait_ms);
    /* From the third round on it is there. */
    if (++world->waits == 2) {
        world->near[0].raw = NULL;
    }
}

static void make_artifact(struct world *world)
{
    char path[256];

    world->data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        world->data[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    for (uint32_t i = 0; i < CHUNKS; i++) {
        flo_sha256(world->data + (size_t)i * CHUNK, CHUNK, &world->chunks[i]);
    }
    flo_sha256(world->data, SIZE, &world->artifact.digest);
    world->artifact.bytes = SIZE;
    snprintf(path, sizeof(path), "%s/sha256-", world->mirror_dir);
    flo_hex_encode(world->artifact.digest.bytes, 32, path + strlen(path));
    assert_int_equal(flo_file_write(path, world->data, SIZE, 0600, &world->err), 0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-near-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(world->mirror_dir, sizeof(world->mirror_dir), "%s/mirror", world->dir);
    assert_int_equal(mkdir(world->mirror_dir, 0700), 0);
    assert_int_equal(flo_store_open(world->dir, true, &world->store, &world->err), 0);
    make_artifact(world);
    mirror_open(&world->mirror, world->mirror_dir);
    mirror_open(&world->near[0], world->mirror_dir);
    mirror_open(&world->near[1], world->mirror_dir);
    world->fetch =
        (struct flo_fetch){.store = world->store,
                           .urls = {world->mirror.url},
                           .url_count = 1,
                           .neighbours = {.urls = {world->near[0].url, world->near[1].url},
                                          .count = 1,
                                          .pause_ms = 4,
                                          .on_wait = on_wait},
                           .pause_ms_min = 1,
                           .pause_ms_max = 2,
                           .control_fd = -1,
                           .context = world};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_fetch_deinit(&world->fetch);
    mirror_close(&world->mirror);
    mirror_close(&world->near[0]);
    mirror_close(&world->near[1]);
    flo_store_close(world->store);
    assert_int_equal(remove_tree(world->dir), 0);
    free(world->data);
    free(world);
    return 0;
}

static void with_chunks(struct world *world)
{
    world->artifact.chunk_bytes = CHUNK;
    world->artifact.chunk_count = CHUNKS;
    world->artifact.chunks = world->chunks;
}

/* All of it came, and is right. */
static void fetch_whole(struct world *world)
{
    uint8_t *got = malloc(SIZE);
    int fd = -1;
    int rv = flo_fetch_artifact(&world->fetch, &world->artifact, &fd, &world->err);

    if (rv < 0) {
        print_error("%s\n", world->err.what);
    }
    assert_int_equal(rv, 0);
    assert_int_equal(flo_fd_pread_all(fd, got, SIZE, 0, &world->err), 0);
    assert_memory_equal(got, world->data, SIZE);
    close(fd);
    free(got);
}

static void what_a_neighbour_has_is_not_asked_of_the_mirror(void **state)
{
    struct world *world = *state;

    fetch_whole(world);

    assert_int_equal(world->mirror.requests, 0);
    assert_int_equal(world->fetch.neighbours.bytes, SIZE);
    assert_int_equal(world->fetch.fetched_bytes, SIZE);
}

static void a_neighbour_without_it_costs_a_question(void **state)
{
    struct world *world = *state;

    world->near[0].status = 404;
    world->near[0].status_count = -1;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 1);
    assert_int_equal(world->fetch.neighbours.bytes, 0);
}

static void before_its_turn_a_device_asks_again(void **state)
{
    struct world *world = *state;

    world->near[0].status = 404;
    world->near[0].status_count = 3;
    world->fetch.neighbours.turn_ms = WAITS_HANG_MS;
    world->fetch.neighbours.wait_ms = WAITS_HANG_MS;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 4);
    assert_int_equal(world->mirror.requests, 0);
}

static void a_neighbour_that_fetches_is_awaited(void **state)
{
    struct world *world = *state;

    world->near[0].raw = fetches;
    world->near[0].raw_bytes = sizeof(fetches) - 1;
    world->near[0].raw_times = 1;
    world->fetch.neighbours.wait_ms = WAITS_HANG_MS;
    fetch_whole(world);

    assert_int_equal(world->waits, 2);
    assert_int_equal(world->mirror.requests, 0);
    assert_int_equal(world->fetch.neighbours.bytes, SIZE);
}

static void but_not_for_ever(void **state)
{
    struct world *world = *state;

    world->waits = 100; /* it never gets it */
    world->near[0].raw = fetches;
    world->near[0].raw_bytes = sizeof(fetches) - 1;
    world->near[0].raw_times = 1;
    world->wait_ms = WAITS_HANG_MS / 2;
    world->fetch.neighbours.wait_ms = WAITS_HANG_MS;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 3);
    assert_int_equal(world->fetch.neighbours.bytes, 0);
    assert_true(world->mirror.requests > 0);
}

/* Else two such devices would wait for each other. */
static void who_has_begun_waits_for_no_turn(void **state)
{
    struct world *world = *state;
    int fd = -1;

    world->mirror.cut_after = CHUNK + 5;
    world->mirror.cut_count = -1;
    world->fetch.neighbours.count = 0;
    world->fetch.attempts_max = 1;
    assert_true(flo_fetch_artifact(&world->fetch, &world->artifact, &fd, &world->err) < 0);
    world->mirror.cut_count = 0;
    world->near[0].status = 404;
    world->near[0].status_count = -1;
    world->fetch.neighbours.count = 1;
    world->fetch.neighbours.turn_ms = WAITS_HANG_MS;
    world->fetch.neighbours.wait_ms = WAITS_HANG_MS;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 1);
    assert_int_equal(world->waits, 0);
}

static void the_next_one_goes_on_where_one_was_cut(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < 2; i++) {
        world->near[i].cut_after = CHUNK + 77;
        world->near[i].cut_count = -1;
    }
    world->fetch.neighbours.count = 2;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 1);
    assert_int_equal(world->near[1].requests, 1);
    assert_int_equal(world->fetch.fetched_bytes, SIZE);
    assert_true(world->fetch.neighbours.bytes > CHUNK);
    assert_true(world->mirror.last_range[0] != '\0');
}

static void a_wrong_chunk_is_the_last_that_a_liar_gives(void **state)
{
    struct world *world = *state;

    with_chunks(world);
    world->near[0].flip_at = CHUNK + 9;
    world->fetch.neighbours.turn_ms = WAITS_HANG_MS; /* of a liar it waits for none */
    world->fetch.neighbours.wait_ms = WAITS_HANG_MS;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 1);
    assert_int_equal(world->waits, 0);
    /* the first chunk stays */
    assert_true(world->mirror.sent_bytes <= 2 * CHUNK);
    /* and nothing else is asked of it in this job */
    assert_int_equal(world->fetch.neighbours.aside_ms[0], UINT64_MAX);
}

static void wrong_bytes_without_chunks_cost_the_whole_once(void **state)
{
    struct world *world = *state;

    world->near[0].flip_at = 9;
    fetch_whole(world);

    assert_int_equal(world->near[0].requests, 1);
    assert_int_equal(world->mirror.sent_bytes, SIZE);
    assert_int_equal(world->fetch.neighbours.bytes, SIZE);
    assert_int_equal(world->fetch.neighbours.aside_ms[0], UINT64_MAX);
}

static void a_neighbour_leads_nowhere(void **state)
{
    struct world *world = *state;
    char answer[512];

    snprintf(answer, sizeof(answer),
             "HTTP/1.1 307 x\r\nLocation: %s/v1/blobs/sha256:00\r\n"
             "Connection: close\r\nContent-Length: 0\r\n\r\n",
             world->near[1].url);
    world->near[0].raw = answer;
    world->near[0].raw_bytes = strlen(answer);
    world->near[0].raw_times = 1;
    fetch_whole(world);

    assert_int_equal(world->near[1].requests, 0);
    assert_true(world->mirror.requests > 0);
}

static void one_that_is_not_there_is_left_alone_for_a_while(void **state)
{
    struct world *world = *state;

    world->fetch.neighbours.urls[0] = "http://127.0.0.1:1";
    uint64_t before_ms = waits_now_ms();
    fetch_whole(world);

    assert_true(world->fetch.neighbours.aside_ms[0] > before_ms);
    assert_true(world->fetch.neighbours.aside_ms[0] != UINT64_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_a_neighbour_has_is_not_asked_of_the_mirror),
        T(a_neighbour_without_it_costs_a_question),
        T(before_its_turn_a_device_asks_again),
        T(a_neighbour_that_fetches_is_awaited),
        T(but_not_for_ever),
        T(who_has_begun_waits_for_no_turn),
        T(the_next_one_goes_on_where_one_was_cut),
        T(a_wrong_chunk_is_the_last_that_a_liar_gives),
        T(wrong_bytes_without_chunks_cost_the_whole_once),
        T(a_neighbour_leads_nowhere),
        T(one_that_is_not_there_is_left_alone_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
