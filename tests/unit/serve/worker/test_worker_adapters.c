/* Adapters that an engine process takes and drops while it answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/adapter.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "tests/unit/waits.h"
#include "unit/serve/worker/worker_talk.h"

#define BASE "tests/models/tiny-v1.Q4_0.gguf"
#define SITE "tests/models/tiny-v1-site-lora.gguf"

static void worker_open_base(const char *path, uint64_t bytes)
{
    struct flo_wire_message open_it = {.type = FLO_WIRE_OPEN, .request = 1};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    worker_spawn(bin("flotilla-engine"));
    open_it.open.threads = 1;
    open_it.open.adapter_bytes = bytes;
    say(&open_it, fd);
    close(fd);
    expect(FLO_WIRE_READY);
}

/* Room for so many adapters like SITE; nothing is loaded yet. */
static void worker_open_with_room(uint64_t bytes)
{
    worker_open_base(BASE, bytes);
}

static uint64_t bytes_of_site(void)
{
    uint64_t bytes = 0;
    int fd = open(SITE, O_RDONLY);
    assert_int_equal(flo_adapter_reckon(fd, &bytes, NULL), 0);
    close(fd);
    return bytes;
}

/* SITE with another alpha: the same changes, stronger. */
static int stronger_site(void)
{
    static char data[1 << 20];
    static const char key[] = "adapter.lora.alpha";
    int fd = open(SITE, O_RDONLY), copy = memfd_create("site", 0);
    ssize_t bytes = read(fd, data, sizeof(data));
    assert_true(bytes > 0 && bytes < (ssize_t)sizeof(data) && copy >= 0);
    close(fd);
    char *place = memmem(data, (size_t)bytes, key, sizeof(key) - 1);
    float alpha;
    assert_non_null(place);
    place += sizeof(key) - 1 + 4; /* the value's type */
    memcpy(&alpha, place, sizeof(alpha));
    assert_true(alpha > 0);
    alpha *= 3;
    memcpy(place, &alpha, sizeof(alpha));
    assert_int_equal(write(copy, data, (size_t)bytes), bytes);
    return copy;
}

/* LOAD; the descriptor is closed here.  The answer is heard later. */
static void say_load(uint32_t request, const char *name, int fd)
{
    struct flo_wire_message m = {.type = FLO_WIRE_LOAD, .request = request};
    m.adapter.name = TEXT(name);
    say(&m, fd);
    if (fd >= 0) {
        close(fd);
    }
}

static void load_site(const char *name)
{
    say_load(40, name, open(SITE, O_RDONLY));
    expect(FLO_WIRE_ADAPTER);
    assert_int_equal(worker.got.request, 40);
    assert_int_equal(worker.got.adapter.name.bytes, strlen(name));
    assert_true(worker.got.adapter.bytes > 100000);
}

static void say_drop(const char *name)
{
    struct flo_wire_message m = {.type = FLO_WIRE_DROP, .request = 41};
    m.adapter.name = TEXT(name);
    say(&m, -1);
}

static void expect_failed(int code)
{
    expect(FLO_WIRE_FAILED);
    if (flo_wire_failed_code(&worker.got.failed) != code) {
        fail_msg("%d: %.*s", flo_wire_failed_code(&worker.got.failed),
                 (int)worker.got.failed.what.bytes, worker.got.failed.what.data);
    }
}

enum { WITH_TOKENS = 24 };

static struct flo_wire_message ask_with(uint32_t request, const char *adapter)
{
    struct flo_wire_message m = ask_many(request, WITH_TOKENS, FLO_WIRE_USER);
    m.generate.messages[0].content.bytes = 12 + 4 * request;
    m.generate.temperature = 0;
    m.generate.adapter = TEXT(adapter);
    return m;
}

/* It goes on until it is cancelled. */
static struct flo_wire_message ask_endlessly(uint32_t request, const char *adapter)
{
    struct flo_wire_message m = ask_with(request, adapter);
    m.generate.shifts = true;
    m.generate.max_tokens = UINT32_MAX;
    return m;
}

static void cancel(uint32_t request)
{
    struct flo_wire_message m = {.type = FLO_WIRE_CANCEL, .request = request};
    say(&m, -1);
    expect_end(request);
    assert_int_equal(worker.got.done.reason, FLO_WIRE_CANCELLED);
}

static bool same_ids(const struct heard *a, const struct heard *b, uint32_t request)
{
    return a->made[request] == WITH_TOKENS && b->made[request] == WITH_TOKENS &&
           memcmp(a->ids[request], b->ids[request], WITH_TOKENS * sizeof(uint32_t)) == 0;
}

static void hear_with(struct heard *heard, uint32_t request, const char *adapter)
{
    struct flo_wire_message m = ask_with(request, adapter);
    say(&m, -1);
    hear_all(heard, 1);
}

/* The adapter's answer when OPEN names it. */
static void hear_named_by_open(struct heard *heard, uint32_t request, int site)
{
    struct flo_wire_message open_it = {.type = FLO_WIRE_OPEN, .request = 1};
    int fds[2] = {open(BASE, O_RDONLY), site};
    open_it.open.threads = 1;
    open_it.open.n_adapters = 1;
    open_it.open.adapters[0] = TEXT("site");
    worker_spawn(bin("flotilla-engine"));
    say_with(&open_it, fds, FLO_COUNT(fds));
    close(fds[0]);
    close(fds[1]);
    expect(FLO_WIRE_READY);
    hear_with(heard, request, "site");
    assert_int_equal(worker_end(), 0);
}

static void an_adapter_is_loaded_during_answers_and_dropped(void **state)
{
    static struct heard base[8], site[8], together;
    (void)state;
    hear_named_by_open(&site[1], 1, open(SITE, O_RDONLY));
    worker_open_with_room(bytes_of_site());
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&base[i], i, "");
    }
    struct flo_wire_message m = ask_with(7, "site"); /* none of that name */
    say(&m, -1);
    expect_failed(FLO_E_INFER_MODEL);
    /* It comes while an answer is on its way, and changes nothing in that. */
    m = ask_endlessly(6, "");
    say(&m, -1);
    uint32_t at = 0, behind = 0;
    for (bool is_there = false; at < WITH_TOKENS || behind < 2;) {
        assert_true(hear());
        if (worker.got.type == FLO_WIRE_ADAPTER) {
            is_there = true;
            continue;
        }
        assert_int_equal(worker.got.type, FLO_WIRE_TOKEN);
        if (at < WITH_TOKENS) {
            assert_int_equal(worker.got.token.token, base[6].ids[6][at]);
        }
        if (at++ == 0) {
            say_load(40, "site", open(SITE, O_RDONLY));
        }
        behind += is_there;
    }
    cancel(6);
    struct heard again = site[1];
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&site[i], i, "site");
        /* Only what the adapter's own requests have in common. */
        assert_true(i == 1 ? site[i].done[i].cached_tokens == 0
                           : site[i].done[i].cached_tokens < 10);
        assert_false(same_ids(&site[i], &base[i], i));
    }
    assert_true(same_ids(&site[1], &again, 1));
    /* With and without in one batch: the same as alone. */
    for (uint32_t i = 1; i <= 6; i++) {
        m = ask_with(i, i % 2 == 0 ? "site" : "");
        say(&m, -1);
    }
    hear_all(&together, 6);
    for (uint32_t i = 1; i <= 6; i++) {
        assert_true(same_ids(&together, i % 2 == 0 ? &site[i] : &base[i], i));
    }
    say_drop("site");
    expect(FLO_WIRE_ADAPTER);
    m = ask_with(7, "site");
    say(&m, -1);
    expect_failed(FLO_E_INFER_MODEL);
    hear_with(&together, 2, "");
    assert_true(same_ids(&together, &base[2], 2));
    assert_int_equal(worker_end(), 0);
}

/* A new one under the same name: nothing that the old one computed is taken
 * over, and requests that have the old one keep it, waiting or not. */
static void a_name_that_changes_hands_mixes_nothing(void **state)
{
    static struct heard old[8], new[8], together;
    (void)state;
    hear_named_by_open(&new[2], 2, stronger_site());
    worker_open_with_room(2 * bytes_of_site());
    load_site("site");
    for (uint32_t i = 1; i <= 6; i++) {
        hear_with(&old[i], i, "site");
    }
    assert_false(same_ids(&old[2], &new[2], 2));
    for (uint32_t i = 1; i <= 6; i++) { /* two of them wait for a session */
        struct flo_wire_message m = ask_with(i, "site");
        say(&m, -1);
    }
    say_load(7, "site", stronger_site());
    struct flo_wire_message m = ask_with(2, "site");
    m.request = 0;
    say(&m, -1);
    memset(&together, 0, sizeof(together));
    for (int ended = 0; ended < 8;) { /* six old, one load, one new */
        assert_true(hear());
        uint32_t who = worker.got.request;
        if (worker.got.type == FLO_WIRE_TOKEN) {
            assert_true(who < 7 && together.made[who] < WITH_TOKENS);
            together.ids[who][together.made[who]++] = worker.got.token.token;
            continue;
        }
        assert_int_equal(worker.got.type, who == 7 ? FLO_WIRE_ADAPTER : FLO_WIRE_DONE);
        together.done[who] = worker.got.done;
        ended++;
    }
    for (uint32_t i = 1; i <= 6; i++) {
        assert_true(same_ids(&together, &old[i], i));
    }
    assert_memory_equal(together.ids[0], new[2].ids[2], WITH_TOKENS * sizeof(uint32_t));
    assert_int_equal(together.done[0].cached_tokens, 0);
    /* Dropped and loaded again: the same file, and still nothing is kept. */
    say_drop("site");
    expect(FLO_WIRE_ADAPTER);
    load_site("site");
    hear_with(&together, 3, "site");
    assert_true(same_ids(&together, &old[3], 3));
    assert_int_equal(together.done[3].cached_tokens, 0);
    assert_int_equal(worker_end(), 0);
}

static void room_for_adapters_comes_back(void **state)
{
    (void)state;
    worker_open_with_room(bytes_of_site());
    for (int i = 0; i < 30; i++) {
        load_site("site");
        say_load(2, "more", open(SITE, O_RDONLY));
        expect_failed(FLO_E_MEMORY_BUDGET);
        say_drop("site");
        expect(FLO_WIRE_ADAPTER);
    }
    /* One that is in use goes with its request, also when that is cancelled. */
    load_site("site");
    struct flo_wire_message m = ask_endlessly(5, "site");
    say(&m, -1);
    expect(FLO_WIRE_TOKEN);
    say_drop("site");
    do {
        assert_true(hear());
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_ADAPTER);
    say_load(6, "next", open(SITE, O_RDONLY));
    do {
        assert_true(hear());
    } while (worker.got.type == FLO_WIRE_TOKEN);
    assert_int_equal(worker.got.type, FLO_WIRE_FAILED);
    assert_int_equal(flo_wire_failed_code(&worker.got.failed), FLO_E_MEMORY_BUDGET);
    cancel(5);
    load_site("next");
    assert_int_equal(worker_end(), 0);
}

static void adapters_that_cannot_be_loaded_change_nothing(void **state)
{
    char name[FLO_NAME_MAX + 3];
    struct heard before, after;
    (void)state;
    worker_open_with_room(10 * bytes_of_site());
    load_site("site");
    hear_with(&before, 1, "site");
    say_load(2, "site", open(BASE, O_RDONLY)); /* a model; the old one stays */
    expect_failed(FLO_E_MODEL_ADAPTER);
    say_load(2, "text", open("tests/models/README.md", O_RDONLY));
    expect_failed(FLO_E_GGUF_MAGIC);
    say_load(2, "none", memfd_create("empty", 0));
    expect_failed(FLO_E_GGUF_MAGIC);
    say_load(2, "socket", dup(worker.fd));
    expect_failed(FLO_E_IO_OPEN);
    say_load(2, "Site", open(SITE, O_RDONLY));
    expect_failed(FLO_E_META_NAME);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    say_load(2, name, open(SITE, O_RDONLY));
    expect_failed(FLO_E_META_NAME);
    say_drop("other");
    expect_failed(FLO_E_INFER_MODEL);
    for (char c = 'a'; c < 'a' + FLO_WIRE_ADAPTERS_MAX - 1; c++) {
        load_site((char[]){c, '\0'});
    }
    say_load(2, "ninth", open(SITE, O_RDONLY));
    expect_failed(FLO_E_STATE);
    hear_with(&after, 1, "site");
    assert_true(same_ids(&before, &after, 1));
    say_load(3, "site", -1);
    assert_false(hear()); /* the agent is not one: the process ends */
    assert_int_equal(worker_end(), 0);
}

enum { NUMBERS_MAX = 256 };

static void say_embed(uint32_t request, const char *adapter, double scale)
{
    struct flo_wire_message m = {.type = FLO_WIRE_EMBED, .request = request};

    m.embed.n_inputs = 2;
    m.embed.inputs[0].data = TEXT("oven-95 voltage drop");
    m.embed.inputs[1].data = TEXT("smoke");
    m.embed.adapter = TEXT(adapter);
    m.embed.adapter_scale = scale;
    say(&m, -1);
}

/* The vectors of both texts. */
static void hear_vectors(uint32_t request, float (*out)[NUMBERS_MAX])
{
    memset(out, 0, 2 * sizeof(*out));
    for (int i = 0; i < 2; i++) {
        expect(FLO_WIRE_EMBEDDING);
        assert_int_equal(worker.got.request, request);
        assert_true(worker.got.embedding.vector.bytes <= sizeof(out[i]));
        memcpy(out[i], worker.got.embedding.vector.data, worker.got.embedding.vector.bytes);
    }
    expect(FLO_WIRE_DONE);
}

static void vectors_have_the_adapter_that_their_request_names(void **state)
{
    static const struct {
        const char *base, *adapter;
    } models[] = {
        {BASE, SITE},
        {"tests/models/bert.Q8_0.gguf", "tests/models/bert-lora.gguf"},
    };
    static float plain[2][NUMBERS_MAX], with[2][NUMBERS_MAX], less[2][NUMBERS_MAX];
    static float got[2][NUMBERS_MAX];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(models); i++) {
        worker_open_base(models[i].base, 4u << 20);
        say_embed(2, "", 0);
        hear_vectors(2, plain);
        say_embed(3, "site", 0);
        expect_failed(FLO_E_INFER_MODEL);
        say_load(4, "site", open(models[i].adapter, O_RDONLY));
        expect(FLO_WIRE_ADAPTER);
        say_embed(5, "site", 0);
        hear_vectors(5, with);
        say_embed(6, "site", 0.5);
        hear_vectors(6, less);
        assert_memory_not_equal(plain, with, sizeof(plain));
        assert_memory_not_equal(less, with, sizeof(less));
        say_embed(7, "site", 101);
        expect_failed(FLO_E_INFER_PARAM);
        /* Requests that wait next to each other, and for an adapter that goes. */
        waits_stop(worker.pid);
        for (uint32_t request = 10; request < 16; request++) {
            say_embed(request, request % 2 == 0 ? "site" : "", 0);
        }
        say_drop("site");
        assert_int_equal(kill(worker.pid, SIGCONT), 0);
        expect(FLO_WIRE_ADAPTER);
        for (uint32_t request = 10; request < 16; request++) {
            hear_vectors(request, got);
            assert_memory_equal(got, request % 2 == 0 ? with : plain, sizeof(got));
        }
        say_embed(20, "site", 0);
        expect_failed(FLO_E_INFER_MODEL);
        assert_int_equal(worker_end(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_is_loaded_during_answers_and_dropped),
        cmocka_unit_test(a_name_that_changes_hands_mixes_nothing),
        cmocka_unit_test(room_for_adapters_comes_back),
        cmocka_unit_test(adapters_that_cannot_be_loaded_change_nothing),
        cmocka_unit_test(vectors_have_the_adapter_that_their_request_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
