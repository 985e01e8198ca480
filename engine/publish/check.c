/* flotilla-model check: whether awkward texts become the ids, or conversations the
 * renderings, that a folder's own library makes of them.
 *
 * Only the keys of the folder's file are made, so large folders are quick.  The texts are
 * rows of check.def and chains of them, with the folder's own special tokens, whole and in
 * parts; they are the same in every run. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/model.h>
#include <flotilla/errors/process.h>

#include "base/scratch.h"
#include "engine/chat/jinja/jinja.h"
#include "engine/model/session.h"
#include "engine/publish/commands.h"
#include "engine/publish/explain.h"
#include "engine/publish/import/family.h"
#include "engine/publish/import/run.h"
#include "engine/tools/common.h"

#define TEXTS 2000u
#define PIECES_MAX 7u
#define ANSWERS_BYTES_MAX (64u << 20) /* `ulimit` below has it in blocks of 512 bytes */
#define SHOWN_BYTES 96

static const char *const pieces[] = {
#define FLO_CHECK_PIECE(text) text,
#include "engine/publish/check.def"
#undef FLO_CHECK_PIECE
};

struct check {
    struct flo_tool tool; /* options; the word is the folder */
    const char *against;
    bool renders;
    uint64_t seconds, seed;
    struct flo_import folder;
    struct flo_produce produce;
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
    struct flo_jinja *jinja;
    struct flo_buf bos, eos, said; /* `said`: about the first difference */
    uint32_t different;
};

/* Opens the folder as a file that has keys and no tensors. */
static int open_folder(struct check *check, struct flo_err *err)
{
    const struct flo_import_options options = {.folder = check->tool.args.words[0], .threads = 1};
    const struct flo_keys *keys = &check->folder.keys;
    struct flo_gguf_text text = {NULL, 0};
    int fd = -1;
    FLO_TRY(flo_explain_accept(&check->folder.reading, &check->tool.args, err));
    FLO_TRY(flo_import_open(&check->folder, &options, &check->produce, err));
    FLO_TRY(flo_scratch_file(NULL, &fd, err));
    int rv = flo_gguf_create(NULL, 0, keys->edits, keys->count, NULL, NULL, fd, err);
    if (rv == 0) {
        rv = flo_gguf_open_fd(fd, &check->gguf, err);
    }
    (void)close(fd);
    FLO_TRY(rv);
    FLO_TRY(flo_vocab_open(check->gguf, &check->vocab, err));
    flo_vocab_piece(check->vocab, flo_vocab_facts(check->vocab)->bos, true, &check->bos);
    flo_vocab_piece(check->vocab, flo_vocab_facts(check->vocab)->eos, true, &check->eos);
    flo_buf_add(&check->bos, "", 1);
    flo_buf_add(&check->eos, "", 1);
    if (check->renders) {
        FLO_TRY(flo_gguf_require(check->gguf, "tokenizer.chat_template", err));
        FLO_TRY(flo_gguf_string(check->gguf, "tokenizer.chat_template", &text, err));
    }
    return check->renders ? flo_jinja_open(text.data, text.bytes, &check->jinja, err) : 0;
}

/* ---- texts ---- */

static uint32_t draw(struct check *check, size_t count)
{
    check->seed = check->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((check->seed >> 33) % count);
}

/* Appends a special token, or its beginning, a blank and the rest. */
static void add_mark(struct check *check, struct flo_buf *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf mark = {0};
    int32_t count = flo_vocab_facts(check->vocab)->count, tried = 0;
    int32_t id = (int32_t)draw(check, (size_t)count);
    while (tried++ < count && !flo_vocab_is_control(check->vocab, id)) {
        id = id + 1 < count ? id + 1 : 0;
    }
    flo_vocab_piece(check->vocab, id, true, &mark);
    size_t at = draw(check, mark.bytes + 1);
    while (at < mark.bytes && ((uint8_t)mark.data[at] & 0xc0) == 0x80) {
        at++;
    }
    flo_buf_add(out, mark.data, at);
    flo_buf_text(out, at < mark.bytes && draw(check, 2) == 0 ? " " : "");
    flo_buf_add(out, mark.data + at, draw(check, 3) != 0 ? mark.bytes - at : 0);
}

static void make_text(struct check *check, uint32_t index, struct flo_buf *out)
{
    uint32_t count = index < FLO_COUNT(pieces) ? 0 : 1 + draw(check, PIECES_MAX);
    flo_buf_text(out, count == 0 ? pieces[index] : "");
    for (; count > 0; count--) {
        if (draw(check, 6) == 0) {
            add_mark(check, out);
        } else {
            flo_buf_text(out, pieces[draw(check, FLO_COUNT(pieces))]);
        }
    }
}

/* ---- the command ---- */

/* Runs the command with the file `in` as its input and `out` as its output. */
static int run_command(const struct check *check, const char *in, const char *out,
                       struct flo_err *err)
{
    static const char script[] =
        "ulimit -f 131072; exec timeout -k 5 \"$3\" /bin/sh -c \"$0\" <\"$1\" >\"$2\"";
    char seconds[24];
    snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)check->seconds);
    const char *const argv[] = {"/bin/sh", "-c", script, check->against, in, out, seconds, NULL};
    int status = 0;
    pid_t pid;
    FLO_TRY(flo_process_spawn(argv, -1, &pid, err));
    while (waitpid(pid, &status, 0) < 0) {
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code == 0 ? 0
                     : flo_fail(err, FLO_E_PROCESS, "the command ended with exit code %d%s", code,
                                code == 124 ? ", as it took longer than --limit" : "");
}

/* ---- answers ---- */

/* Writes our answer: a rendering, or ids as JSON. */
static int answer(struct check *check, const struct flo_buf *text, struct flo_buf *out,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_tokens_deinit) struct flo_tokens tokens = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf marks = {0};
    const struct flo_engine_message message = {"user", text->data, text->bytes, NULL, 0};
    const struct flo_jinja_input input = {
        .messages = &message, .count = 1, .bos = check->bos.data, .eos = check->eos.data};
    if (check->renders) {
        return flo_jinja_render(check->jinja, &input, out, &marks, err);
    }
    FLO_TRY(flo_tokenize(check->vocab, text->data, text->bytes, FLO_TEXT_SPECIAL | FLO_TEXT_ENDS,
                         &tokens, err));
    flo_buf_text(out, "[");
    for (size_t i = 0; i < tokens.count; i++) {
        flo_buf_printf(out, "%s%d", i == 0 ? "" : ", ", tokens.ids[i]);
    }
    flo_buf_text(out, "]");
    return 0;
}

/* Says where the answers to a text part. */
static void say(struct check *check, uint32_t index, const struct flo_buf *text,
                const char *const answers[2])
{
    char shown[SHOWN_BYTES];
    size_t same = 0, ids = 0;
    for (; answers[0][same] != '\0' && answers[0][same] == answers[1][same]; same++) {
        ids += answers[0][same] == ',' ? 1 : 0;
    }
    flo_text_clean(text->data, text->bytes, shown, sizeof(shown));
    flo_buf_printf(&check->said, "text %u: %s\nthey part at %s %zu\n", index + 1, shown,
                   check->renders ? "byte" : "token", check->renders ? same : ids + 1);
    for (int i = 0; i < 2; i++) {
        const char *from = answers[i] + (same > SHOWN_BYTES / 4 ? same - SHOWN_BYTES / 4 : 0);
        flo_text_clean(from, strlen(from), shown, sizeof(shown));
        flo_buf_printf(&check->said, "  %s %s\n", i == 0 ? "command: " : "flotilla:", shown);
    }
}

/* Compares one line of the command, which is changed. */
static int compare(struct check *check, uint32_t index, char *line, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0}, ours = {0}, theirs = {0};
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    char shown[SHOWN_BYTES];
    flo_text_clean(line, strlen(line), shown, sizeof(shown));
    int rv = flo_tree_read(&tree, line, strlen(line), 0, 0, NULL, NULL);
    if (rv < 0 || tree.nodes->kind != (check->renders ? FLO_TREE_STRING : FLO_TREE_ARRAY)) {
        return flo_fail(err, FLO_E_PROCESS, "line %u of the command is no JSON %s: %s", index + 1,
                        check->renders ? "text" : "list", shown);
    }
    make_text(check, index, &text);
    FLO_TRY(answer(check, &text, &ours, err));
    if (check->renders) {
        flo_buf_add(&theirs, tree.nodes->text, tree.nodes->bytes);
    } else {
        flo_tree_print(tree.nodes, &theirs);
    }
    flo_buf_add(&theirs, "", 1);
    flo_buf_add(&ours, "", 1);
    if (text.failed || theirs.failed || ours.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the answers to text %u", index + 1);
    }
    const char *const answers[2] = {theirs.data, ours.data};
    if (strcmp(theirs.data, ours.data) != 0 && check->different++ == 0) {
        say(check, index, &text, answers);
    }
    return 0;
}

/* Asks the command for all texts, and compares its answers. */
static int ask(struct check *check, const char *folder, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf questions = {0};
    FLO_CLEANUP(flo_free_cleanup) char *answers = NULL;
    char in[PATH_MAX], out[PATH_MAX];
    size_t bytes;
    snprintf(in, sizeof(in), "%s/questions", folder);
    snprintf(out, sizeof(out), "%s/answers", folder);
    for (uint32_t i = 0; i < TEXTS; i++) {
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
        make_text(check, i, &text);
        flo_buf_text(&questions, check->renders ? "[{\"role\": \"user\", \"content\": \"" : "\"");
        flo_buf_json_text(&questions, text.data, text.bytes);
        flo_buf_text(&questions, check->renders ? "\"}]\n" : "\"\n");
        questions.failed = questions.failed || text.failed;
    }
    if (questions.failed) {
        return flo_fail(err, FLO_E_MEMORY, "%u texts", TEXTS);
    }
    FLO_TRY(flo_file_write_new(in, questions.data, questions.bytes, 0600, err));
    FLO_TRY(run_command(check, in, out, err));
    FLO_TRY(flo_file_read(out, ANSWERS_BYTES_MAX, &answers, &bytes, err));
    check->seed = 0;
    char *line = answers, *end;
    uint32_t count = 0;
    for (; (end = strchr(line, '\n')) != NULL && count < TEXTS; line = end + 1) {
        *end = '\0';
        FLO_TRY(compare(check, count++, line, err));
    }
    return count == TEXTS && line == answers + bytes
               ? 0
               : flo_fail(err, FLO_E_PROCESS, "the command printed %s %u lines for %u texts",
                          count == TEXTS ? "more than" : "only", count, TEXTS);
}

static int run(void *context, struct flo_err *err)
{
    struct check *check = context;
    char folder[FLO_SCRATCH_BYTES];
    int lock = -1;
    int rv = open_folder(check, err);
    if (rv == 0) {
        rv = flo_scratch_folder(NULL, folder, &lock, err);
    }
    if (rv == 0) {
        rv = ask(check, folder, err);
        flo_scratch_remove(folder);
        (void)close(lock);
    }
    flo_jinja_close(check->jinja);
    flo_vocab_close(check->vocab);
    flo_gguf_close(check->gguf);
    flo_produce_close(&check->produce);
    flo_import_close(&check->folder);
    if (rv == FLO_E_PROCESS) {
        return flo_err_fix(err, "try the command by hand; `check --help` shows one that works");
    }
    FLO_TRY(rv);
    flo_buf_printf(&check->said, "%u of %u texts are the same\n", TEXTS - check->different, TEXTS);
    FLO_TRY(flo_tool_print(&check->said, "the report", err));
    return check->different == 0
               ? 0
               : flo_fail(err, FLO_E_MODEL_FOLDER, "%u of %u texts differ from the command's",
                          check->different, TEXTS);
}

static struct check state = {.seconds = 600};
static const struct flo_flag flags[] = {
    {"against", "CMD",
     "a shell command that reads JSON texts and prints JSON lists of ids, by lines",
     FLO_TEXT(struct check, against), .is_needed = true},
    {"render", NULL, "compare chats: CMD reads lists of messages, and prints JSON texts",
     FLO_SWITCH(struct check, renders)},
    {"limit", "SECONDS", "for the command (default: 600)", FLO_U64(struct check, seconds), .min = 1,
     .max = 86400},
    FLO_FLAG_ACCEPT,
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_check = {
    .name = "check",
    .help = "compare a folder's tokens with those of its own library",
    .usage = "DIR --against CMD [--render] [--limit SECONDS]",
    .flags = {flags},
    .state = &state,
    .run = run,
    .example = "helpdesk-folder --against 'python3 ids.py helpdesk-folder'",
    .more = "ids.py:\n"
            "  import sys, json, transformers as t; tok = "
            "t.AutoTokenizer.from_pretrained(sys.argv[1])\n"
            "  for line in sys.stdin: print(tok(json.loads(line))[\"input_ids\"])\n",
};
