/* Templates: the chat templates that a folder names, as one.  With tools the
 * trainer's library takes the template "tool_use", and it knows more tokens by
 * name than the engine; both become part of the one template. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define TEMPLATE_BYTES_MAX (1u << 20)
/* No text, and so no newline or blanks next to a tag, which tags swallow. */
#define NOTHING "{{ '' }}"

/* Returns the template "tool_use" of a list of named ones, or NULL. */
static const char *listed(const struct flo_tree_node *settings)
{
    const struct flo_tree_node *list = flo_tree_member(settings, "chat_template");
    const struct flo_tree_node *node =
        list != NULL && list->kind == FLO_TREE_ARRAY ? list->first : NULL;
    while (node != NULL && !flo_tree_is(flo_tree_member(node, "name"), "tool_use")) {
        node = node->next;
    }
    node = flo_tree_member(node, "template");
    return node != NULL && node->kind == FLO_TREE_STRING ? node->text : NULL;
}

/* Appends a template without its last newline, as if it stood alone. */
static void add_template(struct flo_buf *out, const char *text)
{
    size_t bytes = strlen(text);
    flo_buf_text(out, NOTHING);
    flo_buf_add(out, text, bytes > 0 && text[bytes - 1] == '\n' ? bytes - 1 : bytes);
    flo_buf_text(out, NOTHING);
}

static void add_both(struct flo_buf *out, const char *plain, const char *with_tools)
{
    flo_buf_text(out, "{% if tools is defined and tools is not none %}");
    add_template(out, with_tools);
    flo_buf_text(out, "{% else %}");
    add_template(out, plain);
    flo_buf_text(out, "{% endif %}");
}

static bool is_word(const char *key)
{
    return key[strspn(key, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

/* Defines each token that a template names, and the engine does not. */
static void add_tokens(struct flo_buf *out, const struct flo_tree_node *names, const char *text)
{
    static const char end[] = "_token";
    const struct flo_tree_node *node = flo_tree_first(names);
    for (; node != NULL; node = node->next) {
        const struct flo_tree_node *token =
            node->kind == FLO_TREE_OBJECT ? flo_tree_member(node, "content") : node;
        size_t bytes = strlen(node->key);
        if (token == NULL || token->kind != FLO_TREE_STRING || bytes <= strlen(end) ||
            !is_word(node->key) || strcmp(node->key + bytes - strlen(end), end) != 0 ||
            strstr(text, node->key) == NULL || strcmp(node->key, "bos_token") == 0 ||
            strcmp(node->key, "eos_token") == 0) {
            continue;
        }
        flo_buf_printf(out, "{%% set %s = '", node->key);
        for (const char *at = token->text; *at != '\0'; at++) {
            flo_buf_text(out, *at == '\'' || *at == '\\' ? "\\" : "");
            flo_buf_add(out, at, 1);
        }
        flo_buf_text(out, "' %}");
    }
}

/* Appends all tokens, those of the later of two files first: the first file's
 * win. */
static int add_names(struct flo_import *import, struct flo_buf *out,
                     const struct flo_tree_node *settings, const char *text, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *map = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_TRY(flo_family_json(import, "special_tokens_map.json", &map, &tree, err));
    add_tokens(out, map != NULL ? tree.nodes : NULL, text);
    add_tokens(out, settings, text);
    add_tokens(out, flo_tree_member(settings, "extra_special_tokens"), text);
    return 0;
}

static int set(struct flo_import *import, const struct flo_tree_node *settings, const char *plain,
               const char *with_tools, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {.bytes_max = 3 * TEMPLATE_BYTES_MAX};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf all = {.bytes_max = 4 * TEMPLATE_BYTES_MAX};
    if (with_tools != NULL) {
        add_both(&body, plain, with_tools);
    } else {
        flo_buf_text(&body, plain);
    }
    flo_buf_add(&body, "", 1);
    FLO_TRY(body.failed ? 0 : add_names(import, &all, settings, body.data, err));
    bool has_names = all.bytes > 0;
    if (has_names && with_tools == NULL && !body.failed) {
        add_template(&all, body.data);
    } else if (!body.failed) {
        flo_buf_text(&all, body.data);
    }
    flo_buf_add(&all, "", 1);
    if (body.failed || all.failed) {
        return flo_folder_fail(err, "the chat templates have more than %u bytes",
                               3 * TEMPLATE_BYTES_MAX);
    }
    if (has_names || with_tools != NULL) {
        flo_keys_text(&import->keys, "tokenizer.chat_template", all.data);
    }
    return 0;
}

int flo_family_templates(struct flo_import *import, struct flo_err *err)
{
    const struct flo_gguf_edit *plain = flo_keys_find(&import->keys, "tokenizer.chat_template");
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *file = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *more = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, "tokenizer_config.json", FLO_CONFIG_BYTES_MAX, &text,
                            &bytes, err));
    if (text != NULL) {
        FLO_TRY(flo_folder_tree(text, bytes, FLO_CONFIG_VALUES_MAX, &tree, err));
    }
    FLO_TRY(flo_folder_read(&import->folder, "chat_template.jinja", TEMPLATE_BYTES_MAX, &file,
                            &bytes, err));
    FLO_TRY(flo_folder_read(&import->folder, "additional_chat_templates/tool_use.jinja",
                            TEMPLATE_BYTES_MAX, &more, &bytes, err));
    if (plain == NULL) {
        return 0;
    }
    FLO_CLEANUP(flo_free_cleanup) char *copy = strdup(plain->text); /* the key is set again */
    const struct flo_tree_node *settings = text != NULL ? tree.nodes : NULL;
    const char *with_tools = more != NULL ? more : file == NULL ? listed(settings) : NULL;
    return copy != NULL ? set(import, settings, copy, with_tools, err)
                        : flo_fail(err, FLO_E_MEMORY, "a chat template");
}
