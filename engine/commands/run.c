/* flotilla-engine run: chats with a model, or has it answer one text. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>
#include <flotilla/prefix.h>
#include <flotilla/rows.h>

#include "engine/commands/commands.h"
#include "engine/talk/talk.h"
#include "engine/tools/outfile.h"

#define PROMPT_BYTES_MAX (16u << 20)
#define ONCE_TOKENS 256u /* most tokens of an answer if --n is not given */

struct run {
    struct flo_tool tool;
    const char *prompt;      /* text of --prompt */
    const char *prefix_path; /* file that keeps the beginning of the prompt from run to run */
    const char *api, *token_file;
    bool is_raw, no_pack, shows_stats;
    const char *text;             /* the question to answer; NULL: a chat */
    bool reads;                   /* the text of stdin is appended to the question */
    struct flo_buf piped, joined; /* text of stdin; the question TEXT followed by it */
    struct flo_talk_settings settings;
    struct flo_talk_counts counts;
    struct flo_local local;
    struct flo_served served;
    /* ---- of the prefix ---- */
    uint32_t in_file; /* number of the prompt's first tokens that were in the file */
    uint32_t kept;    /* number of tokens to keep in the file */
    uint64_t read_us;
    char why[128]; /* reason why the file was not used */
};

/* ---- the prompt's beginning ---- */

/* Loads the tokens of the prefix file into the empty session.  A stale prefix
 * is no error.  A file that is no prefix is an error, because the run would
 * overwrite it. */
static int read_prefix(struct run *run, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_local *local = &run->local;
    const struct flo_tool_model *model = &local->answer.model;
    uint64_t started_us = flo_now_us();
    struct flo_err why = {0};
    int rv;

    if (model->backend != &flo_backend_native) {
        return flo_fail(err, FLO_E_USAGE, "backend '%s' keeps no prefix", model->backend->name);
    }
    struct flo_session *session = flo_backend_native_session(model->state);
    rv = flo_file_open(run->prefix_path, &fd, &why);
    if (rv == 0) {
        rv = flo_prefix_read(session, fd, NULL, &why);
    }
    if (rv == FLO_E_USAGE || rv == FLO_E_IO_OPEN || rv == FLO_E_IO_READ) {
        *err = why;
        return flo_wrap(err, rv, "%s", run->prefix_path);
    }
    snprintf(run->why, sizeof(run->why), "%.127s", why.what);
    run->in_file = flo_session_common(session, local->prompt, local->count);
    local->held_count = flo_session_position(session);
    memcpy(local->held, flo_session_tokens(session), local->held_count * sizeof(*local->held));
    run->read_us = flo_now_us() - started_us;
    return 0;
}

/* Goes back to the end of the prefix, if the session has lost a window or a state
 * since: what is missing is computed again. */
static int hold_prefix(struct flo_session *session, const int32_t *tokens, uint32_t count,
                       struct flo_err *err)
{
    uint32_t held = flo_session_held(session, count);

    if (held == count) {
        return 0;
    }
    flo_session_truncate(session, held);
    return flo_session_decode(session, tokens + held, count - held, FLO_LOGITS_NONE, err);
}

static int write_prefix(void *context, int fd, struct flo_err *err)
{
    const struct run *run = context;
    const struct flo_tool_model *model = &run->local.answer.model;
    struct flo_session *session = flo_backend_native_session(model->state);
    uint64_t bytes = flo_prefix_bytes(model->text, run->kept);

    FLO_TRY(hold_prefix(session, run->local.prompt, run->kept, err));
    if (bytes > 0) { /* 0: a build that keeps none */
        FLO_TRY(flo_outfile_reserve(fd, bytes, "bytes of a prefix", err));
    }
    return flo_prefix_write(session, run->kept, 0, fd, NULL, NULL, err);
}

/* Chooses the tokens to keep in the prefix file: those of the system message
 * or, without one, the whole prompt. */
static int keep_prefix(struct run *run, struct flo_err *err)
{
    struct flo_local *local = &run->local;
    const char *system = run->settings.system;
    size_t count = (size_t)run->counts.prompt;
    int rv = 0;

    if (system != NULL && !run->is_raw) {
        size_t max = local->answer.model.info->context;
        int32_t *others = malloc(max * sizeof(*others));

        rv = others == NULL ? flo_fail(err, FLO_E_MEMORY, "a prompt")
                            : flo_tool_prompt(local->answer.model.text,
                                              &(struct flo_tool_prompt){system, "", false}, others,
                                              max, &count, err);
        if (rv == 0) {
            count = flo_tokens_common(local->prompt, (size_t)run->counts.prompt, others, count);
        }
        free(others);
    }
    run->kept = (uint32_t)(count - count % FLO_PREFIX_TOKENS);
    FLO_TRY(rv);
    return run->kept <= run->in_file
               ? rv
               : flo_outfile(
                     run->prefix_path,
                     (struct flo_inputs){{run->tool.model, local->answer.model.setup.packed}},
                     write_prefix, run, err);
}

/* ---- one answer ---- */

static double tokens_per_s(const struct flo_talk_counts *counts)
{
    return counts->answer_us == 0 ? 0 : (double)counts->answer * 1e6 / (double)counts->answer_us;
}

static void print_stats(const struct run *run)
{
    const struct flo_talk_counts *counts = &run->counts;
    const struct flo_engine_info *info = run->local.answer.model.info;

    if (run->prefix_path != NULL) {
        fprintf(stderr, "prefix %llu tokens of the file in %.1f ms%s%s\n",
                (unsigned long long)counts->kept, (double)run->read_us / 1e3,
                run->why[0] != '\0' ? ": " : "", run->why);
    }
    if (info != NULL) {
        fprintf(stderr, "load %.1f ms, ", (double)info->load_us / 1e3);
    }
    fprintf(stderr,
            "prompt %llu tokens in %.1f ms, "
            "answer %llu tokens in %.1f ms: %.1f tokens/s%s%s\n",
            (unsigned long long)counts->prompt, (double)counts->prompt_us / 1e3,
            (unsigned long long)counts->answer, (double)counts->answer_us / 1e3,
            tokens_per_s(counts), info != NULL ? ", kernel " : "",
            info != NULL ? info->kernel : "");
}

static int answer_locally(struct run *run, const struct flo_asking *asking, struct flo_err *err)
{
    struct flo_local *local = &run->local;
    const struct flo_tool_prompt raw = {NULL, run->text, true};

    local->is_raw = run->is_raw;
    FLO_TRY(!run->is_raw ? flo_local_prompt(local, asking, err)
                         : flo_tool_prompt(local->answer.model.text, &raw, local->prompt,
                                           local->answer.model.info->context, &local->count, err));
    if (run->prefix_path != NULL) {
        FLO_TRY(read_prefix(run, err));
    }
    FLO_TRY(flo_local_answer(local, asking, &run->counts, err));
    return run->prefix_path == NULL ? 0 : keep_prefix(run, err);
}

static void tell_end(const struct run *run)
{
    const struct flo_talk_counts *counts = &run->counts;

    if (!flo_console_is_terminal(STDERR_FILENO)) {
        return;
    }
    if (counts->end == FLO_TALK_LENGTH) {
        fprintf(stderr, "[%llu tokens: --n N takes more]\n", (unsigned long long)counts->answer);
    } else if (counts->end == FLO_TALK_FULL) {
        fprintf(stderr, "[the context is full: %llu tokens]\n",
                (unsigned long long)(counts->prompt + counts->answer));
    }
}

/* Answers one text.  Returns an exit code or an error.  On a terminal Ctrl-C
 * ends only the answer, so that the text's colour is reset. */
static int answer_once(struct run *run, bool is_served, struct flo_err *err)
{
    const char *system = run->settings.system;
    const struct flo_engine_message messages[] = {
        {.role = "system", .text = system, .bytes = system != NULL ? strlen(system) : 0},
        {.role = "user", .text = run->text, .bytes = strlen(run->text)}};
    struct flo_talk_said said = {.is_terminal = flo_console_is_terminal(STDOUT_FILENO),
                                 .has_colour = flo_console_has_colour(STDOUT_FILENO)};
    struct flo_console console = {.stops = -1};
    int rv = said.is_terminal ? flo_console_open(&console, err) : 0;
    const struct flo_asking asking = {
        .messages = messages + (system == NULL),
        .count = system == NULL ? 1 : 2,
        .settings = &run->settings,
        .said = &said,
        .stop_fd = console.stops,
    };

    if (rv == 0) {
        rv = is_served ? flo_served_answer(&run->served, &asking, &run->counts, err)
                       : answer_locally(run, &asking, err);
    }
    flo_talk_said_deinit(&said);
    flo_console_close(&console);
    FLO_TRY(rv);
    if (run->shows_stats) {
        print_stats(run);
    }
    tell_end(run);
    return run->counts.end == FLO_TALK_STOPPED ? FLO_EXIT_INTERRUPTED : 0;
}

/* ---- the question ---- */

/* Reads all of stdin, without the last line end that a shell adds. */
static int read_piped(struct flo_buf *out, struct flo_err *err)
{
    char piece[4096];
    size_t bytes;

    out->bytes_max = PROMPT_BYTES_MAX;
    flo_buf_text(out, "");
    while ((bytes = fread(piece, 1, sizeof(piece), stdin)) > 0) {
        flo_buf_add(out, piece, bytes);
    }
    if (ferror(stdin) != 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "stdin");
    }
    if (out->failed || out->data == NULL) {
        return flo_fail(err, FLO_E_USAGE, "stdin has more than %u MiB", PROMPT_BYTES_MAX >> 20);
    }
    if (strlen(out->data) != out->bytes) {
        return flo_fail(err, FLO_E_USAGE, "stdin is no text: byte %zu of it is 0",
                        strlen(out->data));
    }
    if (out->bytes > 0 && out->data[out->bytes - 1] == '\n') {
        out->data[--out->bytes] = '\0';
    }
    return 0;
}

/* Tells whether stdin is a pipe, a file or a socket, and so was meant as
 * input. */
static bool is_piped(void)
{
    struct stat st;

    return fstat(STDIN_FILENO, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Chooses the text to answer.  It is TEXT, followed by stdin if stdin is piped;
 * with --prompt it is TEXT alone.  Without TEXT it is stdin, or a chat begins
 * if stdin is a terminal. */
static int choose_text(struct run *run, const char *word, struct flo_err *err)
{
    const char *given = word != NULL ? word : run->prompt;
    bool is_stdin = given == NULL || strcmp(given, "-") == 0;

    if (word != NULL && run->prompt != NULL) {
        return flo_fail(err, FLO_E_USAGE, "TEXT and --prompt exclude each other");
    }
    run->text = is_stdin ? "" : given;
    run->reads = is_stdin || (word != NULL && is_piped());
    if (given == NULL && flo_console_is_terminal(STDIN_FILENO)) {
        run->text = NULL;
        run->reads = false;
    }
    return 0;
}

static int read_text(struct run *run, struct flo_err *err)
{
    struct flo_buf *joined = &run->joined;

    FLO_TRY(read_piped(&run->piped, err));
    flo_buf_text(joined, run->text);
    flo_buf_text(joined, joined->bytes > 0 && run->piped.bytes > 0 ? "\n\n" : "");
    flo_buf_add(joined, run->piped.data, run->piped.bytes);
    if (joined->failed) {
        return flo_fail(err, FLO_E_MEMORY, "a text");
    }
    run->text = joined->data;
    return joined->bytes > 0 ? 0
                             : flo_fail(err, FLO_E_USAGE,
                                        "stdin is empty: give TEXT, pipe one, or start in a "
                                        "terminal for a chat");
}

/* ---- the line ---- */

static bool is_among(const char *name, const char *const *list, size_t count)
{
    return flo_rows_find_word(name, list, count, sizeof(list[0]), 0) != NULL;
}

/* Refuses flags of a model's file if the model is a served one, and flags for
 * one text if a chat begins. */
static int check_flags(const struct run *run, bool is_served, struct flo_err *err)
{
    static const char *const served[] = {"api", "token-file", "prompt", "stats"};
    static const char *const once[] = {"raw", "prefix-file", "stats"};
    const struct flo_args *args = &run->tool.args;

    for (size_t i = 0; i < args->flag_count; i++) {
        const char *name = args->flags[i]->name;
        if (run->text == NULL && is_among(name, once, FLO_COUNT(once))) {
            return flo_fail(err, FLO_E_USAGE, "--%s is for one text, not for a chat", name);
        }
        if (is_served && flo_talk_setting_find(name) < 0 &&
            !is_among(name, served, FLO_COUNT(served))) {
            return flo_fail(err, FLO_E_USAGE,
                            "--%s is for a model's file; '%s' is a served "
                            "model",
                            name, args->words[0]);
        }
    }
    if (!is_served && run->token_file != NULL) {
        return flo_fail(err, FLO_E_USAGE, "--token-file is for a served model; '%s' is a file",
                        run->tool.model);
    }
    return run->prefix_path != NULL && run->tool.lora != NULL
               ? flo_fail(err, FLO_E_USAGE, "--prefix-file and --lora exclude each other")
               : 0;
}

static int read_settings(struct run *run, struct flo_err *err)
{
    const char *flag;
    int rv = 0;

    flo_talk_settings_init(&run->settings);
    run->settings.max_tokens = run->text != NULL ? ONCE_TOKENS : 0;
    for (int row = 0; rv == 0 && (flag = flo_talk_setting_flag(row)) != NULL; row++) {
        const char *value = flo_args_text(&run->tool.args, flag, NULL);
        char called[40];

        snprintf(called, sizeof(called), "--%s", flag);
        if (value != NULL) {
            rv = flo_talk_setting_put(&run->settings, row, called, value, err);
        }
    }
    return rv;
}

/* Tells whether the name is that of a served model: it has no slash and is no
 * file here. */
static bool is_served(const struct run *run, const char *name)
{
    return run->api != NULL ||
           (name != NULL && strchr(name, '/') == NULL && access(name, F_OK) != 0);
}

static int open_served(struct run *run, const char *name, struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = flo_served_open(&run->served, run->api, run->token_file, name, &why);

    if (rv < 0) {
        *err = why;
    }
    if (run->api != NULL || (rv != FLO_E_NET_UNREACHABLE && rv != FLO_E_INFER_MODEL)) {
        return rv;
    }
    flo_fail(err, rv == FLO_E_INFER_MODEL ? rv : FLO_E_ABSENT, "there is no file '%s', and %s",
             name, why.what);
    return flo_err_fix(err, "give the path of a GGUF, or --api ADDRESS of a "
                            "running agent");
}

static int talk(struct run *run, bool served, struct flo_err *err)
{
    struct flo_talker talker;

    if (run->text != NULL) {
        return answer_once(run, served, err);
    }
    if (served) {
        flo_served_talker(&run->served, &talker);
    } else {
        flo_local_talker(&run->local, &talker);
    }
    return flo_chat(&talker, &run->settings, err);
}

static int run_model(void *context, struct flo_err *err)
{
    struct run *run = context;
    const struct flo_args *args = &run->tool.args;
    bool has_word = run->tool.model == NULL || run->api != NULL;
    const char *name = args->words[0];
    bool served = has_word && is_served(run, name);
    int rv;

    if (has_word && name == NULL) {
        return flo_fail(err, FLO_E_USAGE, "`flotilla-engine run` needs MODEL");
    }
    if (!has_word && args->word_count > 1) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is too much next to --model", args->words[1]);
    }
    run->tool.model = has_word && !served ? name : run->tool.model;
    run->tool.caches_packed = !run->no_pack;
    FLO_TRY(choose_text(run, args->words[has_word], err));
    FLO_TRY(check_flags(run, served, err));
    FLO_TRY(read_settings(run, err));
    if (run->reads) {
        FLO_TRY(read_text(run, err));
    }
    rv = served ? open_served(run, name, err) : flo_local_open(&run->local, &run->tool, err);
    if (rv == 0) {
        rv = talk(run, served, err);
    }
    flo_served_close(&run->served);
    flo_local_close(&run->local);
    flo_talk_settings_deinit(&run->settings);
    flo_buf_deinit(&run->piped);
    flo_buf_deinit(&run->joined);
    return rv;
}

static struct run state;
static const struct flo_flag flags[] = {
    {"model", "FILE", "the GGUF, instead of MODEL", FLO_TEXT(struct run, tool.model)},
    {"api", "ADDRESS",
     "where MODEL is served, if it is no file: unix:PATH or "
     "http://127.0.0.1:PORT (default: /run/flotilla/api.sock, else "
     "/var/lib/flotilla/api.sock)",
     FLO_TEXT(struct run, api)},
    {"token-file", "FILE", "the token of that API", FLO_TEXT(struct run, token_file)},
    {"prompt", "TEXT", "the same as TEXT, but nothing piped is read; - is stdin",
     FLO_TEXT(struct run, prompt)},
    {"system", "TEXT", "a system message", FLO_ASKED},
    {"top-p", "P", "only the likeliest tokens of this share (default 1)", FLO_ASKED},
    {"top-k", "N", "only so many of the likeliest tokens (default 0: all)", FLO_ASKED},
    {"min-p", "P", "only tokens of this share of the likeliest (default 0)", FLO_ASKED},
    {"repeat-penalty", "X", "above 1: repeats become less likely (default 1)", FLO_ASKED},
    {"repeat-last-n", "N", "tokens that count as repeats (default 64)", FLO_ASKED},
    {"thinking", "auto|on|off", "thoughts before the answer (default auto: as the template has it)",
     FLO_ASKED},
    {"raw", NULL, "no chat template: the text as it is, control tokens read",
     FLO_SWITCH(struct run, is_raw)},
    {"prefix-file", "FILE", "keep the prompt's beginning (the system's turn) for later runs",
     FLO_TEXT(struct run, prefix_path)},
    {"no-pack", NULL, "do not pack the weights on first use (docs/internals/engine.md)",
     FLO_SWITCH(struct run, no_pack)},
    {"stats", NULL, "timings on stderr", FLO_SWITCH(struct run, shows_stats)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_run = {
    .name = "run",
    .help = "talk to a model, or let it answer one text",
    .usage = "MODEL [TEXT] | --model FILE [TEXT]",
    /* The first row, a required --model, is skipped, because the model may be a
     * word of the command line here. */
    .flags = {flo_flags_model + 1, flo_flags_adapter, flo_flags_backend, flo_flags_sampling, flags},
    .state = &state,
    .run = run_model,
    .example = "helpdesk.gguf 'When do you open?'",
    .more = flo_talk_help,
};
