/* Talk: lets a person chat with a model in a terminal, or ask a single
 * question.
 *
 *   settings.c  values that a person may set
 *   input.c     lines to whole texts
 *   command.c   lines that begin with "/"
 *   history.c   the turns so far
 *   said.c      a model's text, made safe for a terminal
 *   console.c   the terminal
 *   local.c     a model in this process
 *   served.c    a model behind the local API
 *   chat.c      the conversation
 *   event.c     an event of the local API's stream
 *
 * settings.c, input.c, command.c, history.c, said.c and event.c do no I/O. */
#ifndef FLOTILLA_ENGINE_TALK_H
#define FLOTILLA_ENGINE_TALK_H

#include <flotilla/engine_wire.h>

#include "base/tree/tree.h"
#include "engine/http/http.h"
#include "engine/tools/common.h"

/* ---- settings.c ---- */

/* Values of the settings in settings.def.  Zero-initialise, then call
 * flo_talk_settings_init(). */
struct flo_talk_settings {
    double temperature, top_p, min_p, repeat_penalty;
    uint64_t top_k, repeat_last_n, seed;
    uint64_t max_tokens; /* most tokens of an answer; 0: until the context is full */
    uint64_t thinking;   /* enum flo_thinking */
    char *system;        /* NULL: none */
};
void flo_talk_settings_init(struct flo_talk_settings *settings);
void flo_talk_settings_deinit(struct flo_talk_settings *settings);
/* Returns the row of a setting by its name ("top_p") or flag ("top-p"); -1 if
 * there is none. */
int flo_talk_setting_find(const char *word);
/* Returns the flag of a row, or NULL after the last row. */
const char *flo_talk_setting_flag(int row);
/* Sets the value of the setting in row `row` of settings.def from text.
 * "default" restores the initial value.  FLO_E_USAGE names the setting as
 * `called`, with the value and the range, and nothing changes.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_talk_setting_put(struct flo_talk_settings *settings, int row,
                                      const char *called, const char *text, struct flo_err *err);
/* Runs the command /set with its words, which are NAME VALUE, or "" to list all
 * settings.  `out` gets the answer.  FLO_E_USAGE also for an unknown name; the
 * error suggests a similar one. */
FLO_MUST_USE int flo_talk_settings_set(struct flo_talk_settings *settings, const char *words,
                                       struct flo_buf *out, struct flo_err *err);
/* Writes all settings but the system message, as in "temperature 0, top_p
 * 1". */
void flo_talk_settings_tell(const struct flo_talk_settings *settings, struct flo_buf *out);
void flo_talk_settings_sampling(const struct flo_talk_settings *settings, struct flo_sampling *out);
/* Writes the settings as members of a request to the local API, with a comma
 * before each. */
void flo_talk_settings_json(const struct flo_talk_settings *settings, struct flo_buf *out);

/* ---- input.c ---- */

#define FLO_INPUT_BYTES_MAX (1u << 20)

enum flo_talk_input_kind {
    FLO_INPUT_MORE,    /* the text continues in the next line */
    FLO_INPUT_NOTHING, /* only blanks */
    FLO_INPUT_TEXT,
    FLO_INPUT_COMMAND, /* the line is a command; the text is the line without its slash */
    FLO_INPUT_LONG,    /* the text was longer than FLO_INPUT_BYTES_MAX and is discarded */
};
/* State of collecting lines until a text is complete.  Zero-initialise.  A line
 * that ends with a backslash continues in the next one.  A text between two """
 * may have many lines.  The opening mark begins a line or a command's last
 * word; the closing mark ends a line. */
struct flo_talk_input {
    struct flo_buf text; /* the text, with a NUL at its end; valid until the next line */
    bool is_block, is_continued;
    bool is_plain; /* the text began with """, so it is no command */
};
/* Takes a line without its end.  Escape sequences, such as those of arrow keys,
 * and control characters except tab are removed.  Bytes that are no UTF-8
 * become U+FFFD. */
enum flo_talk_input_kind flo_talk_input_line(struct flo_talk_input *input, const char *line,
                                             size_t bytes);
/* Tells whether a text has begun that is not complete yet. */
bool flo_talk_input_is_open(const struct flo_talk_input *input);
/* Drops a text that is not complete. */
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
/* Parses a command's line without its slash.  *rest are the words after the
 * command.  FLO_E_USAGE: the command is unknown (the error suggests a similar
 * one), or it does not take these words. */
FLO_MUST_USE int flo_talk_command(const char *line, enum flo_talk_command *command,
                                  const char **rest, struct flo_err *err);
/* Text of the command /help, also printed at the end of --help. */
extern const char flo_talk_help[];

/* ---- history.c ---- */

/* Most turns in a request.  The local API accepts two messages more. */
#define FLO_HISTORY_MAX 254

/* Turns of a conversation, by user and assistant in alternation.  The history
 * owns their texts.  Zero-initialise. */
struct flo_history {
    struct flo_engine_message turns[FLO_HISTORY_MAX + 2];
    size_t count;
};
/* Adds a turn.  The caller makes sure that there is room.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_history_add(struct flo_history *history, const char *role, const char *text,
                                 size_t bytes, struct flo_err *err);
/* Returns where the newer half of the turns from `from` on begins.  The
 * conversation ends with a question, and an answer stays with its question.
 * Returns `from` if only the question is left. */
size_t flo_history_younger(const struct flo_history *history, size_t from);
/* Drops the first `count` turns. */
void flo_history_drop(struct flo_history *history, size_t count);
/* Drops all turns but the first `count`. */
void flo_history_cut(struct flo_history *history, size_t count);
/* Lists the turns from `from` on as messages, at most FLO_HISTORY_MAX + 1.  A
 * system message (NULL: none) comes first.  Returns the number of messages. */
size_t flo_history_messages(const struct flo_history *history, size_t from, const char *system,
                            struct flo_engine_message out[FLO_HISTORY_MAX + 2]);

/* ---- said.c ---- */

/* Appends a text that is safe for a terminal.  Control characters except
 * newline and tab, and bytes that are no UTF-8, become U+FFFD.  Carriage
 * returns are removed. */
void flo_talk_safe(const char *text, size_t bytes, struct flo_buf *out);

/* State of showing an answer to a person.  Zero-initialise, then set
 * is_terminal and has_colour. */
struct flo_talk_said {
    bool is_terminal; /* text is made safe for a terminal; if false, it is not changed */
    bool has_colour;  /* thoughts are shown dim; if false, words mark them */
    bool is_thought, skips_blanks, is_line_open;
    struct flo_buf text;  /* text of the answer without its thoughts, as the model wrote it */
    struct flo_buf shown; /* text to be written next; the caller writes and empties it */
};
void flo_talk_said_begin(struct flo_talk_said *said);
/* Adds a piece of the answer's text, of whole characters. */
void flo_talk_said_add(struct flo_talk_said *said, const char *text, size_t bytes);
/* Adds a piece of a thought, of whole characters. */
void flo_talk_said_think(struct flo_talk_said *said, const char *text, size_t bytes);
/* Adds a line end, unless a terminal already shows one. */
void flo_talk_said_end(struct flo_talk_said *said);
void flo_talk_said_deinit(struct flo_talk_said *said);

/* ---- an answer ---- */

enum flo_talk_end {
    FLO_TALK_END,     /* the model ended the answer */
    FLO_TALK_LENGTH,  /* max_tokens */
    FLO_TALK_FULL,    /* the context is full */
    FLO_TALK_STOPPED, /* the person stopped the answer */
};
/* Zero-initialise. */
struct flo_talk_counts {
    uint64_t prompt, kept; /* tokens of the prompt, and how many of them were in the cache */
    uint64_t answer;       /* tokens */
    uint64_t prompt_us, answer_us;
    enum flo_talk_end end;
};
/* A question to a model, and how it is to be answered. */
struct flo_asking {
    const struct flo_engine_message *messages;
    size_t count;
    const struct flo_talk_settings *settings;
    struct flo_talk_said *said; /* takes the answer; its text is written to stdout meanwhile */
    /* descriptor that stops the answer once it is readable, and is never read;
     * -1: none */
    int stop_fd;
};
/* Tells whether the person has asked to stop the answer. */
bool flo_asking_stops(const struct flo_asking *asking);

/* Functions that give answers, of a local or a served model. */
struct flo_talker {
    void *state;
    /* Answers a question.  FLO_E_INFER_TOO_LONG names the numbers of tokens:
     * the conversation exceeds the context, and nothing was answered. */
    int (*answer)(void *state, const struct flo_asking *asking, struct flo_talk_counts *counts,
                  struct flo_err *err);
    /* Writes what /show says about the model.  Returns the size of the context
     * in tokens, or 0 if it is unknown. */
    uint64_t (*show)(void *state, struct flo_buf *out);
    int (*show_template)(void *state, struct flo_buf *out, struct flo_err *err);
};

/* ---- local.c ---- */

/* A model in this process, and the tokens in its cache.  Zero-initialise. */
struct flo_local {
    struct flo_tool_answer answer;
    int32_t *held; /* [context] */
    size_t held_count;
    int32_t *prompt; /* [prompt_max]: tokens of the prompt to be answered next */
    size_t count, prompt_max;
    uint64_t piece; /* tokens of the prompt computed in one call */
    bool is_raw;    /* the prompt is plain text, so the answer has no thoughts */
    /* separates thoughts from the answer; NULL: none */
    struct flo_call_reader *reader;
    struct flo_engine_stream stream;
    struct flo_buf text; /* text of tokens */
};
FLO_MUST_USE int flo_local_open(struct flo_local *local, const struct flo_tool *tool,
                                struct flo_err *err);
void flo_local_close(struct flo_local *local);
/* Renders the conversation into local->prompt.  FLO_E_INFER_TOO_LONG names its
 * tokens and those of the context.  Returns also the errors of
 * flo_engine_chat_with(). */
FLO_MUST_USE int flo_local_prompt(struct flo_local *local, const struct flo_asking *asking,
                                  struct flo_err *err);
/* Answers local->prompt, and ignores asking->messages.  Tokens in the cache are
 * not computed again. */
FLO_MUST_USE int flo_local_answer(struct flo_local *local, const struct flo_asking *asking,
                                  struct flo_talk_counts *counts, struct flo_err *err);
void flo_local_talker(struct flo_local *local, struct flo_talker *out);

/* ---- event.c ---- */

/* One event of the local API's stream.  Its texts point into the event's
 * data. */
struct flo_talk_event {
    struct flo_wire_text text, thought; /* UTF-8 */
    bool has_finish, is_length;
    bool has_usage;
    uint64_t prompt, kept, answer; /* tokens */
    double prompt_ms, token_ms;    /* 0: not reported */
};
/* Parses an event.  FLO_E_NET_CONTENT: the event is not valid.  If the event
 * reports an error, that is returned, with its code and fix. */
FLO_MUST_USE int flo_talk_event_read(char *data, size_t bytes, struct flo_tree *tree,
                                     struct flo_talk_event *out, struct flo_err *err);
/* Returns the error that the body of an answer with this status reports. */
int flo_talk_event_fail(char *data, size_t bytes, int status, struct flo_tree *tree,
                        struct flo_err *err);

/* ---- served.c ---- */

/* A model that the local API of this machine serves.  Zero-initialise. */
struct flo_served {
    const char *model; /* the model's name */
    char socket[108];  /* "": the port */
    uint16_t port;
    char called[140]; /* name of the API in messages, such as "the local API at PATH" */
    struct flo_peer peer;
    char *token; /* NULL: none */
    uint64_t context;
};
/* Finds a model that is served.  `address` is unix:PATH, a path, or
 * http://127.0.0.1:PORT; NULL: the default socket.
 *
 * FLO_E_USAGE            the address is of another kind, or the file has no
 *                        token
 * FLO_E_NET_UNREACHABLE  no server listens there
 * FLO_E_INFER_MODEL      the model is not served (the error names those that
 *                        are), or its name is invalid
 * other                  an error of the API, or of reading the token's file */
FLO_MUST_USE int flo_served_open(struct flo_served *served, const char *address,
                                 const char *token_file, const char *model, struct flo_err *err);
void flo_served_close(struct flo_served *served);
FLO_MUST_USE int flo_served_answer(struct flo_served *served, const struct flo_asking *asking,
                                   struct flo_talk_counts *counts, struct flo_err *err);
void flo_served_talker(struct flo_served *served, struct flo_talker *out);

/* ---- console.c ---- */

enum flo_console_event {
    FLO_CONSOLE_LINE,
    FLO_CONSOLE_STOP, /* Ctrl-C was typed, and the typed line is discarded */
    FLO_CONSOLE_END,  /* Ctrl-D was typed, or the terminal is gone */
};
/* The terminal of a chat; zero-initialise. */
struct flo_console {
    FILE *notes; /* stdout or stderr, for all output but the model's text */
    int stops;   /* descriptor that is readable after Ctrl-C; -1: none */
    struct flo_buf typed;
    size_t used; /* bytes of `typed` that were already given as lines */
};
/* Two functions: the first tells whether fd is a terminal, the second whether
 * the terminal shows colours (NO_COLOR, TERM). */
bool flo_console_is_terminal(int fd);
bool flo_console_has_colour(int fd);
/* Opens the terminal.  From here on Ctrl-C no longer ends the process. */
FLO_MUST_USE int flo_console_open(struct flo_console *console, struct flo_err *err);
void flo_console_close(struct flo_console *console);
/* Waits for a line, Ctrl-C or the end.  The line has no line end and is valid
 * until the next call. */
FLO_MUST_USE int flo_console_read(struct flo_console *console, enum flo_console_event *event,
                                  const char **line, size_t *bytes, struct flo_err *err);
/* Tells whether Ctrl-C was typed since the last call. */
bool flo_console_was_stopped(struct flo_console *console);
/* Writes said->shown to stdout and empties it. */
FLO_MUST_USE int flo_talk_said_print(struct flo_talk_said *said, struct flo_err *err);

/* ---- chat.c ---- */

/* Runs the chat until the person leaves it. */
FLO_MUST_USE int flo_chat(const struct flo_talker *talker, struct flo_talk_settings *settings,
                          struct flo_err *err);

#endif
