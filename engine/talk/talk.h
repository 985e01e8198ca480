/* A person talks to a model in a terminal, or asks it one thing.
 *
 *   settings.c  values that a person may set    input.c    lines to whole texts
 *   command.c   lines that begin with "/"       history.c  the turns so far
 *   said.c      a model's text, made safe       console.c  the terminal
 *   local.c     a model of this process         served.c   one behind the local
 *   chat.c      the conversation                           API
 *   event.c     a part of its stream
 *
 * settings.c, input.c, command.c, history.c, said.c and event.c only compute.
 */
#ifndef FLOTILLA_ENGINE_TALK_H
#define FLOTILLA_ENGINE_TALK_H

#include <flotilla/engine_wire.h>

#include "base/tree/tree.h"
#include "engine/http/http.h"
#include "engine/tools/common.h"

/* ---- settings.c ---- */

/* Zero-initialise, then flo_talk_settings_init().  docs: settings.def */
struct flo_talk_settings {
    double temperature, top_p, min_p, repeat_penalty;
    uint64_t top_k, repeat_last_n, seed;
    uint64_t max_tokens; /* 0: until the context is full */
    uint64_t thinking;   /* enum flo_thinking */
    char *system;        /* NULL: none */
};
void flo_talk_settings_init(struct flo_talk_settings *settings);
void flo_talk_settings_deinit(struct flo_talk_settings *settings);
/* The row of a name ("top_p") or a flag ("top-p"); -1: there is none. */
int flo_talk_setting_find(const char *word);
/* The flag of a row; NULL after the last. */
const char *flo_talk_setting_flag(int row);
/* Set a row from its text; `called` is its name in an error.  With "default"
 * it has its first value again.  FLO_E_USAGE tells value and range, and
 * nothing has changed; FLO_E_MEMORY. */
FLO_MUST_USE int flo_talk_setting_put(struct flo_talk_settings *settings, int row,
                                      const char *called, const char *text, struct flo_err *err);
/* The words of /set: NAME VALUE, or "", which lists all.  `out` gets the
 * answer. FLO_E_USAGE also for a name that is not known, with the near one. */
FLO_MUST_USE int flo_talk_settings_set(struct flo_talk_settings *settings, const char *words,
                                       struct flo_buf *out, struct flo_err *err);
/* "temperature 0, top_p 1, ...": all but the system's text. */
void flo_talk_settings_tell(const struct flo_talk_settings *settings, struct flo_buf *out);
void flo_talk_settings_sampling(const struct flo_talk_settings *settings, struct flo_sampling *out);
/* As members of a request to the local API, each behind a comma. */
void flo_talk_settings_json(const struct flo_talk_settings *settings, struct flo_buf *out);

/* ---- input.c ---- */

#define FLO_INPUT_BYTES_MAX (1u << 20)

enum flo_talk_input_kind {
    FLO_INPUT_MORE,    /* the text goes on in the next line */
    FLO_INPUT_NOTHING, /* blanks alone */
    FLO_INPUT_TEXT,
    FLO_INPUT_COMMAND, /* a command: the line without the slash */
    FLO_INPUT_LONG,    /* more than FLO_INPUT_BYTES_MAX; it is dropped */
};
/* Lines until a text is whole.  Zero-initialise.  A line that ends with a
 * backslash goes on in the next one.  A text between two """ may have many
 * lines; the opening ones stand at a line's begin, or before a command's last
 * word; the closing ones at a line's end. */
struct flo_talk_input {
    struct flo_buf text; /* NUL after it; until the next line */
    bool is_block, is_continued;
    bool is_plain; /* the input began as a block, so it is no command */
};
/* Take a line without its end.  Escape sequences, as arrow keys send them, and
 * control characters but tab are left out.  Bytes that are no UTF-8 become
 * U+FFFD. */
enum flo_talk_input_kind flo_talk_input_line(struct flo_talk_input *input, const char *line,
                                             size_t bytes);
/* Has a text begun that is not whole yet? */
bool flo_talk_input_is_open(const struct flo_talk_input *input);
/* Forget it. */
void flo_talk_input_drop(struct flo_talk_input *input);
void flo_talk_input_deinit(struct flo_talk_input *input);

/* ---- command.c ---- */

enum flo_talk_command {
    FLO_TALK_SET,
    FLO_TALK_SHOW,
    FLO_TALK_CLEAR,
    FLO_TALK_HELP,
    FLO_TALK_BYE,
};
/* The command of a line without its slash; *rest are the words after it.
 * FLO_E_USAGE: no such command, with the near one; or words that it does not
 * take. */
FLO_MUST_USE int flo_talk_command(const char *line, enum flo_talk_command *command,
                                  const char **rest, struct flo_err *err);
/* The text of /help, and the end of --help. */
extern const char flo_talk_help[];

/* ---- history.c ---- */

/* Turns of a request; the local API takes two messages more. */
#define FLO_HISTORY_MAX 254

/* Turns of user and assistant in turn; texts are owned.  Zero-initialise. */
struct flo_history {
    struct flo_engine_message turns[FLO_HISTORY_MAX + 2];
    size_t count;
};
/* FLO_E_MEMORY.  There must be room. */
FLO_MUST_USE int flo_history_add(struct flo_history *history, const char *role, const char *text,
                                 size_t bytes, struct flo_err *err);
/* A conversation that ends with a question: where the younger half of the turns
 * from `from` on begins, an answer always with its question.  `from` itself:
 * there is the question alone. */
size_t flo_history_younger(const struct flo_history *history, size_t from);
/* Forget the first turns. */
void flo_history_drop(struct flo_history *history, size_t count);
/* Forget all but the first `count` turns. */
void flo_history_cut(struct flo_history *history, size_t count);
/* The turns from `from` on, at most FLO_HISTORY_MAX + 1, as messages behind the
 * system's if there is one.  Returns their number. */
size_t flo_history_messages(const struct flo_history *history, size_t from, const char *system,
                            struct flo_engine_message out[FLO_HISTORY_MAX + 2]);

/* ---- said.c ---- */

/* Append a text that a terminal may show: control characters but newline and
 * tab become U+FFFD, and so do bytes that are no UTF-8.  Carriage returns go.
 */
void flo_talk_safe(const char *text, size_t bytes, struct flo_buf *out);

/* An answer on its way to a person.  Zero-initialise and say for whom. */
struct flo_talk_said {
    bool is_terminal; /* the text is made safe; else it stays as it is */
    bool has_colour;  /* thoughts are dim; else they stand between marks */
    bool is_thought, skips_blanks, is_line_open;
    struct flo_buf text;  /* the answer without its thoughts, as it came */
    struct flo_buf shown; /* to be written next; the caller empties it */
};
void flo_talk_said_begin(struct flo_talk_said *said);
/* The next piece of the answer, of whole characters. */
void flo_talk_said_add(struct flo_talk_said *said, const char *text, size_t bytes);
/* The next piece of a thought. */
void flo_talk_said_think(struct flo_talk_said *said, const char *text, size_t bytes);
/* A line's end, unless a terminal has one already. */
void flo_talk_said_end(struct flo_talk_said *said);
void flo_talk_said_deinit(struct flo_talk_said *said);

/* ---- an answer ---- */

enum flo_talk_end {
    FLO_TALK_END,     /* the model's own */
    FLO_TALK_LENGTH,  /* max_tokens */
    FLO_TALK_FULL,    /* the context */
    FLO_TALK_STOPPED, /* by the person */
};
/* Zero-initialise. */
struct flo_talk_counts {
    uint64_t prompt, kept; /* tokens, and those that were computed before */
    uint64_t answer;       /* tokens */
    uint64_t prompt_us, answer_us;
    enum flo_talk_end end;
};
/* One question. */
struct flo_asking {
    const struct flo_engine_message *messages;
    size_t count;
    const struct flo_talk_settings *settings;
    struct flo_talk_said *said; /* written to stdout as it grows */
    int stop_fd;                /* readable: stop, and do not read it; -1: nobody stops */
};
/* Does the person want the answer to stop? */
bool flo_asking_stops(const struct flo_asking *asking);

/* Someone who answers. */
struct flo_talker {
    void *state;
    /* FLO_E_INFER_TOO_LONG: the conversation is longer than the context, with
     * the numbers.  Nothing has been said then. */
    int (*answer)(void *state, const struct flo_asking *asking, struct flo_talk_counts *counts,
                  struct flo_err *err);
    /* Lines of /show about the model; the context's size, 0: not known. */
    uint64_t (*show)(void *state, struct flo_buf *out);
    int (*show_template)(void *state, struct flo_buf *out, struct flo_err *err);
};

/* ---- local.c ---- */

/* A model of this process, and the tokens that it holds.  Zero-initialise. */
struct flo_local {
    struct flo_tool_answer answer;
    int32_t *held; /* [context] */
    size_t held_count;
    int32_t *prompt; /* [prompt_max]: the next one */
    size_t count, prompt_max;
    uint64_t piece; /* tokens of a prompt that are computed together */
    bool is_raw;    /* the prompt is no conversation: nothing is a thought */
    /* Reader of thoughts, during an answer; or NULL. */
    struct flo_call_reader *reader;
    struct flo_engine_stream stream;
    struct flo_buf text; /* text of tokens */
};
FLO_MUST_USE int flo_local_open(struct flo_local *local, const struct flo_tool *tool,
                                struct flo_err *err);
void flo_local_close(struct flo_local *local);
/* Make the conversation local->prompt.  FLO_E_INFER_TOO_LONG tells its tokens
 * and the context's; errors of flo_engine_chat_with(). */
FLO_MUST_USE int flo_local_prompt(struct flo_local *local, const struct flo_asking *asking,
                                  struct flo_err *err);
/* Answer local->prompt, of which the held tokens are not computed again.
 * asking->messages do not count. */
FLO_MUST_USE int flo_local_answer(struct flo_local *local, const struct flo_asking *asking,
                                  struct flo_talk_counts *counts, struct flo_err *err);
void flo_local_talker(struct flo_local *local, struct flo_talker *out);

/* ---- event.c ---- */

/* An event of the local API's stream; texts lie in its data. */
struct flo_talk_event {
    struct flo_wire_text text, thought; /* UTF-8 */
    bool has_finish, is_length;
    bool has_usage;
    uint64_t prompt, kept, answer; /* tokens */
    double prompt_ms, token_ms;    /* 0: not told */
};
/* FLO_E_NET_CONTENT: no such event; or the error that the API tells, by its
 * code and with its fix. */
FLO_MUST_USE int flo_talk_event_read(char *data, size_t bytes, struct flo_tree *tree,
                                     struct flo_talk_event *out, struct flo_err *err);
/* The error in the body of an answer with this status. */
int flo_talk_event_fail(char *data, size_t bytes, int status, struct flo_tree *tree,
                        struct flo_err *err);

/* ---- served.c ---- */

/* A model behind the local API of this machine.  Zero-initialise. */
struct flo_served {
    const char *model; /* name of the model */
    char socket[108];  /* "": the port */
    uint16_t port;
    char called[140]; /* "the local API at PATH" */
    struct flo_peer peer;
    char *token; /* NULL: none */
    uint64_t context;
};
/* Find the model.  `address` is unix:PATH, a path, or http://127.0.0.1:PORT;
 * NULL: the standard socket.
 *
 * FLO_E_USAGE            another kind of address, a file without a token
 * FLO_E_NET_UNREACHABLE  nobody serves there
 * FLO_E_INFER_MODEL      the model is not served (the sentence names those
 *                        that are), or no model can have the name
 * others: as the API tells them, and of reading the token's file */
FLO_MUST_USE int flo_served_open(struct flo_served *served, const char *address,
                                 const char *token_file, const char *model, struct flo_err *err);
void flo_served_close(struct flo_served *served);
FLO_MUST_USE int flo_served_answer(struct flo_served *served, const struct flo_asking *asking,
                                   struct flo_talk_counts *counts, struct flo_err *err);
void flo_served_talker(struct flo_served *served, struct flo_talker *out);

/* ---- console.c ---- */

enum flo_console_event {
    FLO_CONSOLE_LINE,
    FLO_CONSOLE_STOP, /* Ctrl-C: what was typed is gone */
    FLO_CONSOLE_END,  /* Ctrl-D, or no terminal any more */
};
/* The terminal of a chat.  Zero-initialise. */
struct flo_console {
    FILE *notes; /* all but the model's text: stdout, or stderr */
    int stops;   /* descriptor, readable once Ctrl-C was typed; -1: none */
    struct flo_buf typed;
    size_t used; /* bytes that the last line used */
};
/* Is it a terminal, and does it take colours (NO_COLOR, TERM)? */
bool flo_console_is_terminal(int fd);
bool flo_console_has_colour(int fd);
/* From here on Ctrl-C ends nothing. */
FLO_MUST_USE int flo_console_open(struct flo_console *console, struct flo_err *err);
void flo_console_close(struct flo_console *console);
/* Wait for a line; it has no line end and is valid until the next call. */
FLO_MUST_USE int flo_console_read(struct flo_console *console, enum flo_console_event *event,
                                  const char **line, size_t *bytes, struct flo_err *err);
/* Was Ctrl-C typed since the last call? */
bool flo_console_was_stopped(struct flo_console *console);
/* said->shown to stdout; it is empty then. */
FLO_MUST_USE int flo_talk_said_print(struct flo_talk_said *said, struct flo_err *err);

/* ---- chat.c ---- */

/* Talk until the person leaves. */
FLO_MUST_USE int flo_chat(const struct flo_talker *talker, struct flo_talk_settings *settings,
                          struct flo_err *err);

#endif
