/* Release documents, orders and envelopes: what is read, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/proto.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64
#define HEAD64 "fe23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char release_text[] =
    "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.1.0\","
    "\"number\":3,\"floor\":2,\"future\":[1],"
    "\"base\":{\"release\":\"" DIGEST "\",\"number\":2},"
    "\"files\":[{\"name\":\"onnx/model.gguf\","
    "\"role\":\"model\",\"digest\":\"" DIGEST "\",\"bytes\":1734464,"
    "\"chunks\":{\"bytes\":1048576,\"digest\":\"" DIGEST "\"},"
    "\"get\":[{\"codec\":\"raw\",\"digest\":\"" DIGEST
    "\",\"bytes\":1734464},{\"codec\":\"warp9\",\"x\":1},{\"codec\":"
    "\"bsdiff40\",\"digest\":\"" DIGEST "\",\"bytes\":311795,\"base\":\"" DIGEST
    "\"},{\"codec\":\"tensor1\",\"digest\":\"" DIGEST "\",\"bytes\":9,\"base\":\"" DIGEST
    "\",\"head\":\"sha256:" HEAD64 "\"}]},"
    "{\"name\":\"ops.gguf\",\"role\":\"adapter\",\"digest\":\"" DIGEST
    "\",\"bytes\":9,\"scale_ppm\":500000,\"get\":[{\"codec\":\"raw\","
    "\"digest\":\"" DIGEST "\",\"bytes\":9}]},"
    "{\"name\":\"golden.json\",\"role\":\"golden\",\"digest\":\"" DIGEST
    "\",\"bytes\":7,\"get\":[{\"codec\":\"raw\",\"digest\":\"" DIGEST "\",\"bytes\":7}]}],"
    "\"variants\":[{\"name\":\"q4_0\",\"needs\":{\"arch\":[\"x86_64\"],"
    "\"rate_mtps\":4000,\"bytes_per_token\":1000,\"accelerator\":[\"cuda\"]},"
    "\"files\":[\"onnx/model.gguf\",\"ops.gguf\",\"golden.json\"],"
    "\"entry\":\"onnx/model.gguf\"},"
    "{\"name\":\"tree\",\"needs\":{\"runtime\":\"ort\"},"
    "\"files\":[\"golden.json\"]}],"
    "\"probe\":{\"golden\":[\"golden.json\"],\"speed_ratio_max\":1.5},"
    "\"serve\":{\"context\":2048,\"sessions\":4,\"cache\":\"q8_0\","
    "\"system\":\"Be short.\",\"sampling\":{\"temperature_ppm\":200000}}}";

/* As it was before files had chunk lists of their own. */
static const char first_text[] =
    "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.1.0\","
    "\"number\":3,\"files\":[{\"name\":\"model.gguf\","
    "\"role\":\"model\",\"digest\":\"" DIGEST "\",\"bytes\":1734464,"
    "\"chunk_bytes\":1048576,\"chunks\":[\"" HEX64 "\",\"" HEX64 "\"],"
    "\"get\":[{\"codec\":\"raw\",\"digest\":\"" DIGEST "\",\"bytes\":1734464}]},"
    "{\"name\":\"golden.json\",\"role\":\"golden\",\"digest\":\"" DIGEST
    "\",\"bytes\":7,\"get\":[{\"codec\":\"raw\",\"digest\":\"" DIGEST "\",\"bytes\":7}]}],"
    "\"variants\":[{\"name\":\"q4_0\",\"files\":[\"model.gguf\"]}],"
    "\"probe\":{\"golden\":\"golden.json\"}}";

static const char order_text[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0007\",\"op\":\"deploy\","
    "\"scope\":{\"group\":\"all\",\"salt\":\"r-0001\",\"buckets\":[0,3400]},"
    "\"epoch\":1,\"seq\":7,\"issued_at_ms\":5,\"expires_at_ms\":9,"
    "\"args\":{\"model\":\"tiny\",\"version\":\"2.1.0\",\"rollout\":\"r-0001\","
    "\"release\":\"" DIGEST "\",\"policy\":{\"soak_ms\":2000}}}";

static int parse_release(const char *text, const char *fleet)
{
    struct flo_release *release = NULL;
    int rv = flo_release_new(text, strlen(text), fleet, &release, NULL);

    flo_release_free(release);
    return rv;
}

/* `text` with the first `from` replaced by `to`; the caller frees. */
static char *with(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    size_t bytes = strlen(text) + strlen(to) + 1;
    char *out = malloc(bytes);
    snprintf(out, bytes, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void a_release_document_is_read_whole(void **state)
{
    (void)state;
    struct flo_release *release = NULL;
    struct flo_err err = {0};

    assert_int_equal(flo_release_new(release_text, strlen(release_text), "demo", &release, &err),
                     0);

    assert_string_equal(release->model, "tiny");
    assert_int_equal(release->floor, 2);
    assert_int_equal(release->base_number, 2);
    assert_int_equal(release->files[0].way_count, 3);
    assert_true(flo_digest_is_zero(&release->files[0].ways[1].head));
    assert_int_equal(release->files[0].ways[2].head.bytes[0], 0xfe);
    assert_int_equal(release->files[0].ways[1].codec, FLO_CODEC_BSDIFF40);
    assert_int_equal(flo_release_chunks(&release->files[0]), 2);
    assert_int_equal(release->files[1].scale_ppm, 500000);
    assert_string_equal(release->variants[0].arch[0], "x86_64");
    assert_int_equal(release->variants[0].entry, 0);
    assert_true(flo_release_is_native(&release->variants[0]));
    assert_int_equal(release->variants[1].entry, FLO_RELEASE_NO_FILE);
    assert_string_equal(release->variants[1].runtime, "ort");
    assert_null(flo_release_entry(release, &release->variants[1]));
    assert_int_equal(release->golden_count, 1);
    assert_int_equal(release->golden[0], 2);
    assert_string_equal(release->serve.system, "Be short.");
    assert_int_equal(release->serve.sampling.temperature_ppm, 200000);
    assert_int_equal(release->serve.sampling.top_k, -1);
    flo_release_free(release);
}

static void a_document_of_version_1_is_read_as_one_of_version_2(void **state)
{
    struct flo_release *release = NULL;
    struct flo_release *again = NULL;
    struct flo_buf text = {0};

    (void)state;
    assert_int_equal(flo_release_new(first_text, strlen(first_text), "demo", &release, NULL), 0);
    assert_true(release->is_first);
    assert_int_equal(flo_release_chunks(&release->files[0]), 0);
    assert_int_equal(release->golden_count, 1);
    assert_true(flo_release_is_native(&release->variants[0]));
    assert_ptr_equal(flo_release_entry(release, &release->variants[0]), &release->files[0]);
    assert_int_equal(flo_release_write(release, &text, NULL), 0);
    assert_int_equal(flo_release_new(text.data, text.bytes, "demo", &again, NULL), 0);
    assert_false(again->is_first);
    flo_buf_deinit(&text);
    flo_release_free(release);
    flo_release_free(again);
}

/* So many small files, in `files` and in the variant. */
static int parse_many(size_t count, const char *head, const char *tail)
{
    struct flo_buf text = {0};

    flo_buf_text(&text, "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\","
                        "\"version\":\"1\",\"number\":1,\"files\":[");
    for (size_t i = 0; i < count; i++) {
        flo_buf_printf(&text, "%s{\"name\":\"%s%zu%s", i > 0 ? "," : "", head, i, tail);
        flo_buf_text(&text, "\",\"role\":\"model\",\"digest\":\"" DIGEST
                            "\",\"bytes\":17592186044416,\"get\":[{\"codec\":"
                            "\"raw\",\"digest\":\"" DIGEST "\",\"bytes\":1}]}");
    }
    flo_buf_printf(&text, "],\"variants\":[{\"name\":\"a\",\"files\":[\"%s0%s\"]}]}", head, tail);
    int rv = parse_release(text.data, "demo");
    flo_buf_deinit(&text);
    return rv;
}

/* DV01, DV03, DV05 */
static void sixty_four_files_with_folders_are_the_most(void **state)
{
    static const char *const bad[] = {
        "../../slots/tiny-", "a/b/c/d/e", "a//b", "/a", ".a", "a/..", "a b", "-a"};

    (void)state;
    assert_int_equal(parse_many(64, "a/b/c/file-", ".bin"), 0);
    assert_int_equal(parse_many(65, "a/b/c/file-", ".bin"), FLO_E_META_SCHEMA);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(parse_many(1, bad[i], ""), FLO_E_META_NAME);
    }
    assert_int_equal(parse_many(1, "a", "/"), FLO_E_META_NAME);
    assert_false(flo_release_name_is_valid("con\nfig"));
    assert_true(flo_release_name_is_valid("Model_v1.Q4-0.GGUF"));
}

static void assets_are_the_variants_files_of_that_role_alone(void **state)
{
    static const struct {
        const char *name, *role;
    } rows[] = {{"model.gguf", "model"}, {"z.txt", "asset"},        {"golden.json", "golden"},
                {"a/b.txt", "asset"},    {"config.json", "config"}, {"other.txt", "asset"}};
    struct flo_release *release = calloc(1, sizeof(*release));
    static struct flo_asset_list list;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        strcpy(release->files[i].name, rows[i].name);
        strcpy(release->files[i].role, rows[i].role);
        release->files[i].bytes = i + 1;
        release->files[i].digest.bytes[0] = (uint8_t)i;
        release->variants[0].files[i] = (uint8_t)i;
    }
    release->variants[0].file_count = FLO_COUNT(rows) - 1; /* without other.txt */
    flo_release_assets(release, &release->variants[0], &list);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.files[0].name, "a/b.txt");
    assert_string_equal(list.files[1].name, "z.txt");
    assert_int_equal(flo_asset_find(&list, "z.txt")->bytes, 2);
    assert_int_equal(flo_asset_find(&list, "z.txt")->digest.bytes[0], 1);
    assert_null(flo_asset_find(&list, "other.txt"));
    assert_null(flo_asset_find(&list, "model.gguf"));
    free(release);
}

/* A document with a model, and two more files of these roles in its variant. */
static int parse_roles(const char *first, const char *second, const char *runtime)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const char *const roles[] = {"model", first, second};

    flo_buf_text(&text, "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"1\","
                        "\"number\":1,\"base\":{\"release\":\"" DIGEST "\"},\"files\":[");
    for (size_t i = 0; i < FLO_COUNT(roles); i++) {
        flo_buf_printf(&text,
                       "%s{\"name\":\"f%zu\",\"role\":\"%s\",\"digest\":\"" DIGEST
                       "\",\"bytes\":1,\"get\":[{\"codec\":\"raw\",\"digest\":\"" DIGEST
                       "\",\"bytes\":1}]}",
                       i > 0 ? "," : "", i, roles[i]);
    }
    flo_buf_printf(&text,
                   "],\"variants\":[{\"name\":\"a\",\"files\":[\"f0\",\"f1\",\"f2\"],"
                   "\"needs\":{\"runtime\":\"%s\"}}]}",
                   runtime);
    return parse_release(text.data, "demo");
}

static void a_variant_of_our_engine_has_at_most_one_draft(void **state)
{
    (void)state;
    assert_int_equal(parse_roles("draft", "golden", "native"), 0);
    assert_int_equal(parse_roles("draft", "draft", "native"), FLO_E_META_SCHEMA);
    assert_int_equal(parse_roles("draft", "adapter", "native"), 0);
    assert_int_equal(parse_roles("draft", "golden", "ort"), FLO_E_META_SCHEMA);
}

/* An agent of a version before drafts reads `draft` so. */
static void a_role_that_nobody_knows_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(parse_roles("future", "future", "native"), 0);
    assert_int_equal(parse_roles("future", "golden", "ort"), 0);
}

static void writing_a_release_and_reading_it_gives_the_same(void **state)
{
    (void)state;
    struct flo_release *release = NULL;
    struct flo_buf once = {0};
    struct flo_buf twice = {0};
    assert_int_equal(flo_release_new(release_text, strlen(release_text), NULL, &release, NULL), 0);

    assert_int_equal(flo_release_write(release, &once, NULL), 0);
    flo_release_free(release);
    assert_int_equal(flo_release_new(once.data, once.bytes, NULL, &release, NULL), 0);
    assert_int_equal(flo_release_write(release, &twice, NULL), 0);

    assert_string_equal(once.data, twice.data);
    flo_release_free(release);
    flo_buf_deinit(&once);
    flo_buf_deinit(&twice);
}

static void a_release_with_a_bad_field_is_refused_by_its_id(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        int code;
    } rows[] = {
        {"\"v\":2", "\"v\":3", FLO_E_META_SCHEMA},
        {"\"tiny\"", "\"../../etc/passwd\"", FLO_E_META_NAME},
        {"\"number\":3", "\"number\":\"3\"", FLO_E_META_SCHEMA},
        {"\"number\":3", "\"number\":0", FLO_E_META_SCHEMA},
        {"\"number\":3", "\"number\":9007199254740992", FLO_E_META_SCHEMA},
        {"\"floor\":2", "\"floor\":4", FLO_E_META_SCHEMA}, /* DV09 */
        {"\"head\":\"sha256:fe", "\"head\":\"sha256:f", FLO_E_META_SCHEMA},
        {"\"future\"", "\"crit_licence\"", FLO_E_META_SCHEMA}, /* DV15 */
        {"\"base\":{", "\"other\":{", FLO_E_META_SCHEMA},
        {"\"bytes\":1734464,\"chunk", "\"bytes\":0,\"chunk", FLO_E_META_SCHEMA},
        {"\"bytes\":1734464,\"chunk", "\"bytes\":-5,\"chunk", FLO_E_META_SCHEMA},
        {"\"bytes\":1734464,\"chunk", "\"bytes\":17592186044417,\"chunk", FLO_E_META_SCHEMA},
        {"\"bytes\":1734464,\"chunk", "\"bytes\":17592186044416,\"chunk",
         FLO_E_META_SCHEMA}, /* too many chunks */
        {"\"bytes\":1048576", "\"bytes\":65535", FLO_E_META_SCHEMA},
        {"\"bytes\":1048576", "\"bytes\":8388609", FLO_E_META_SCHEMA},
        {"\"chunks\":{\"bytes\":1048576,\"digest\"", "\"chunks\":{\"bytes\":1048576,\"no\"",
         FLO_E_META_SCHEMA},
        {"sha256:0", "sha256:", FLO_E_META_SCHEMA},
        {"sha256:0123456789a", "sha256:0123456789A", FLO_E_META_SCHEMA},
        {"\"scale_ppm\":500000", "\"scale_ppm\":10000001", FLO_E_META_SCHEMA},
        {"\"files\":[\"onnx/model.gguf\"", "\"files\":[\"other\"", FLO_E_META_SCHEMA},
        {"\"files\":[\"golden.json\"]", "\"files\":[]", FLO_E_META_SCHEMA},
        {"\"files\":[\"golden.json\"]", "\"files\":[\"golden.json\",\"golden.json\"]",
         FLO_E_META_SCHEMA},
        {"\"entry\":\"onnx/model.gguf\"", "\"entry\":\"golden.json\"", FLO_E_META_SCHEMA},
        {"\"role\":\"model\"", "\"role\":\"golden\"", FLO_E_META_SCHEMA},
        {"\"name\":\"ops.gguf\"", "\"name\":\"onnx/model.gguf\"", FLO_E_META_SCHEMA},
        {"\"name\":\"ops.gguf\"", "\"name\":\"onnx\"", FLO_E_META_SCHEMA},
        {"\"name\":\"ops.gguf\"", "\"name\":\"onnx/model.gguf/a\"", FLO_E_META_SCHEMA},
        {"\"role\":\"model\"", "\"role\":\"a/b\"", FLO_E_META_NAME},
        {"\"runtime\":\"ort\"", "\"runtime\":\"a2345678901234567890123456789012\"",
         FLO_E_META_SCHEMA},
        {"[\"cuda\"]", "[\"a\",\"b\",\"c\",\"d\",\"e\"]", FLO_E_META_SCHEMA},
        {"\"golden\":[\"golden.json\"]", "\"golden\":[\"none\"]", FLO_E_META_SCHEMA},
        {"\"cache\":\"q8_0\"", "\"cache\":\"q9_9\"", FLO_E_META_SCHEMA},
        {"\"sessions\":4", "\"sessions\":65", FLO_E_META_SCHEMA},
        {"\"temperature_ppm\":200000", "\"temperature_ppm\":-1", FLO_E_META_SCHEMA},
        {"311795,\"base\":\"" DIGEST "\"}", "311795}", FLO_E_META_SCHEMA},
        {"\"variants\":[", "\"variants\":[],\"w\":[", FLO_E_META_SCHEMA},
        {"\"future\":[1]", "\"future\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
         FLO_E_META_JSON_DEPTH},
        {"\"future\":[1]", "\"future\":1,\"future\":1", FLO_E_META_JSON},
        {"\"temperature_ppm\":200000}}}", "\"temperature_ppm\":200000}}}x", FLO_E_META_JSON},
    };
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char *text = with(release_text, rows[i].from, rows[i].to);
        int rv = parse_release(text, "demo");
        if (rv != rows[i].code) {
            fail_msg("row %zu: %s instead of %s", i, flo_error_id(rv), flo_error_id(rows[i].code));
        }
        free(text);
    }
    assert_int_equal(parse_release(release_text, "acme"), FLO_E_META_FLEET);
}

static void an_order_is_written_and_read_back(void **state)
{
    (void)state;
    struct flo_order order;
    struct flo_order again;
    struct flo_buf text = {0};
    assert_int_equal(flo_order_parse(order_text, strlen(order_text), "demo", &order, NULL), 0);

    assert_int_equal(flo_order_write(&order, &text, NULL), 0);
    assert_int_equal(flo_order_parse(text.data, text.bytes, "demo", &again, NULL), 0);

    assert_int_equal(again.policy.soak_ms, 2000);
    assert_int_equal(again.policy.tries, 3);
    assert_int_equal(again.scope.bucket_to, 3400);
    assert_memory_equal(&order, &again, sizeof(order));
    flo_buf_deinit(&text);
}

static const char remove_text[] = "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-1\",\"op\":\"remove\","
                                  "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":1,"
                                  "\"issued_at_ms\":1,\"expires_at_ms\":2,"
                                  "\"args\":{\"model\":\"old\",\"keep\":\"blobs\"}}";

static void an_order_to_remove_names_its_model_and_what_stays(void **state)
{
    static const struct {
        const char *from, *to;
        int code;
    } rows[] = {{"blobs", "none", 0},
                {",\"keep\":\"blobs\"", "", 0},
                {"blobs", "all", FLO_E_CMD_FORMAT},
                {"\"model\":\"old\",", "", FLO_E_CMD_FORMAT}};
    struct flo_order order;
    struct flo_order again;
    struct flo_buf text = {0};

    (void)state;
    assert_int_equal(flo_order_parse(remove_text, strlen(remove_text), "demo", &order, NULL), 0);
    assert_true(order.keeps_blobs);
    assert_int_equal(flo_order_write(&order, &text, NULL), 0);
    assert_int_equal(flo_order_parse(text.data, text.bytes, "demo", &again, NULL), 0);
    assert_memory_equal(&order, &again, sizeof(order));
    flo_buf_deinit(&text);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char *changed = with(remove_text, rows[i].from, rows[i].to);
        assert_int_equal(flo_order_parse(changed, strlen(changed), "demo", &again, NULL),
                         rows[i].code);
        assert_true(rows[i].code != 0 || !again.keeps_blobs);
        free(changed);
    }
}

/* ---- every member of an order ---- */

#define HEAD(op)                                                                                   \
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0007\",\"by\":\"ann\",\"op\":\"" op                    \
    "\",\"epoch\":1,\"seq\":7,\"issued_at_ms\":5,\"expires_at_ms\":9,"
#define GROUP "\"scope\":{\"group\":\"all\",\"salt\":\"r-0001\",\"buckets\":[0,3400]},"
#define ONE "\"scope\":{\"device\":\"0a0a0a0a-0000-4000-8000-00000000000a\"},"
#define FROM "\"from\":[\"" DIGEST "\"],\"from_numbers\":[3]"

static const char *const whole_orders[] = {
    HEAD("deploy") GROUP "\"args\":{\"model\":\"tiny\",\"version\":\"2.1.0\",\"rollout\":\"r-1\","
                         "\"release\":\"" DIGEST "\",\"number\":3,\"lift\":4,\"below_floor\":true,"
                         "\"phase\":2,\"policy\":{\"soak_ms\":2000}}}",
    HEAD("rollback") GROUP "\"args\":{\"model\":\"tiny\",\"rollout\":\"r-1\"," FROM
                           ",\"to\":\"previous\",\"reason\":\"it fell\"}}",
    HEAD("rollback") ONE "\"args\":{\"model\":\"tiny\"," FROM ",\"to\":\"" DIGEST "\"}}",
    HEAD("allow") GROUP "\"args\":{\"model\":\"tiny\"," FROM "}}",
    HEAD("remove") GROUP "\"args\":{\"model\":\"tiny\",\"keep\":\"blobs\"}}",
    HEAD("groups") ONE "\"args\":{\"groups\":[\"lab\",\"north\"]}}",
    HEAD("benchmark") ONE "\"args\":{\"model\":\"tiny\",\"release\":\"" DIGEST "\"}}",
    HEAD("pause") GROUP "\"args\":{\"rollout\":\"r-1\"}}",
};

static int parse_json(const json_t *json)
{
    static struct flo_order order; /* large */
    char *text = json_dumps(json, JSON_COMPACT);
    int rv = flo_order_parse(text, strlen(text), "demo", &order, NULL);

    free(text);
    return rv;
}

/* Members that an order may lack.  `about` is the name of the object around them. */
static bool may_lack(const char *op, const char *about, const char *key)
{
    static const char *const words[] = {"by",         "policy",           "policy/soak_ms",
                                        "scope/salt", "args/number",      "args/lift",
                                        "args/phase", "args/below_floor", "args/reason",
                                        "args/keep",  "args/from_numbers"};
    char path[80];

    snprintf(path, sizeof(path), "%s%s%s", about, about[0] != '\0' ? "/" : "", key);
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (strcmp(path, words[i]) == 0) {
            return true;
        }
    }
    return strcmp(path, "args/policy") == 0 ||
           (strcmp(op, "rollback") == 0 && strcmp(path, "args/rollout") == 0) ||
           (strcmp(op, "benchmark") == 0 &&
            (strcmp(about, "args") == 0 || strcmp(path, "args") == 0));
}

/* Puts a value of no use in the place of each member and item below, and takes each
 * member away. */
static void try_members(json_t *root, json_t *part, const char *about)
{
    char op[16];
    const char *key;
    json_t *value;
    size_t i;

    snprintf(op, sizeof(op), "%s", json_string_value(json_object_get(root, "op")));
    json_array_foreach(part, i, value)
    {
        json_t *kept = json_incref(value);
        json_array_set_new(part, i, json_true());
        if (parse_json(root) == 0) {
            fail_msg("%s: an item of %s is passed over", op, about);
        }
        json_array_set_new(part, i, kept);
    }
    char names[24][32];
    size_t count = 0;
    json_object_foreach(part, key, value)
    {
        assert_true(count < FLO_COUNT(names));
        snprintf(names[count++], sizeof(names[0]), "%s", key);
    }
    for (i = 0; i < count; i++) {
        json_t *kept = json_incref(json_object_get(part, names[i]));
        if (json_is_object(kept) || json_is_array(kept)) {
            try_members(root, kept, names[i]);
        }
        json_object_set_new(part, names[i], json_is_boolean(kept) ? json_integer(7) : json_true());
        if (parse_json(root) == 0) {
            fail_msg("%s: %s/%s is passed over", op, about, names[i]);
        }
        json_object_del(part, names[i]);
        if ((parse_json(root) == 0) != may_lack(op, about, names[i])) {
            fail_msg("%s: without %s/%s", op, about, names[i]);
        }
        json_object_set_new(part, names[i], kept);
    }
}

static void every_member_of_an_order_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(whole_orders); i++) {
        json_t *root = json_loads(whole_orders[i], 0, NULL);
        assert_non_null(root);
        if (parse_json(root) != 0) {
            fail_msg("%s", whole_orders[i]);
        }
        try_members(root, root, "");
        json_decref(root);
    }
}

static void numbers_of_an_order_have_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool is_good;
    } rows[] = {
        {"\"number\":3", "\"number\":9007199254740991", true},
        {"\"number\":3", "\"number\":9007199254740992", false},
        {"\"number\":3", "\"number\":3.5", false},
        {"\"phase\":2", "\"phase\":1001", false},
        {"[0,3400]", "[0,1000000000]", true},
        {"[0,3400]", "[7,7]", true},
        {"\"expires_at_ms\":9", "\"expires_at_ms\":5", true},
        {"\"expires_at_ms\":9", "\"expires_at_ms\":34560000005", true},
        {"\"policy\":{\"soak_ms\":2000}", "\"policy\":[]", false},
    };
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char *text = with(whole_orders[0], rows[i].from, rows[i].to);
        static struct flo_order order; /* large */
        if ((flo_order_parse(text, strlen(text), "demo", &order, NULL) == 0) != rows[i].is_good) {
            fail_msg("row %zu: %s", i, rows[i].to);
        }
        free(text);
    }
    char *text = with(whole_orders[3], "[3]", "[9007199254740992]");
    json_t *root = json_loads(text, 0, NULL);
    assert_true(parse_json(root) < 0);
    json_decref(root);
    free(text);
    text = with(whole_orders[3], "[3]", "[3,4]");
    root = json_loads(text, 0, NULL);
    assert_true(parse_json(root) < 0);
    json_decref(root);
    free(text);
}

static void an_order_with_a_bad_field_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        int code;
    } rows[] = {
        {"\"op\":\"deploy\"", "\"op\":\"explode\"", FLO_E_CMD_FORMAT},
        {"[0,3400]", "[3400,0]", FLO_E_CMD_FORMAT},
        {"[0,3400]", "[0,1000000001]", FLO_E_CMD_FORMAT},
        {"[0,3400]", "[-1,5]", FLO_E_CMD_FORMAT},
        {"[0,3400]", "[0]", FLO_E_CMD_FORMAT},
        {"\"seq\":7", "\"seq\":0", FLO_E_CMD_FORMAT},
        {"\"expires_at_ms\":9", "\"expires_at_ms\":4", FLO_E_CMD_FORMAT},
        {"\"expires_at_ms\":9", "\"expires_at_ms\":34560000006", FLO_E_CMD_FORMAT},
        {"\"soak_ms\":2000", "\"soak_ms\":-1", FLO_E_CMD_FORMAT},
        {"\"soak_ms\":2000", "\"tries\":0", FLO_E_CMD_FORMAT},
        {"\"release\":\"sha", "\"release\":\"md", FLO_E_CMD_FORMAT},
        {"\"demo\"", "\"acme\"", FLO_E_META_FLEET},
    };
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char *text = with(order_text, rows[i].from, rows[i].to);
        struct flo_order order;
        int rv = flo_order_parse(text, strlen(text), "demo", &order, NULL);
        if (rv != rows[i].code) {
            fail_msg("row %zu: %s", i, flo_error_id(rv));
        }
        free(text);
    }
}

static int parse_config(uint64_t heartbeat_ms)
{
    struct flo_order order;
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-1\",\"op\":\"config\","
             "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":1,"
             "\"issued_at_ms\":1,\"expires_at_ms\":2,\"by\":\"ops\","
             "\"args\":{\"heartbeat_ms\":%llu}}",
             (unsigned long long)heartbeat_ms);
    return flo_order_parse(text, strlen(text), "demo", &order, NULL);
}

static void a_report_interval_is_one_that_devices_take(void **state)
{
    (void)state;
    assert_int_equal(parse_config(FLO_HEARTBEAT_MS_MIN - 1), FLO_E_CMD_FORMAT);
    assert_int_equal(parse_config(FLO_HEARTBEAT_MS_MIN), 0);
    assert_int_equal(parse_config(FLO_HEARTBEAT_MS_MAX), 0);
    assert_int_equal(parse_config(FLO_HEARTBEAT_MS_MAX + 1), FLO_E_CMD_FORMAT);
}

/* So that a device can answer what it does not understand. */
static void an_order_of_a_later_version_says_for_whom_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool has_head;
    } rows[] = {
        {"\"op\":\"deploy\"", "\"op\":\"later\"", true},
        {"\"soak_ms\":2000", "\"tries\":1000", true},
        {"[0,3400]", "[0,1000000001]", false},
        {"\"seq\":7", "\"seq\":0", false},
    };
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char *text = with(order_text, rows[i].from, rows[i].to);
        struct flo_order order = {.id = "o-before"};

        assert_int_equal(flo_order_parse(text, strlen(text), "demo", &order, NULL),
                         FLO_E_CMD_FORMAT);
        assert_string_equal(order.id, rows[i].has_head ? "o-0007" : "");
        if (rows[i].has_head) {
            assert_int_equal(order.seq, 7);
            assert_int_equal(order.scope.bucket_to, 3400);
        }
        free(text);
    }
}

static void an_envelope_is_taken_apart_and_written_the_same(void **state)
{
    (void)state;
    struct flo_envelope envelope = {.body_bytes = 2, .signature_count = 1};
    struct flo_envelope again = {0};
    struct flo_buf text = {0};
    char body[] = "{}";
    envelope.body = body;
    strcpy(envelope.type, FLO_TYPE_ORDER);
    strcpy(envelope.signatures[0].keyid, HEX64);
    memset(envelope.signatures[0].signature, 7, 64);

    flo_envelope_write(&envelope, &text);
    assert_int_equal(flo_envelope_parse(text.data, text.bytes, FLO_TYPE_ORDER, &again, NULL), 0);

    assert_string_equal(again.body, "{}");
    assert_memory_equal(again.signatures, envelope.signatures, sizeof(again.signatures[0]));
    flo_envelope_deinit(&again);
    assert_int_equal(flo_envelope_parse(text.data, text.bytes, FLO_TYPE_RELEASE, &again, NULL),
                     FLO_E_META_WRONG_TYPE);
    flo_buf_deinit(&text);
}

static void an_envelope_without_or_with_odd_signatures_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *signatures;
        int code;
    } rows[] = {
        {"[]", FLO_E_SIG_MISSING},
        {"{}", FLO_E_META_SCHEMA},
        {"[{\"keyid\":\"ab\",\"sig\":\"\"}]", FLO_E_SIG_FORMAT},
        {"[{\"keyid\":\"" HEX64 "\",\"sig\":\"AAAA\"}]", FLO_E_SIG_FORMAT},
        {"[{\"keyid\":\"" HEX64 "\",\"sig\":\"" HEX64 HEX64 "\"}]", FLO_E_SIG_FORMAT},
        {"[{\"keyid\":\"" HEX64 "\"}]", FLO_E_META_SCHEMA},
    };
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char text[1024];
        struct flo_envelope envelope = {0};
        snprintf(text, sizeof(text),
                 "{\"payloadType\":\"" FLO_TYPE_ORDER "\",\"payload\":\"e30=\",\"signatures\":%s}",
                 rows[i].signatures);
        int rv = flo_envelope_parse(text, strlen(text), FLO_TYPE_ORDER, &envelope, NULL);
        if (rv != rows[i].code) {
            fail_msg("row %zu: %s", i, flo_error_id(rv));
        }
    }
}

static void the_signed_bytes_are_those_of_dsse(void **state)
{
    (void)state;
    struct flo_buf out = {0};
    /* The example of the DSSE protocol document. */
    flo_envelope_signed_bytes("http://example.com/HelloWorld", "hello world", 11, &out);
    assert_string_equal(out.data, "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    flo_buf_deinit(&out);
}

/* The document with so many bytes: a member that nobody knows fills it. */
static char *filled(const char *text, size_t bytes)
{
    static const char head[] = "{\"padding\":\"";
    char *out = malloc(bytes + 1);
    size_t rest = strlen(text) - 1; /* behind its brace */

    assert_non_null(out);
    assert_true(bytes > sizeof(head) + rest + 2);
    memset(out, 'x', bytes);
    memcpy(out, head, sizeof(head) - 1);
    memcpy(out + bytes - rest - 2, "\",", 2);
    memcpy(out + bytes - rest, text + 1, rest + 1);
    return out;
}

static int parse_filled(bool is_order, size_t bytes)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = filled(is_order ? order_text : release_text, bytes);
    struct flo_release *release = NULL;
    static struct flo_order order; /* large */
    int rv = is_order ? flo_order_parse(text, bytes, "demo", &order, NULL)
                      : flo_release_new(text, bytes, "demo", &release, NULL);

    flo_release_free(release);
    return rv;
}

static void a_document_has_at_most_the_size_of_its_kind(void **state)
{
    (void)state;
    assert_int_equal(parse_filled(true, FLO_ORDER_BYTES_MAX), 0);
    assert_int_equal(parse_filled(true, FLO_ORDER_BYTES_MAX + 1), FLO_E_META_TOO_LARGE);
    assert_int_equal(parse_filled(false, FLO_RELEASE_BYTES_MAX), 0);
    assert_int_equal(parse_filled(false, FLO_RELEASE_BYTES_MAX + 1), FLO_E_META_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_has_at_most_the_size_of_its_kind),
        cmocka_unit_test(a_release_document_is_read_whole),
        cmocka_unit_test(a_document_of_version_1_is_read_as_one_of_version_2),
        cmocka_unit_test(sixty_four_files_with_folders_are_the_most),
        cmocka_unit_test(assets_are_the_variants_files_of_that_role_alone),
        cmocka_unit_test(a_variant_of_our_engine_has_at_most_one_draft),
        cmocka_unit_test(a_role_that_nobody_knows_is_passed_over),
        cmocka_unit_test(writing_a_release_and_reading_it_gives_the_same),
        cmocka_unit_test(a_release_with_a_bad_field_is_refused_by_its_id),
        cmocka_unit_test(an_order_is_written_and_read_back),
        cmocka_unit_test(an_order_to_remove_names_its_model_and_what_stays),
        cmocka_unit_test(every_member_of_an_order_is_read_or_refused),
        cmocka_unit_test(numbers_of_an_order_have_bounds),
        cmocka_unit_test(an_order_with_a_bad_field_is_refused),
        cmocka_unit_test(a_report_interval_is_one_that_devices_take),
        cmocka_unit_test(an_order_of_a_later_version_says_for_whom_it_is),
        cmocka_unit_test(an_envelope_is_taken_apart_and_written_the_same),
        cmocka_unit_test(an_envelope_without_or_with_odd_signatures_is_refused),
        cmocka_unit_test(the_signed_bytes_are_those_of_dsse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
