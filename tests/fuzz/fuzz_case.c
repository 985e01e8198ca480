/* Case: any JSON is a conversation that a template renders or refuses, with a
 * reason. */
#include <stdlib.h>
#include <string.h>

#include "engine/chat/case.h"
#include "engine/chat/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void render(const struct flo_chat_case *it)
{
    struct flo_jinja *jinja = NULL;
    struct flo_buf text = {.bytes_max = 1u << 16}, marks = {.bytes_max = 1u << 16};
    const char *chat = flo_template_known("chatml");
    struct flo_err err = {0};
    if (flo_jinja_open(chat, strlen(chat), &jinja, &err) < 0) {
        abort();
    }
    if (flo_jinja_render(jinja, &it->input, &text, &marks, &err) < 0 && err.what[0] == '\0') {
        abort();
    }
    flo_buf_deinit(&text);
    flo_buf_deinit(&marks);
    flo_jinja_close(jinja);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_tree tree = {0};
    struct flo_chat_case it = {0};
    struct flo_err err = {0};
    char *text = malloc(bytes + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (flo_tree_read(&tree, text, bytes, 0, 0, NULL, NULL) == 0) {
        if (flo_chat_case_read(&it, tree.nodes, &err) == 0) {
            render(&it);
        } else if (err.what[0] == '\0') {
            abort();
        }
    }
    flo_chat_case_deinit(&it);
    flo_tree_deinit(&tree);
    free(text);
    return 0;
}
