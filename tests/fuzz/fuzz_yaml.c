/* YAML and the configuration table over it: an error or a tree whose every
 * node has a line. */
#include <stdlib.h>
#include <string.h>

#include "base/host/config.h"
#include "base/host/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct flo_config_row rows[] = {
    {.key = "a.t", .type = FLO_CONFIG_TEXT, .max = 10},
    {.key = "a.d", .type = FLO_CONFIG_DURATION, .min = 1, .max = 5000},
    {.key = "a.s", .type = FLO_CONFIG_SIZE},
    {.key = "n", .type = FLO_CONFIG_U64, .min = 1, .max = 9, .standard = "4"},
    {.key = "b", .type = FLO_CONFIG_BOOL, .standard = "true"},
    {.key = "l", .type = FLO_CONFIG_TEXTS, .max = 3},
    {.key = "m", .type = FLO_CONFIG_MAP, .max = 3},
    {.key = "x", .type = FLO_CONFIG_LIST},
};

/* The written text reads back as the same tree. */
static void check_round_trip(const json_t *root)
{
    struct flo_buf text = {0};
    struct flo_yaml *again = NULL;
    struct flo_err err = {0};

    flo_yaml_dump(root, &text);
    if (text.failed) {
        abort();
    }
    int rv = flo_yaml_parse(text.data, text.bytes, "again", &again, &err);
    if (rv < 0 ? rv != FLO_E_META_TOO_LARGE : !json_equal(root, flo_yaml_root(again))) {
        abort();
    }
    flo_yaml_free(again);
    flo_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    struct flo_config *config = NULL;
    struct flo_yaml *yaml = NULL;
    struct flo_err err = {0};
    struct flo_buf out = {0};

    if (flo_yaml_parse(text, bytes, "f", &yaml, &err) == 0) {
        const char *key;
        json_t *child;
        if (flo_yaml_line(yaml, "") == 0) {
            abort();
        }
        json_object_foreach(flo_yaml_root(yaml), key, child)
        {
            if (strpbrk(key, ".[") == NULL && flo_yaml_line(yaml, key) == 0) {
                abort();
            }
        }
        flo_json_dump(flo_yaml_root(yaml), &out);
        if (out.failed) {
            abort();
        }
        flo_buf_deinit(&out);
        check_round_trip(flo_yaml_root(yaml));
    }
    flo_yaml_free(yaml);
    if (flo_config_parse(text, bytes, "f", rows, FLO_COUNT(rows), &config, &err) == 0) {
        uint64_t n = flo_config_u64(config, "n");
        if (n < 1 || n > 9) {
            abort();
        }
    }
    flo_config_free(config);
    return 0;
}
