/* flotilla-model render: prints the text that a chat template makes of a
 * conversation, which is read as JSON from stdin. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <flotilla/errors/gguf.h>

#include "base/given.h"
#include "engine/chat/case.h"
#include "engine/chat/template.h"
#include "engine/publish/commands.h"
#include "engine/tools/common.h"

#define CASE_BYTES_MAX (64u << 20)

/* All that lives as long as the program. */
struct render {
    struct flo_tool tool;
    struct flo_buf text; /* the conversation as it was read */
    struct flo_tree tree;
    struct flo_chat_case conversation;
    struct flo_gguf *gguf; /* NULL: the file is a template */
    struct flo_buf bos, eos;
    char *file; /* text of a template that is a file of its own */
    struct flo_jinja *jinja;
};

/* Tells whether the file begins as a GGUF does. */
static int is_gguf(const char *path, bool *out, struct flo_err *err)
{
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    *out = fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
           memcmp(magic, "GGUF", sizeof(magic)) == 0;
    (void)fclose(file);
    return 0;
}

/* Opens the template: the one that a GGUF holds, the file of a folder, or the
 * file itself. */
static int open_template(struct render *r, struct flo_err *err)
{
    struct flo_gguf_text text = {NULL, 0};
    const char *path = r->tool.model;
    struct stat status;
    bool has_key = false;
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    FLO_TRY(is_folder ? 0 : is_gguf(path, &has_key, err));
    if (is_folder) {
        FLO_TRY(flo_given_read(path, "chat_template.jinja", FLO_TEMPLATE_BYTES_MAX, &r->file,
                               &text.bytes, err));
        text.data = r->file;
    } else if (has_key) {
        FLO_TRY(flo_gguf_open_path(path, &r->gguf, err));
        FLO_TRY(flo_gguf_require(r->gguf, "tokenizer.chat_template", err));
        FLO_TRY(flo_gguf_string(r->gguf, "tokenizer.chat_template", &text, err));
    } else {
        FLO_TRY(flo_file_read(path, FLO_TEMPLATE_BYTES_MAX, &r->file, &text.bytes, err));
        text.data = r->file;
    }
    if (text.bytes > FLO_TEMPLATE_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_LIMIT, "%s: the chat template has %zu bytes, at most %u",
                        r->tool.model, text.bytes, FLO_TEMPLATE_BYTES_MAX);
    }
    return flo_jinja_open(text.data, text.bytes, &r->jinja, err);
}

static int read_case(struct render *r, struct flo_err *err)
{
    char block[4096];
    size_t some, bad = 0;
    while ((some = fread(block, 1, sizeof(block), stdin)) > 0) {
        flo_buf_add(&r->text, block, some);
    }
    flo_buf_add(&r->text, "", 0);
    if (r->text.failed) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "the conversation has more than %u bytes",
                        CASE_BYTES_MAX);
    }
    int rv = flo_tree_read(&r->tree, r->text.data, r->text.bytes, 0, 0, &bad, err);
    if (rv == FLO_E_INFER_PARAM) {
        return flo_fail(err, rv, "the conversation is not JSON at byte %zu", bad);
    }
    FLO_TRY(rv);
    return flo_chat_case_read(&r->conversation, r->tree.nodes, err);
}

/* Takes the texts of the begin and end tokens from a GGUF's vocabulary, where
 * the conversation names none. */
static int find_ends(struct render *r, struct flo_err *err)
{
    struct flo_vocab *vocab = NULL;
    struct flo_jinja_input *input = &r->conversation.input;
    bool has_bos = flo_tree_member(r->tree.nodes, "bos_token") != NULL;
    bool has_eos = flo_tree_member(r->tree.nodes, "eos_token") != NULL;
    if (r->gguf == NULL || (has_bos && has_eos)) {
        return 0;
    }
    FLO_TRY(flo_vocab_open(r->gguf, &vocab, err));
    flo_vocab_piece(vocab, flo_vocab_facts(vocab)->bos, true, &r->bos);
    flo_vocab_piece(vocab, flo_vocab_facts(vocab)->eos, true, &r->eos);
    flo_vocab_close(vocab);
    flo_buf_add(&r->bos, "", 1);
    flo_buf_add(&r->eos, "", 1);
    if (r->bos.failed || r->eos.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the begin and end tokens");
    }
    input->bos = has_bos ? input->bos : r->bos.data;
    input->eos = has_eos ? input->eos : r->eos.data;
    return 0;
}

static int render(void *context, struct flo_err *err)
{
    struct render *r = context;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf marks = {0};
    FLO_TRY(open_template(r, err));
    FLO_TRY(read_case(r, err));
    FLO_TRY(find_ends(r, err));
    FLO_TRY(flo_jinja_render(r->jinja, &r->conversation.input, &text, &marks, err));
    flo_chat_case_deinit(&r->conversation);
    return flo_tool_print(&text, "a rendering", err);
}

static struct render state = {.text.bytes_max = CASE_BYTES_MAX};
static const struct flo_flag flags[] = {
    {"model", "FILE", "a GGUF, a chat_template.jinja, or a folder with one",
     FLO_TEXT(struct render, tool.model), .is_needed = true},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_render = {
    .name = "render",
    .help = "conversation (JSON on stdin) to the chat template's text",
    .usage = "--model FILE",
    .flags = {flags},
    .state = &state,
    .run = render,
    .example = "--model helpdesk.gguf",
};
