/* Newest statements: read strictly, and a hash tree in which each device finds
 * its own desired document alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/newest.h>

#include "base/host/digest.h"
#include "base/host/json.h"

#define HEX "abababababababababababababababababababababababababababababababab"
#define DEVICES_MAX 70

static int parse(const char *number, const char *interval, const char *fleet)
{
    char text[512];
    struct flo_newest newest;

    snprintf(text, sizeof(text),
             "{\"v\":1,\"fleet\":\"demo\",\"number\":%s,\"issued_at_ms\":5,\"expires_at_ms\":9,"
             "\"interval_ms\":%s,\"root\":\"sha256:" HEX "\"}",
             number, interval);
    return flo_newest_parse(text, strlen(text), fleet, &newest, NULL);
}

static void a_statement_is_written_and_read_back(void **state)
{
    struct flo_newest newest = {.fleet = "demo",
                                .number = FLO_NEWEST_NUMBER_MAX,
                                .issued_at_ms = 5,
                                .expires_at_ms = 9,
                                .interval_ms = 60000};
    struct flo_newest again;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    (void)state;

    memset(newest.root.bytes, 0xab, sizeof(newest.root.bytes));
    flo_newest_write(&newest, &text);
    assert_string_equal(text.data, "{\"expires_at_ms\":9,\"fleet\":\"demo\",\"interval_ms\":60000,"
                                   "\"issued_at_ms\":5,\"number\":9007199254740991,"
                                   "\"root\":\"sha256:" HEX "\",\"v\":1}");
    assert_int_equal(flo_newest_parse(text.data, text.bytes, "demo", &again, NULL), 0);
    assert_memory_equal(&again, &newest, sizeof(newest));
}

static void a_number_beyond_2_to_53_or_another_fleet_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("9007199254740991", "0", "demo"), 0);
    assert_int_equal(parse("9007199254740992", "0", "demo"), FLO_E_META_SCHEMA);
    assert_int_equal(parse("-1", "0", "demo"), FLO_E_META_SCHEMA);
    assert_int_equal(parse("7", "86400001", "demo"), FLO_E_META_SCHEMA);
    assert_int_equal(parse("7", "0", "other"), FLO_E_META_FLEET);
}

struct world {
    struct flo_digest documents[DEVICES_MAX];
    struct flo_digest nodes[2 * DEVICES_MAX];
    size_t devices;
};

static const char *name_of(size_t device)
{
    static char name[16];

    snprintf(name, sizeof(name), "gw-%02zu", device);
    return name;
}

static void make(struct world *world, size_t devices)
{
    world->devices = devices;
    for (size_t i = 0; i < devices; i++) {
        flo_sha256(&i, sizeof(i), &world->documents[i]);
        flo_newest_leaf(name_of(i), &world->documents[i], &world->nodes[devices + i]);
    }
    flo_newest_tree(world->nodes, devices);
}

static bool fits(const struct world *world, size_t device, size_t document, size_t path_of)
{
    struct flo_newest_path path;
    struct flo_digest node;

    flo_newest_leaf(name_of(device), &world->documents[document], &node);
    flo_newest_path(world->nodes, world->devices, path_of, &path);
    flo_newest_root(&node, &path, &node);
    return flo_digest_equal(&node, &world->nodes[1]);
}

static void each_device_finds_its_own_document_and_no_other(void **state)
{
    static struct world world;
    (void)state;

    for (size_t devices = 1; devices <= DEVICES_MAX; devices++) {
        make(&world, devices);
        for (size_t i = 0; i < devices; i++) {
            size_t other = (i + 1) % devices;
            assert_true(fits(&world, i, i, i));
            assert_true(other == i || !fits(&world, i, other, i));     /* another's document */
            assert_true(other == i || !fits(&world, i, other, other)); /* and its path */
            assert_true(other == i || !fits(&world, i, i, other));     /* another's path */
        }
    }
}

/* The root of a bundle with these of the world's documents as its releases. */
static int bundle(const struct world *world, const char *places, struct flo_digest *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();

    for (; *places != '\0'; places++) {
        json_array_append_new(list, *places == '?'
                                        ? json_string("sha256:")
                                        : flo_json_digest(&world->documents[*places - '0']));
    }
    return flo_newest_bundle(list, out, NULL);
}

static void a_bundle_has_one_root_in_any_order_and_no_tree_has_it(void **state)
{
    static struct world world;
    struct flo_digest whole, other;
    (void)state;

    make(&world, 9);
    assert_int_equal(bundle(&world, "01", &whole), 0);
    assert_int_equal(bundle(&world, "10", &other), 0);
    assert_true(flo_digest_equal(&whole, &other));
    assert_int_equal(bundle(&world, "0", &other), 0);
    assert_false(flo_digest_equal(&whole, &other));
    assert_int_equal(bundle(&world, "01234567", &other), 0);
    assert_false(flo_digest_equal(&whole, &other));
    assert_int_equal(bundle(&world, "012345678", &other), FLO_E_META_SCHEMA);
    assert_int_equal(bundle(&world, "0?", &other), FLO_E_META_SCHEMA);
    memcpy(world.nodes + 2, world.documents, 2 * sizeof(*world.nodes)); /* ids as leaves */
    flo_newest_tree(world.nodes, 2);
    assert_false(flo_digest_equal(&whole, &world.nodes[1]));
}

static size_t longest_path(size_t devices)
{
    FLO_CLEANUP(flo_free_cleanup)
    struct flo_digest *nodes = calloc(2 * devices, sizeof(*nodes));
    struct flo_newest_path path;
    size_t most = 0;

    flo_newest_tree(nodes, devices);
    for (size_t i = 0; i < devices; i++) {
        flo_newest_path(nodes, devices, i, &path);
        most = path.count > most ? path.count : most;
    }
    return most;
}

static void a_path_is_as_long_as_the_tree_is_high(void **state)
{
    (void)state;
    assert_int_equal(longest_path(1), 0);
    assert_int_equal(longest_path(2), 1);
    assert_int_equal(longest_path(5), 3);
    assert_int_equal(longest_path(8), 3);
    assert_int_equal(longest_path(10000), 14);
}

/* Two nodes that are hashed as a leaf's text give another hash, so an inner
 * node is no device's document. */
static void an_inner_node_is_no_leaf(void **state)
{
    struct flo_digest nodes[4], leaf;
    char name[sizeof(nodes[2].bytes) + 1] = {0};
    (void)state;

    memset(nodes[2].bytes, 'a', sizeof(nodes[2].bytes));
    memset(nodes[3].bytes, 'b', sizeof(nodes[3].bytes));
    memcpy(name, nodes[2].bytes, sizeof(nodes[2].bytes));
    flo_newest_tree(nodes, 2);
    flo_newest_leaf(name, &nodes[3], &leaf);
    assert_false(flo_digest_equal(&leaf, &nodes[1]));
}

static void a_path_is_written_and_read_back(void **state)
{
    static struct world world;
    struct flo_newest_path path, again;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    (void)state;

    make(&world, 37);
    flo_newest_path(world.nodes, 37, 36, &path);
    flo_newest_path_write(&path, &text);
    assert_int_equal(flo_json_parse(text.data, text.bytes, text.bytes, &json, NULL), 0);
    assert_int_equal(flo_newest_path_read(json, &again, NULL), 0);
    assert_memory_equal(&again, &path, sizeof(path));
}

static int read_path(const char *text)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_newest_path path;

    assert_int_equal(flo_json_parse(text, strlen(text), strlen(text), &json, NULL), 0);
    return flo_newest_path_read(json, &path, NULL);
}

static void a_path_with_half_a_hash_or_too_many_is_refused(void **state)
{
    struct flo_newest_path path = {.count = FLO_NEWEST_PATH_MAX};
    char most[FLO_NEWEST_HASHES_TEXT + 128], hashes[FLO_NEWEST_HASHES_TEXT + 64];
    static const uint8_t raw[(FLO_NEWEST_PATH_MAX + 1) * sizeof(struct flo_digest)];
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    (void)state;

    flo_newest_path_write(&path, &text);
    assert_int_equal(read_path(text.data), 0);
    flo_base64_encode(raw, sizeof(raw), hashes);
    snprintf(most, sizeof(most), "{\"sides\":0,\"hashes\":\"%s\"}", hashes);
    assert_int_equal(read_path(most), FLO_E_META_SCHEMA);
    assert_int_equal(read_path("{\"sides\":0,\"hashes\":\"AAAA\"}"), FLO_E_META_SCHEMA);
    assert_int_equal(read_path("{\"sides\":0,\"hashes\":\"!\"}"), FLO_E_META_SCHEMA);
    assert_int_equal(read_path("{\"sides\":1099511627776,\"hashes\":\"\"}"), FLO_E_META_SCHEMA);
}

static void digest_of(const char *text, struct flo_digest *out)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    assert_int_equal(flo_json_parse(text, strlen(text), strlen(text), &json, NULL), 0);
    flo_newest_desired(json, out);
}

static void the_orders_of_a_document_count_and_nothing_else(void **state)
{
    struct flo_digest a, b;
    (void)state;

    digest_of("{\"rev\":1,\"assignments\":[{\"model\":\"m\",\"bytes\":1,\"order\":{\"p\":1}}],"
              "\"statements\":[{\"p\":2}]}",
              &a);
    digest_of("{\"rev\":2,\"reconnect_ms\":9,\"assignments\":[{\"bytes\":7,\"order\":{\"p\":1}}],"
              "\"statements\":[{\"p\":2}]}",
              &b);
    assert_true(flo_digest_equal(&a, &b));
    digest_of("{\"assignments\":[{\"order\":{\"p\":1}}],\"statements\":[]}", &b);
    assert_false(flo_digest_equal(&a, &b));
    digest_of("{\"groups\":{\"p\":3},\"assignments\":[{\"order\":{\"p\":1}}],"
              "\"statements\":[{\"p\":2}]}",
              &b);
    assert_false(flo_digest_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_is_written_and_read_back),
        cmocka_unit_test(a_number_beyond_2_to_53_or_another_fleet_is_refused),
        cmocka_unit_test(each_device_finds_its_own_document_and_no_other),
        cmocka_unit_test(a_bundle_has_one_root_in_any_order_and_no_tree_has_it),
        cmocka_unit_test(a_path_is_as_long_as_the_tree_is_high),
        cmocka_unit_test(an_inner_node_is_no_leaf),
        cmocka_unit_test(a_path_is_written_and_read_back),
        cmocka_unit_test(a_path_with_half_a_hash_or_too_many_is_refused),
        cmocka_unit_test(the_orders_of_a_document_count_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
