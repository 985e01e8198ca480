#include "engine/publish/import/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

/* Overwrites NaN with {}, and Infinity and -Infinity with null, outside of
 * strings.  JSON has no such numbers, and trainers write them. */
static void replace_odd_numbers(char *text, size_t bytes)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    bool is_string = false;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\\' && is_string) {
            i++;
            continue;
        }
        is_string = text[i] == '"' ? !is_string : is_string;
        for (size_t w = 0; !is_string && w < FLO_COUNT(words); w++) {
            size_t length = strlen(words[w]);
            if (bytes - i >= length && memcmp(text + i, words[w], length) == 0) {
                memset(text + i, ' ', length);
                memcpy(text + i, length < 4 ? "{}" : "null", length < 4 ? 2 : 4);
            }
        }
    }
}

int flo_folder_fail(struct flo_err *err, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    return flo_fail(err, FLO_E_MODEL_FOLDER, "%s", text);
}

int flo_folder_unknown(struct flo_err *err, const char *name, bool has_code)
{
    char shown[80];
    flo_text_clean(name, strlen(name), shown, sizeof(shown));
    return flo_fail(err, FLO_E_MODEL_ARCH, "architecture \"%s\" is not known%s", shown,
                    has_code ? ", and the folder's own code (auto_map) is never run" : "");
}

int flo_folder_tree(char *text, size_t bytes, uint32_t values_max, struct flo_tree *tree,
                    struct flo_err *err)
{
    size_t bad = 0;
    text[bytes] = '\0';
    replace_odd_numbers(text, bytes);
    int rv = flo_tree_read(tree, text, bytes, values_max, 0, &bad, err);
    if (rv == FLO_E_INFER_PARAM) {
        return flo_folder_fail(err, "no JSON at byte %zu, or more than %u values", bad, values_max);
    }
    return rv;
}

int flo_config_read(char *text, size_t bytes, struct flo_config *out, struct flo_err *err)
{
    static const char *const inner[] = {"text_config", "llm_config", "language_config",
                                        "lm_config"};
    struct flo_config config = {0};
    FLO_TRY(flo_folder_tree(text, bytes, FLO_CONFIG_VALUES_MAX, &config.tree, err));
    config.root = config.tree.nodes;
    if (config.root->kind != FLO_TREE_OBJECT) {
        flo_config_deinit(&config);
        return flo_folder_fail(err, "config.json is no object");
    }
    for (size_t i = 0; i < FLO_COUNT(inner) && config.inner == NULL; i++) {
        const struct flo_tree_node *node = flo_tree_member(config.root, inner[i]);
        config.inner = node != NULL && node->kind == FLO_TREE_OBJECT ? node : NULL;
    }
    int rv = flo_config_defaults(&config, err);
    *out = config;
    return rv;
}

void flo_config_deinit(struct flo_config *config)
{
    flo_tree_deinit(&config->tree);
    flo_tree_deinit(&config->classes);
    free(config->classes_text);
    *config = (struct flo_config){0};
}

/* ---- look-ups ---- */

static const struct flo_tree_node *present(const struct flo_tree_node *node)
{
    return node != NULL && node->kind != FLO_TREE_NULL ? node : NULL;
}

const struct flo_tree_node *flo_config_find(const struct flo_config *config, const char *names)
{
    const struct flo_tree_node *otherwise = NULL;
    while (*names != '\0') {
        char name[64];
        size_t length = strcspn(names, " ");
        snprintf(name, sizeof(name), "%.*s", (int)length, names);
        const struct flo_tree_node *node = present(flo_tree_member(config->inner, name));
        node = node != NULL ? node : present(flo_tree_member(config->root, name));
        if (node != NULL) {
            return node;
        }
        if (otherwise == NULL) {
            otherwise = present(flo_tree_member(config->defaults, name));
        }
        names += length;
        names += strspn(names, " ");
    }
    return otherwise;
}

bool flo_config_is_null(const struct flo_config *config, const char *name)
{
    const struct flo_tree_node *node = flo_tree_member(config->inner, name);
    node = node != NULL ? node : flo_tree_member(config->root, name);
    return node != NULL && node->kind == FLO_TREE_NULL;
}

int flo_config_u32(const struct flo_config *config, const char *names, uint32_t most, uint32_t *out,
                   struct flo_err *err)
{
    const struct flo_tree_node *node = flo_config_find(config, names);
    int64_t value;
    if (node == NULL) {
        return 0;
    }
    if (!flo_tree_whole(node, 0, most, &value)) {
        return flo_folder_fail(err, "config.json: \"%s\" is no whole number of at most %u",
                               node->key, most);
    }
    *out = (uint32_t)value;
    return 0;
}

double flo_config_number(const struct flo_config *config, const char *names, double absent)
{
    double value;
    return flo_tree_number(flo_config_find(config, names), &value) ? value : absent;
}

uint32_t flo_config_whole(double number)
{
    return !(number >= 0) ? 0 : number >= UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

bool flo_config_is(const struct flo_config *config, const char *names)
{
    return flo_tree_says(flo_config_find(config, names), true);
}

const struct flo_tree_node *flo_config_item(const struct flo_tree_node *list, uint32_t index)
{
    const struct flo_tree_node *item =
        list != NULL && list->kind == FLO_TREE_ARRAY ? list->first : NULL;
    while (item != NULL && index > 0) {
        item = item->next;
        index--;
    }
    return item;
}

/* ---- rotation ---- */

const struct flo_tree_node *flo_config_rope(const struct flo_config *config, bool is_windowed)
{
    const struct flo_tree_node *rope = flo_config_find(config, "rope_parameters rope_scaling");
    const struct flo_tree_node *full = present(flo_tree_member(rope, "full_attention"));
    const struct flo_tree_node *windowed = present(flo_tree_member(rope, "sliding_attention"));
    if (full == NULL && windowed == NULL) {
        return is_windowed ? NULL : rope;
    }
    return is_windowed ? windowed : full;
}

double flo_config_rope_number(const struct flo_config *config, bool is_windowed, const char *name,
                              double absent)
{
    double value;
    const struct flo_tree_node *rope = flo_config_rope(config, is_windowed);
    return flo_tree_number(flo_tree_member(rope, name), &value) ? value : absent;
}

double flo_config_rope_base(const struct flo_config *config, bool is_windowed)
{
    static const char full[] = "global_rope_theta rope_global_theta rope_theta_global rope_theta "
                               "rotary_emb_base theta";
    static const char windowed[] = "local_rope_theta rope_local_theta rope_theta_local "
                                   "swa_rope_theta rope_local_base_freq";
    double base = flo_config_number(config, is_windowed ? windowed : full, 0);
    return flo_config_rope_number(config, is_windowed, "rope_theta", base);
}

const char *flo_config_rope_kind(const struct flo_config *config)
{
    const struct flo_tree_node *rope = flo_config_rope(config, false);
    const struct flo_tree_node *kind = flo_tree_member(rope, "rope_type");
    kind = kind != NULL ? kind : flo_tree_member(rope, "type");
    return kind != NULL && kind->kind == FLO_TREE_STRING ? kind->text : "";
}
