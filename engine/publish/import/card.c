#include "engine/publish/import/card.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CARD_BYTES_MAX (4u << 20)
#define VALUE_BYTES_MAX 256

/* ---- sampling ---- */

static const struct {
    const char *theirs, *ours;
    bool is_whole;
} samplings[] = {
    {"top_k", "top_k", true},
    {"top_p", "top_p", false},
    {"min_p", "min_p", false},
    {"temperature", "temp", false},
    {"repetition_penalty", "penalty_repeat", false},
};

static int set_sampling(struct flo_import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, "generation_config.json", CARD_BYTES_MAX, &text,
                            &bytes, err));
    if (text == NULL || flo_folder_tree(text, bytes, FLO_CONFIG_VALUES_MAX, &tree, NULL) < 0) {
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(samplings); i++) {
        char key[64];
        double value;
        if (!flo_tree_number(flo_tree_member(tree.nodes, samplings[i].theirs), &value) ||
            !isfinite(value) || fabs(value) > 1e6) {
            continue;
        }
        snprintf(key, sizeof(key), "general.sampling.%s", samplings[i].ours);
        if (samplings[i].is_whole) {
            flo_keys_i32(&import->keys, key, (int32_t)value);
        } else {
            flo_keys_f32(&import->keys, key, value);
        }
    }
    return 0;
}

/* ---- README.md ---- */

/* Copies a plain value without quotes and blanks around it.  Returns false for
 * none. */
static bool plain_value(const char *text, size_t bytes, char *out)
{
    while (bytes > 0 && strchr(" \t\"'-", *text) != NULL) {
        text++;
        bytes--;
    }
    while (bytes > 0 && strchr(" \t\r\"'", text[bytes - 1]) != NULL) {
        bytes--;
    }
    if (bytes == 0 || bytes >= VALUE_BYTES_MAX || strchr("[{|>&*", *text) != NULL) {
        return false;
    }
    flo_text_clean(text, bytes, out, VALUE_BYTES_MAX);
    return true;
}

/* Sets the keys of one base model, named OWNER/NAME. */
static void set_base(struct flo_keys *keys, uint32_t index, char *id)
{
    char key[64], url[VALUE_BYTES_MAX + 32];
    char *slash = strchr(id, '/');
    if (slash == NULL || strchr(slash + 1, '/') != NULL) {
        return;
    }
    snprintf(url, sizeof(url), "https://huggingface.co/%s", id);
    *slash = '\0';
    snprintf(key, sizeof(key), "general.base_model.%u.name", index);
    flo_keys_text(keys, key, slash + 1);
    snprintf(key, sizeof(key), "general.base_model.%u.organization", index);
    flo_keys_text(keys, key, id);
    snprintf(key, sizeof(key), "general.base_model.%u.repo_url", index);
    flo_keys_text(keys, key, url);
    flo_keys_u32(keys, "general.base_model.count", index + 1);
}

void flo_card_read(struct flo_keys *keys, const char *text)
{
    static const char *const names[][2] = {{"license:", "general.license"},
                                           {"license_name:", "general.license.name"},
                                           {"license_link:", "general.license.link"}};
    bool is_base = false; /* the lines belong to base_model */
    uint32_t bases = 0;
    if (strncmp(text, "---", 3) != 0) {
        return;
    }
    text = strchr(text, '\n');
    while (text != NULL && strncmp(++text, "---", 3) != 0) {
        size_t bytes = strcspn(text, "\n");
        char value[VALUE_BYTES_MAX];
        for (size_t i = 0; i < FLO_COUNT(names); i++) {
            size_t front = strlen(names[i][0]);
            if (strncmp(text, names[i][0], front) == 0 &&
                plain_value(text + front, bytes - front, value)) {
                flo_keys_text(keys, names[i][1], value);
            }
        }
        is_base = strncmp(text, "base_model:", 11) == 0 ||
                  (is_base && (text[0] == '-' || text[0] == ' '));
        size_t front = strncmp(text, "base_model:", 11) == 0 ? 11 : 0;
        if (is_base && bases < 8 && plain_value(text + front, bytes - front, value)) {
            set_base(keys, bases++, value);
        }
        text = strchr(text, '\n');
    }
}

/* ---- the size's name ---- */

/* Writes a number of weights as people say it: 162K, 1.7B. */
static void print_count(double count, char *out, size_t bytes)
{
    static const struct {
        double above, unit;
        char letter;
    } units[] = {{1e12, 1e12, 'T'}, {1e9, 1e9, 'B'}, {1e6, 1e6, 'M'}, {-1, 1e3, 'K'}};
    size_t i = 0;
    while (count <= units[i].above) {
        i++;
    }
    double scaled = count / units[i].unit;
    snprintf(out, bytes, "%.*f%c",
             rint(scaled) == 0   ? 2
             : rint(scaled) < 10 ? 1
                                 : 0,
             scaled, units[i].letter);
}

void flo_card_size(struct flo_import *import)
{
    double experts = 0, shared = 0;
    uint64_t sum = 0, stacks = 0;
    char text[32], label[48];
    for (size_t i = 0; i < import->output_count; i++) {
        const struct flo_gguf_tensor *head = &import->outputs[i].head;
        bool is_bias = strstr(head->name, ".bias") != NULL;
        uint64_t count = head->dims[is_bias ? 1 : 2];
        bool is_stack = strstr(head->name, "_exps.") != NULL && head->dim_count >= 3;
        uint64_t of_one = is_stack && count > 0 ? head->values / count : 0;
        experts += (double)of_one;
        shared += is_stack ? 0 : (double)head->values;
        sum += is_stack ? count : 0;
        stacks += is_stack ? 1 : 0;
    }
    print_count(experts + shared, text, sizeof(text));
    snprintf(label, sizeof(label), "%s%s", "", text);
    if (stacks > 0 && sum / stacks > 0) {
        snprintf(label, sizeof(label), "%llux%s", (unsigned long long)(sum / stacks), text);
    }
    flo_keys_text(&import->keys, "general.size_label", label);
}

int flo_card_set(struct flo_import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;
    FLO_TRY(set_sampling(import, err));
    FLO_TRY(flo_folder_read(&import->folder, "README.md", CARD_BYTES_MAX, &text, &bytes, err));
    if (text != NULL) {
        flo_card_read(&import->keys, text);
    }
    return 0;
}
