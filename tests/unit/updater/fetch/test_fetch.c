/* Downloads against a mirror that misbehaves in every way we know. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>
#include <flotilla/updater.h>

#include "base/host/digest.h"
#include "blobs.h"
#include "mirror.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"
#include "updater/fetch/fetch.h"

#define CHUNK (1u << 20)
#define SIZE (5u * CHUNK + 12345)
#define CHUNKS 6
#define LONG (24u * CHUNK) /* so long that its download is synced meanwhile */

struct world {
    char dir[64];
    char mirror_dir[80];
    struct flo_store *store;
    struct mirror mirrors[2];
    struct flo_fetch fetch;
    uint8_t *data; /* [SIZE] */
    struct flo_digest chunks[CHUNKS];
    struct flo_artifact artifact; /* with chunk hashes */
    struct flo_artifact plain;    /* without */
    struct flo_err err;
};

static void write_file(const char *path, const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
}

static void make_artifact(struct world *world)
{
    char path[256];
    uint32_t random = 12345;

    world->data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        random = random * 1664525u + 1013904223u;
        world->data[i] = (uint8_t)(random >> 24);
    }
    for (uint32_t i = 0; i < CHUNKS; i++) {
        size_t bytes = i + 1 < CHUNKS ? CHUNK : SIZE % CHUNK;
        flo_sha256(world->data + (size_t)i * CHUNK, bytes, &world->chunks[i]);
    }
    flo_sha256(world->data, SIZE, &world->plain.digest);
    world->plain.bytes = SIZE;
    world->artifact = world->plain;
    world->artifact.chunk_bytes = CHUNK;
    world->artifact.chunk_count = CHUNKS;
    world->artifact.chunks = world->chunks;
    snprintf(path, sizeof(path), "%s/sha256-", world->mirror_dir);
    flo_hex_encode(world->plain.digest.bytes, 32, path + strlen(path));
    write_file(path, world->data, SIZE);
}

/* In its place one of LONG bytes, without chunk hashes. */
static void make_long(struct world *world)
{
    char path[256];

    world->data = realloc(world->data, LONG);
    memset(world->data + SIZE, 'l', LONG - SIZE);
    flo_sha256(world->data, LONG, &world->plain.digest);
    world->plain.bytes = LONG;
    snprintf(path, sizeof(path), "%s/sha256-", world->mirror_dir);
    flo_hex_encode(world->plain.digest.bytes, 32, path + strlen(path));
    write_file(path, world->data, LONG);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-fetch-XXXXXX");
    if (mkdtemp(world->dir) == NULL) {
        return -1;
    }
    snprintf(world->mirror_dir, sizeof(world->mirror_dir), "%s/mirror", world->dir);
    if (mkdir(world->mirror_dir, 0700) < 0 ||
        flo_store_open(world->dir, true, &world->store, &world->err) < 0) {
        return -1;
    }
    make_artifact(world);
    mirror_open(&world->mirrors[0], world->mirror_dir);
    mirror_open(&world->mirrors[1], world->mirror_dir);
    world->fetch = (struct flo_fetch){.store = world->store,
                                      .urls = {world->mirrors[0].url, world->mirrors[1].url},
                                      .url_count = 1,
                                      .pause_ms_min = 1,
                                      .pause_ms_max = 2,
                                      .control_fd = -1};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_fetch_deinit(&world->fetch);
    mirror_close(&world->mirrors[0]);
    mirror_close(&world->mirrors[1]);
    flo_store_close(world->store);
    assert_int_equal(remove_tree(world->dir), 0);
    free(world->data);
    free(world);
    return 0;
}

static void part_path(const struct world *world, const char *suffix, char out[256])
{
    snprintf(out, 256, "%s/partial/", world->dir);
    flo_hex_encode(world->plain.digest.bytes, 32, out + strlen(out));
    snprintf(out + strlen(out), 8, "%s", suffix);
}

static int fetch(struct world *world, const struct flo_artifact *artifact)
{
    int fd = -1;

    memset(&world->err, 0, sizeof(world->err));
    int rv = flo_fetch_artifact(&world->fetch, artifact, &fd, &world->err);
    if (rv == 0) {
        uint8_t *back = malloc(SIZE);
        assert_int_equal(flo_fd_pread_all(fd, back, SIZE, 0, NULL), 0);
        assert_memory_equal(back, world->data, SIZE);
        free(back);
        close(fd);
    }
    return rv;
}

static void an_artifact_is_fetched_and_becomes_a_blob(void **state)
{
    struct world *world = *state;
    char path[256];
    int fd = -1;

    assert_int_equal(flo_fetch_artifact(&world->fetch, &world->artifact, &fd, &world->err), 0);
    assert_int_equal(flo_store_part_publish(world->store, fd, &world->artifact.digest, &world->err),
                     0);
    close(fd);

    assert_true(flo_store_blob_has(world->store, &world->artifact.digest, SIZE));
    part_path(world, ".part", path);
    assert_int_equal(access(path, F_OK), -1);
    part_path(world, ".map", path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(world->mirrors[0].requests, 1);
}

static void a_cut_transfer_goes_on_byte_exactly(void **state)
{
    struct world *world = *state;

    for (int round = 0; round < 2; round++) {
        world->mirrors[0].sent_bytes = 0;
        world->mirrors[0].cut_after = 1234567;
        world->mirrors[0].cut_count = -1;

        assert_int_equal(fetch(world, round == 0 ? &world->artifact : &world->plain), 0);

        assert_int_equal(world->mirrors[0].sent_bytes, SIZE);
        assert_string_not_equal(world->mirrors[0].last_range, "");
        assert_int_equal(strncmp(world->mirrors[0].last_if_range, "\"sha256:", 8), 0);
        flo_store_part_remove(world->store, &world->plain.digest);
    }
}

/* The child is killed when the mirror has sent so much. */
static void die_at(void *context, uint64_t done, uint64_t total)
{
    (void)total;
    if (done >= *(uint64_t *)context) {
        raise(SIGKILL);
    }
}

static void fetch_and_die(struct world *world, const struct flo_artifact *artifact, uint64_t at)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        struct flo_part *part = NULL;
        uint64_t position = 0;
        if (flo_part_open(world->store, artifact, &part, NULL) < 0) {
            _exit(1);
        }
        while ((position = flo_part_position(part)) < SIZE) {
            size_t bytes = SIZE - position < 10000 ? SIZE - position : 10000;
            if (flo_part_write(part, world->data + position, bytes, NULL) < 0) {
                _exit(1);
            }
            die_at(&at, position + bytes, SIZE);
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
}

static void after_sigkill_at_most_one_unit_is_fetched_again(void **state)
{
    struct world *world = *state;

    for (int round = 0; round < 2; round++) {
        const struct flo_artifact *artifact = round == 0 ? &world->artifact : &world->plain;
        uint64_t at = 3 * CHUNK + 500000;
        fetch_and_die(world, artifact, at);
        world->mirrors[0].sent_bytes = 0;

        assert_int_equal(fetch(world, artifact), 0);

        assert_true(world->mirrors[0].sent_bytes <= SIZE - at + CHUNK);
        flo_store_part_remove(world->store, &world->plain.digest);
    }
}

static void an_orderly_end_keeps_every_byte(void **state)
{
    struct world *world = *state;

    world->mirrors[0].cut_after = 2 * CHUNK + 777777;
    world->mirrors[0].cut_count = 1;
    world->fetch.attempts_max = 1;
    assert_int_equal(fetch(world, &world->plain), FLO_E_NET_UNREACHABLE);
    assert_true(world->fetch.is_passing);
    world->mirrors[0].sent_bytes = 0;

    assert_int_equal(fetch(world, &world->plain), 0);

    assert_int_equal(world->mirrors[0].sent_bytes, SIZE - (2 * CHUNK + 777777));
}

static void flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void a_damaged_map_is_ignored_and_chunks_are_looked_at(void **state)
{
    struct world *world = *state;
    char path[256];

    fetch_and_die(world, &world->artifact, 3 * CHUNK + 500000);
    part_path(world, ".map", path);
    flip(path, 20);
    flip(path, 4096 + 20);

    assert_int_equal(fetch(world, &world->artifact), 0);

    assert_int_equal(world->mirrors[0].sent_bytes, SIZE - 3 * CHUNK);
}

static void without_chunk_hashes_a_damaged_map_means_from_the_start(void **state)
{
    struct world *world = *state;
    char path[256];

    fetch_and_die(world, &world->plain, 3 * CHUNK + 500000);
    part_path(world, ".map", path);
    assert_int_equal(truncate(path, 10), 0);

    assert_int_equal(fetch(world, &world->plain), 0);

    assert_int_equal(world->mirrors[0].sent_bytes, SIZE);
}

static void a_claimed_chunk_that_is_not_true_is_fetched_again(void **state)
{
    struct world *world = *state;
    char path[256];

    fetch_and_die(world, &world->artifact, 4 * CHUNK + 5);
    part_path(world, ".part", path);
    flip(path, CHUNK + 17);

    assert_int_equal(fetch(world, &world->artifact), 0);

    /* Chunk 1 and everything from chunk 4 on; what stood between was kept,
     * though the first request may run a little into it. */
    assert_true(world->mirrors[0].requests == 2);
    assert_int_equal(world->fetch.fetched_bytes / CHUNK, (CHUNK + SIZE - 4 * CHUNK) / CHUNK);
}

/* The map as another boot would have left it. */
static void forget_the_boot(const char *path)
{
    uint8_t record[512];
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    for (off_t at = 0; at <= 4096; at += 4096) {
        assert_true(pread(fd, record, 512, at) >= 0);
        record[48] ^= 1;
        flo_put_u32(record + 508, flo_crc32c(0, record, 508));
        assert_int_equal(pwrite(fd, record, 512, at), 512);
    }
    close(fd);
}

static void after_another_boot_only_synced_bytes_are_claimed(void **state)
{
    struct world *world = *state;
    char path[256];

    /* Below 8 MiB nothing was synced yet: all of it is asked for again. */
    fetch_and_die(world, &world->plain, 3 * CHUNK + 5);
    part_path(world, ".map", path);
    forget_the_boot(path);

    assert_int_equal(fetch(world, &world->plain), 0);

    assert_int_equal(world->mirrors[0].sent_bytes, SIZE);
}

static void what_was_synced_outlasts_an_attempt_without_network_and_a_boot(void **state)
{
    struct world *world = *state;
    char path[256];

    make_long(world);
    world->fetch.attempts_max = 1;
    world->mirrors[0].cut_after = 20 * CHUNK + CHUNK / 2;
    world->mirrors[0].cut_count = 1;
    assert_int_equal(fetch(world, &world->plain), FLO_E_NET_UNREACHABLE);
    world->fetch.urls[0] = "http://127.0.0.1:1"; /* nobody listens there */
    assert_int_equal(fetch(world, &world->plain), FLO_E_NET_UNREACHABLE);
    part_path(world, ".map", path);
    forget_the_boot(path);
    world->fetch.urls[0] = world->mirrors[0].url;
    world->mirrors[0].sent_bytes = 0;

    assert_int_equal(fetch(world, &world->plain), 0);

    /* 16 MiB were synced before the network went away. */
    assert_int_equal(world->mirrors[0].sent_bytes, LONG - 16 * CHUNK);
}

static void only_the_bad_chunk_of_a_rotten_blob_is_fetched(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    char path[256];
    int fd = -1;

    assert_int_equal(flo_store_blob_put(world->store, world->data, SIZE, &digest, NULL), 0);
    blob_path(world->store, &digest, path, sizeof(path));
    assert_int_equal(chmod(path, 0600), 0);
    flip(path, 2 * CHUNK + 99);
    assert_int_equal(flo_store_blob_open_verified(world->store, &digest, &fd, NULL, &world->err),
                     FLO_E_TARGET_HASH);

    assert_int_equal(fetch(world, &world->artifact), 0);

    assert_true(world->fetch.fetched_bytes < CHUNK + 65536);
}

/* An engine or a runtime that has the file sees no byte of it change. */
static void a_rotten_blob_is_replaced_and_never_written(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    char path[256], rotten[280];
    uint8_t byte = 0;
    int fd = -1;

    assert_int_equal(flo_store_blob_put(world->store, world->data, SIZE, &digest, NULL), 0);
    blob_path(world->store, &digest, path, sizeof(path));
    snprintf(rotten, sizeof(rotten), "%s.rotten", path);
    assert_int_equal(chmod(path, 0600), 0);
    flip(path, 2 * CHUNK + 99);
    int before = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flo_store_blob_open_verified(world->store, &digest, &fd, NULL, &world->err),
                     FLO_E_TARGET_HASH);
    assert_int_equal(access(rotten, F_OK), 0);

    /* killed on the way, too */
    fetch_and_die(world, &world->artifact, 3 * CHUNK);
    assert_int_equal(fetch(world, &world->artifact), 0);

    assert_int_equal(pread(before, &byte, 1, 2 * CHUNK + 99), 1);
    assert_int_not_equal(byte, ((const uint8_t *)world->data)[2 * CHUNK + 99]);
    close(before);
    assert_int_equal(access(rotten, F_OK), -1);
}

static void a_rotten_blob_that_nobody_wants_goes(void **state)
{
    const struct flo_digest_list others = {.items = NULL};
    struct world *world = *state;
    struct flo_digest digest;
    char path[256], rotten[280];
    int fd = -1;

    assert_int_equal(flo_store_blob_put(world->store, world->data, SIZE, &digest, NULL), 0);
    blob_path(world->store, &digest, path, sizeof(path));
    snprintf(rotten, sizeof(rotten), "%s.rotten", path);
    assert_int_equal(chmod(path, 0600), 0);
    flip(path, 99);
    assert_int_equal(flo_store_blob_open_verified(world->store, &digest, &fd, NULL, &world->err),
                     FLO_E_TARGET_HASH);

    assert_true(flo_store_part_is_damaged(world->store, &digest));
    assert_true(flo_store_partials_keep(world->store, &digest, 1, &others) >= SIZE);
    assert_int_equal(access(rotten, F_OK), 0);
    assert_int_equal(flo_store_partials_keep(world->store, NULL, 0, &others), 0);
    assert_int_equal(access(rotten, F_OK), -1);
    assert_false(flo_store_part_is_damaged(world->store, &digest));
}

static void a_mirror_without_range_costs_bytes_but_works(void **state)
{
    struct world *world = *state;

    fetch_and_die(world, &world->plain, 3 * CHUNK + 5);
    world->mirrors[0].is_without_range = true;
    world->mirrors[0].is_without_length = true;

    assert_int_equal(fetch(world, &world->plain), 0);

    assert_int_equal(world->mirrors[0].sent_bytes, SIZE);
}

static void a_captive_portal_is_told_apart(void **state)
{
    struct world *world = *state;

    world->mirrors[0].is_portal = true;

    assert_int_equal(fetch(world, &world->artifact), FLO_E_NET_CONTENT);

    assert_non_null(strstr(world->err.what, "web page"));
    assert_true(world->fetch.is_passing);
    world->mirrors[0].is_portal = false;
    assert_int_equal(fetch(world, &world->artifact), 0);
}

/* Answers of a mirror that are no artifact and no honest refusal. */
static const struct {
    const char *what;
    const char *raw;
    size_t times;
} garbage[] = {
    {"no HTTP", "\x7f\x45\x4c\x46 garbage\r\n\r\n", 1},
    {"nothing but zeros", "\0\0\0\0\0\0\0\0", 4},
    {"a line without an end", "HTTP/1.1 200 OK\r\nX: xxxxxxxxxxxxxxxxxxxxxx", 1},
    {"one endless line", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1 << 14},
    {"a status of nine digits", "HTTP/1.1 200000000 OK\r\n\r\n", 1},
    {"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 1},
    {"a length of letters", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nx", 1},
    {"bad chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", 1},
    {"another encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: snappy\r\n\r\nhello", 1},
    {"our own trouble",
     "HTTP/1.1 400 X\r\nContent-Type: application/problem+json\r\n"
     "Content-Length: "
     "40\r\n\r\n{\"code\":\"disk.full\",\"detail\":\"believe\"}",
     1},
    {"a usage error",
     "HTTP/1.1 404 X\r\nContent-Type: application/problem+json\r\n"
     "Content-Length: "
     "40\r\n\r\n{\"code\":\"cli.usage\",\"detail\":\"believe\"}",
     1},
};

static void speak_garbage(struct mirror *mirror, size_t i)
{
    mirror->raw = garbage[i].raw;
    mirror->raw_bytes = garbage[i].raw[0] == '\0' ? 8 : strlen(garbage[i].raw);
    mirror->raw_times = garbage[i].times;
}

static void a_mirror_that_answers_garbage_is_left_for_the_next(void **state)
{
    struct world *world = *state;

    world->fetch.url_count = 2;
    for (size_t i = 0; i < FLO_COUNT(garbage); i++) {
        speak_garbage(&world->mirrors[0], i);
        world->fetch.first = 0;
        int rv = fetch(world, &world->artifact);
        if (rv != 0) {
            fail_msg("%s: %s: %s", garbage[i].what, flo_error_id(rv), world->err.what);
        }
        blob_lose(world->store, &world->artifact.digest);
        flo_store_part_remove(world->store, &world->artifact.digest);
    }
}

static void garbage_from_everybody_is_an_error_of_the_network(void **state)
{
    struct world *world = *state;

    world->fetch.attempts_max = 2;
    for (size_t i = 0; i < FLO_COUNT(garbage); i++) {
        speak_garbage(&world->mirrors[0], i);
        int rv = fetch(world, &world->artifact);
        if (rv == 0 || (flo_error_exit(rv) != FLO_EXIT_NETWORK && rv != FLO_E_BLOB_ABSENT)) {
            fail_msg("%s: %s", garbage[i].what, flo_error_id(rv));
        }
    }
}

static void a_mirror_that_lacks_it_is_left_for_the_next(void **state)
{
    struct world *world = *state;
    const int statuses[] = {404, 403, 410, 301};

    world->fetch.url_count = 2;
    for (size_t i = 0; i < FLO_COUNT(statuses); i++) {
        world->mirrors[0].status = statuses[i];
        world->mirrors[0].status_count = -1;
        world->mirrors[0].requests = 0;
        world->fetch.first = 0;
        assert_int_equal(fetch(world, &world->artifact), 0);
        assert_int_equal(world->mirrors[0].requests, 1);
        flo_store_part_remove(world->store, &world->plain.digest);
    }
}

static void a_speed_is_too_slow_for_the_time_that_is_left(void **state)
{
    (void)state;
    assert_false(flo_fetch_is_too_slow(0, 1000, 1, 3600000));              /* not known yet */
    assert_true(flo_fetch_is_too_slow(20000, 10001, 1000000000, 3600000)); /* 2 kB/s */
    assert_false(flo_fetch_is_too_slow(20000, 10001, 7000000, 3600000));
    assert_true(flo_fetch_is_too_slow(0, 10001, 1, 3600000));
    assert_false(flo_fetch_is_too_slow(1000, 100, 1000, 1000));
    assert_true(flo_fetch_is_too_slow(1000, 100, 10001, 1000));
}

static void a_mirror_that_is_too_slow_is_left_for_the_next(void **state)
{
    struct world *world = *state;

    world->fetch.url_count = 2;
    world->fetch.deadline_ms = waits_now_ms() + 60000;
    world->mirrors[0].cut_after = 1000;
    world->mirrors[0].cut_count = -1;
    world->mirrors[0].is_holding = true;

    assert_int_equal(fetch(world, &world->artifact), 0);

    assert_int_equal(world->fetch.slow_count, 1);
    assert_int_equal(world->mirrors[0].requests, 1);
    assert_true(world->mirrors[1].last_range[0] != '\0'); /* what came was kept */
}

static void lead(struct mirror *from, const struct mirror *to, const struct flo_digest *digest,
                 char text[512])
{
    char hex[65];

    flo_hex_encode(digest->bytes, FLO_DIGEST_BYTES, hex);
    snprintf(text, 512,
             "HTTP/1.1 307 X\r\nLocation: %s/v1/blobs/sha256:%s\r\n"
             "Content-Length: 0\r\nConnection: close\r\n\r\n",
             to->url, hex);
    from->raw = text;
    from->raw_bytes = strlen(text);
    from->raw_times = 1;
}

static void a_mirror_may_lead_elsewhere_once(void **state)
{
    struct world *world = *state;
    char text[512];

    lead(&world->mirrors[0], &world->mirrors[1], &world->plain.digest, text);
    world->mirrors[1].cut_after = 1234567;
    world->mirrors[1].cut_count = 1;
    assert_int_equal(fetch(world, &world->artifact), 0);
    assert_int_equal(world->mirrors[1].sent_bytes, SIZE);
    assert_string_not_equal(world->mirrors[1].last_range, "");
    flo_store_part_remove(world->store, &world->plain.digest);

    world->mirrors[1].flip_at = 5; /* bytes of elsewhere are checked, too */
    assert_int_equal(fetch(world, &world->artifact), FLO_E_TARGET_HASH);
    world->mirrors[1].flip_at = -1;

    lead(&world->mirrors[0], &world->mirrors[0], &world->plain.digest, text);
    world->mirrors[0].requests = 0;
    assert_int_not_equal(fetch(world, &world->artifact), 0);
    assert_int_equal(world->mirrors[0].requests, 2);
}

static void what_no_mirror_has_is_a_lasting_error(void **state)
{
    struct world *world = *state;

    world->mirrors[0].status = 404;
    world->mirrors[0].status_count = -1;

    assert_true(fetch(world, &world->artifact) < 0);

    assert_false(world->fetch.is_passing);
    assert_int_equal(world->mirrors[0].requests, 1);
}

static void a_busy_mirror_is_asked_again(void **state)
{
    struct world *world = *state;

    world->mirrors[0].status = 503;
    world->mirrors[0].status_count = 3;

    assert_int_equal(fetch(world, &world->artifact), 0);

    assert_int_equal(world->mirrors[0].requests, 4);
}

static void a_mirror_that_stays_busy_is_a_passing_error(void **state)
{
    struct world *world = *state;

    world->mirrors[0].status = 500;
    world->mirrors[0].status_count = -1;

    assert_true(fetch(world, &world->artifact) < 0);

    assert_true(world->fetch.is_passing);
    assert_int_equal(world->mirrors[0].requests, 6);
}

static void nobody_listening_is_a_passing_error(void **state)
{
    struct world *world = *state;

    /* Port 1 of loopback: nobody listens there. */
    world->fetch.urls[0] = "http://127.0.0.1:1";

    assert_int_equal(fetch(world, &world->artifact), FLO_E_NET_UNREACHABLE);

    assert_true(world->fetch.is_passing);
}

static void a_lying_mirror_is_found_by_the_chunk_and_left(void **state)
{
    struct world *world = *state;

    world->fetch.url_count = 2;
    world->mirrors[0].flip_at = 3 * CHUNK + 3;

    assert_int_equal(fetch(world, &world->artifact), 0);

    /* Only the bad chunk came again, once from the liar. */
    assert_true(world->fetch.fetched_bytes < SIZE + 3 * CHUNK);
    assert_int_equal(world->mirrors[0].requests, 2);
}

static void wrong_bytes_from_everybody_end_in_target_hash(void **state)
{
    struct world *world = *state;
    char path[256];

    world->mirrors[0].flip_at = 77;

    assert_int_equal(fetch(world, &world->plain), FLO_E_TARGET_HASH);

    assert_false(world->fetch.is_passing);
    part_path(world, ".part", path);
    assert_int_equal(access(path, F_OK), 0);
    world->mirrors[0].flip_at = -1;
    assert_int_equal(fetch(world, &world->plain), 0);
}

static void more_bytes_than_signed_are_refused_or_dropped(void **state)
{
    struct world *world = *state;

    /* Said in the head: not a byte is taken. */
    world->mirrors[0].extra_bytes = 10;
    assert_int_equal(fetch(world, &world->plain), FLO_E_NET_CONTENT);

    /* Not said: the signed ones are whole, what follows is cut off. */
    world->mirrors[0].is_without_length = true;
    assert_int_equal(fetch(world, &world->plain), 0);
}

static void the_byte_budget_ends_it(void **state)
{
    struct world *world = *state;

    world->fetch.budget_bytes = 2 * CHUNK;

    assert_int_equal(fetch(world, &world->artifact), FLO_E_NET_BUDGET);

    world->fetch.budget_bytes = 0;
    world->fetch.fetched_bytes = 0;
    assert_int_equal(fetch(world, &world->artifact), 0);
    assert_true(world->fetch.fetched_bytes < SIZE - CHUNK + 65536);

    /* Both runs together fetched the whole, and the second one says so. */
    assert_true(world->fetch.found_bytes >= CHUNK);
    assert_true(world->fetch.found_bytes + world->fetch.fetched_bytes >= SIZE);
    assert_true(world->fetch.found_bytes + world->fetch.fetched_bytes < SIZE + 65536);
}

static void it_stops_when_the_agent_goes_away(void **state)
{
    struct world *world = *state;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    world->fetch.control_fd = pair[1];
    world->mirrors[0].status = 503;
    world->mirrors[0].status_count = -1;
    close(pair[0]);

    assert_int_equal(fetch(world, &world->artifact), FLO_E_INTERRUPTED);

    assert_true(world->fetch.is_passing);
    close(pair[1]);
}

static void a_full_disk_shows_before_the_first_byte_and_leaves_nothing(void **state)
{
    struct world *world = *state;
    struct flo_artifact huge = world->plain;
    char path[256];

    huge.bytes = UINT64_C(1) << 50;

    assert_int_equal(fetch(world, &huge), FLO_E_DISK_FULL);

    assert_non_null(strstr(world->err.what, "1125899906842624 bytes needed"));
    assert_true(world->fetch.is_passing);
    assert_int_equal(world->mirrors[0].requests, 0);
    part_path(world, ".part", path);
    assert_int_equal(access(path, F_OK), -1);
    part_path(world, ".map", path);
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- envelopes ---- */

static const char wanted_envelope[] = "the envelope";

static int check_envelope(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)context;
    return bytes == strlen(wanted_envelope) && memcmp(data, wanted_envelope, bytes) == 0
               ? 0
               : flo_fail(err, FLO_E_SIG_BAD, "another text");
}

static void put_envelope(struct world *world, const char *text)
{
    char hex[65];
    char path[256];

    flo_hex_encode(world->plain.digest.bytes, 32, hex);
    snprintf(path, sizeof(path), "%s/envelope-%s", world->mirrors[0].dir, hex);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
}

static int fetch_envelope(struct world *world, struct flo_buf *out)
{
    return flo_fetch_envelope(&world->fetch, &world->plain.digest, check_envelope, NULL, out,
                              &world->err);
}

static void an_envelope_is_fetched_by_the_id_of_its_release(void **state)
{
    struct world *world = *state;
    struct flo_buf text = {0};

    put_envelope(world, wanted_envelope);
    assert_int_equal(fetch_envelope(world, &text), 0);
    assert_int_equal(text.bytes, strlen(wanted_envelope));
    flo_buf_deinit(&text);

    put_envelope(world, "a lie");
    assert_int_equal(fetch_envelope(world, &text), FLO_E_SIG_BAD);
    assert_false(world->fetch.is_passing);

    char *large = calloc(1, FLO_ENVELOPE_BYTES_MAX + 2);
    memset(large, 'x', FLO_ENVELOPE_BYTES_MAX + 1);
    put_envelope(world, large);
    free(large);
    assert_int_equal(fetch_envelope(world, &text), FLO_E_META_TOO_LARGE);

    world->mirrors[0].is_portal = true;
    assert_int_equal(fetch_envelope(world, &text), FLO_E_SIG_BAD);
}

static void an_envelope_that_is_refused_is_asked_of_the_next_mirror(void **state)
{
    struct world *world = *state;
    struct flo_buf text = {0};

    world->fetch.url_count = 2;
    put_envelope(world, wanted_envelope);
    for (size_t i = 0; i < FLO_COUNT(garbage); i++) {
        speak_garbage(&world->mirrors[0], i);
        world->fetch.first = 0;
        int rv = fetch_envelope(world, &text);
        if (rv != 0) {
            fail_msg("%s: %s", garbage[i].what, flo_error_id(rv));
        }
        flo_buf_deinit(&text);
    }
    world->mirrors[0].raw = NULL;
    world->mirrors[0].is_portal = true;
    world->fetch.first = 0;
    assert_int_equal(fetch_envelope(world, &text), 0);
    flo_buf_deinit(&text);
}

static void a_mirror_that_is_gone_costs_no_pause_and_is_asked_once_a_job(void **state)
{
    struct world *world = *state;
    struct flo_buf text = {0};

    world->fetch.url_count = 2;
    world->fetch.pause_ms_min = world->fetch.pause_ms_max = 24 * WAITS_HANG_MS;
    world->mirrors[0].status = 503;
    world->mirrors[0].status_count = -1;
    put_envelope(world, wanted_envelope);
    assert_int_equal(fetch_envelope(world, &text), 0);
    assert_int_equal(fetch(world, &world->artifact), 0);
    assert_int_equal(world->mirrors[0].requests, 1);
    flo_buf_deinit(&text);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(an_artifact_is_fetched_and_becomes_a_blob),
        with_world(a_cut_transfer_goes_on_byte_exactly),
        with_world(after_sigkill_at_most_one_unit_is_fetched_again),
        with_world(an_orderly_end_keeps_every_byte),
        with_world(a_damaged_map_is_ignored_and_chunks_are_looked_at),
        with_world(without_chunk_hashes_a_damaged_map_means_from_the_start),
        with_world(a_claimed_chunk_that_is_not_true_is_fetched_again),
        with_world(after_another_boot_only_synced_bytes_are_claimed),
        with_world(what_was_synced_outlasts_an_attempt_without_network_and_a_boot),
        with_world(only_the_bad_chunk_of_a_rotten_blob_is_fetched),
        with_world(a_rotten_blob_is_replaced_and_never_written),
        with_world(a_rotten_blob_that_nobody_wants_goes),
        with_world(a_mirror_without_range_costs_bytes_but_works),
        with_world(a_captive_portal_is_told_apart),
        with_world(a_mirror_may_lead_elsewhere_once),
        with_world(a_mirror_that_answers_garbage_is_left_for_the_next),
        with_world(garbage_from_everybody_is_an_error_of_the_network),
        with_world(a_mirror_that_lacks_it_is_left_for_the_next),
        cmocka_unit_test(a_speed_is_too_slow_for_the_time_that_is_left),
        with_world(a_mirror_that_is_too_slow_is_left_for_the_next),
        with_world(what_no_mirror_has_is_a_lasting_error),
        with_world(a_busy_mirror_is_asked_again),
        with_world(a_mirror_that_stays_busy_is_a_passing_error),
        with_world(nobody_listening_is_a_passing_error),
        with_world(a_lying_mirror_is_found_by_the_chunk_and_left),
        with_world(wrong_bytes_from_everybody_end_in_target_hash),
        with_world(more_bytes_than_signed_are_refused_or_dropped),
        with_world(the_byte_budget_ends_it),
        with_world(it_stops_when_the_agent_goes_away),
        with_world(a_full_disk_shows_before_the_first_byte_and_leaves_nothing),
        with_world(an_envelope_is_fetched_by_the_id_of_its_release),
        with_world(an_envelope_that_is_refused_is_asked_of_the_next_mirror),
        with_world(a_mirror_that_is_gone_costs_no_pause_and_is_asked_once_a_job),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
