/* Chat: runs a person's conversation with a model. */
#include "engine/talk/talk.h"

#include <string.h>
#include <unistd.h>

#include <flotilla/plural.h>

#define PROMPT ">>> "
#define PROMPT_MORE "... "
#define LEAVING "(Ctrl-D or /bye leaves)\n"

struct chat {
    const struct flo_talker *talker;
    struct flo_talk_settings *settings;
    struct flo_console console;
    struct flo_talk_input input;
    struct flo_history history;
    struct flo_talk_said said;
    struct flo_talk_counts last;
    uint64_t context;    /* 0: not known */
    size_t asked;        /* number of turns, with the last question */
    size_t dropped;      /* number of oldest turns dropped so that the prompt fits */
    struct flo_err full; /* why */
};

/* Prints an error in one line.  The conversation goes on. */
static void tell_error(const struct chat *chat, const struct flo_err *err)
{
    const char *fix = err->fix[0] != '\0'        ? err->fix
                      : err->code != FLO_E_USAGE ? flo_error_fix(err->code)
                                                 : "";

    fprintf(chat->console.notes, "%s%s%s\n", err->what, fix[0] != '\0' ? "; " : "", fix);
}

static void print(const struct chat *chat, struct flo_buf *text)
{
    if (!text->failed && text->bytes > 0) {
        fwrite(text->data, 1, text->bytes, chat->console.notes);
    }
    flo_buf_deinit(text);
}

/* ---- questions ---- */

/* Asks the last question.  While the conversation exceeds the context, its
 * older half is left out.  Only after an answer are these turns dropped for
 * good. */
static int ask(struct chat *chat, struct flo_err *err)
{
    struct flo_engine_message messages[FLO_HISTORY_MAX + 2];
    struct flo_history *history = &chat->history;
    struct flo_asking asking = {.messages = messages,
                                .settings = chat->settings,
                                .said = &chat->said,
                                .stop_fd = chat->console.stops};
    size_t from = 0, next;
    int rv;

    chat->asked = history->count;
    if (history->count > FLO_HISTORY_MAX) {
        flo_fail(&chat->full, FLO_E_INFER_TOO_LONG, "more than %d turns", FLO_HISTORY_MAX);
        from = flo_history_younger(history, 0);
    }
    for (;; from = next) {
        asking.count = flo_history_messages(history, from, chat->settings->system, messages);
        rv = chat->talker->answer(chat->talker->state, &asking, &chat->last, err);
        next = rv == FLO_E_INFER_TOO_LONG ? flo_history_younger(history, from) : from;
        if (next == from) {
            break;
        }
        chat->full = from == 0 ? *err : chat->full;
    }
    chat->dropped = rv == 0 ? from : 0;
    flo_history_drop(history, chat->dropped);
    return rv;
}

/* Adds the answer to the history.  If there is no answer, the question is
 * removed, because templates need alternating turns. */
static int keep(struct chat *chat, struct flo_err *err)
{
    struct flo_history *history = &chat->history;
    const struct flo_buf *text = &chat->said.text;

    if (chat->last.end == FLO_TALK_STOPPED && text->bytes == 0) {
        flo_history_cut(history, history->count - 1);
        return 0;
    }
    return flo_history_add(history, "assistant", text->data, text->bytes, err);
}

static void tell_end(const struct chat *chat)
{
    const struct flo_talk_counts *last = &chat->last;
    FILE *notes = chat->console.notes;

    if (chat->dropped > 0) {
        fprintf(notes,
                "[the context was full (%s): the oldest %zu of %zu turns are "
                "left out; /clear leaves out all]\n",
                chat->full.what, chat->dropped, chat->asked);
    }
    if (last->end == FLO_TALK_LENGTH) {
        fprintf(notes, "[max_tokens: %llu of %llu]\n", (unsigned long long)last->answer,
                (unsigned long long)chat->settings->max_tokens);
    } else if (last->end == FLO_TALK_FULL) {
        unsigned long long used = last->prompt + last->answer;
        fprintf(notes,
                "[the context is full: %llu of %llu tokens; the answer ends "
                "here]\n",
                used, chat->context > 0 ? (unsigned long long)chat->context : used);
    } else if (last->end == FLO_TALK_STOPPED) {
        fprintf(notes, "[stopped%s]\n",
                chat->said.text.bytes == 0 ? " before an answer; the question is left out"
                                           : "; what was said is kept");
    }
}

static int take_text(struct chat *chat, struct flo_err *err)
{
    struct flo_history *history = &chat->history;

    FLO_TRY(flo_history_add(history, "user", chat->input.text.data, chat->input.text.bytes, err));
    int rv = ask(chat, err);
    if (flo_console_was_stopped(&chat->console)) {
        chat->last.end = FLO_TALK_STOPPED;
    }
    if (rv < 0) {
        flo_history_cut(history, history->count - 1);
        return rv;
    }
    rv = keep(chat, err);
    tell_end(chat);
    return rv;
}

/* ---- commands ---- */

static void show(struct chat *chat)
{
    const struct flo_talk_counts *last = &chat->last;
    struct flo_buf out = {0};
    double seconds = (double)last->answer_us / 1e6;

    chat->context = chat->talker->show(chat->talker->state, &out);
    flo_buf_printf(&out, "context   %llu of ", (unsigned long long)(last->prompt + last->answer));
    if (chat->context > 0) {
        flo_buf_printf(&out, "%llu tokens", (unsigned long long)chat->context);
    } else {
        flo_buf_text(&out, "unknown");
    }
    flo_buf_printf(&out, ", %zu turn%s\n", chat->history.count, flo_s(chat->history.count));
    flo_buf_printf(&out,
                   "last      %llu token%s, %.1f tokens/s; of the prompt %llu "
                   "computed, %llu kept\n",
                   (unsigned long long)last->answer, flo_s(last->answer),
                   seconds > 0 ? (double)last->answer / seconds : 0,
                   (unsigned long long)(last->prompt - last->kept), (unsigned long long)last->kept);
    flo_buf_text(&out, "values    ");
    flo_talk_settings_tell(chat->settings, &out);
    flo_buf_text(&out, "\nsystem    ");
    const char *system = chat->settings->system;
    system = system != NULL ? system : "none";
    flo_talk_safe(system, strlen(system), &out);
    flo_buf_text(&out, "\n");
    print(chat, &out);
}

static int show_what(struct chat *chat, const char *words, struct flo_err *err)
{
    struct flo_buf out = {0};

    if (words[0] == '\0') {
        show(chat);
        return 0;
    }
    if (strcmp(words, "template") != 0) {
        return flo_fail(err, FLO_E_USAGE, "`/show %.40s` shows nothing: /show, or /show template",
                        words);
    }
    int rv = chat->talker->show_template(chat->talker->state, &out, err);
    print(chat, &out);
    return rv;
}

static int set(struct chat *chat, const char *words, struct flo_err *err)
{
    struct flo_buf out = {0};
    int rv = flo_talk_settings_set(chat->settings, words, &out, err);

    print(chat, &out);
    return rv;
}

/* 1: leave. */
static int take_command(struct chat *chat, struct flo_err *err)
{
    enum flo_talk_command command;
    const char *words;

    FLO_TRY(flo_talk_command(chat->input.text.data, &command, &words, err));
    switch (command) {
    case FLO_TALK_SET:
        return set(chat, words, err);
    case FLO_TALK_SHOW:
        return show_what(chat, words, err);
    case FLO_TALK_CLEAR:
        flo_history_cut(&chat->history, 0);
        chat->last = (struct flo_talk_counts){0};
        return 0;
    case FLO_TALK_HELP:
        fputs(flo_talk_help, chat->console.notes);
        return 0;
    default:
        return 1;
    }
}

/* ---- lines ---- */

/* 1: leave. */
static int take_line(struct chat *chat, const char *line, size_t bytes, struct flo_err *err)
{
    switch (flo_talk_input_line(&chat->input, line, bytes)) {
    case FLO_INPUT_TEXT:
        return take_text(chat, err);
    case FLO_INPUT_COMMAND:
        return take_command(chat, err);
    case FLO_INPUT_LONG:
        return flo_fail(err, FLO_E_USAGE, "the text has more than %u bytes: it is left out",
                        FLO_INPUT_BYTES_MAX);
    default:
        return 0;
    }
}

static int turn(struct chat *chat, struct flo_err *err)
{
    struct flo_err why = {0};
    enum flo_console_event event;
    const char *line;
    size_t bytes;
    FILE *notes = chat->console.notes;

    fputs(flo_talk_input_is_open(&chat->input) ? PROMPT_MORE : PROMPT, notes);
    fflush(notes);
    int rv = flo_console_read(&chat->console, &event, &line, &bytes, err);
    FLO_TRY(rv);
    if (event == FLO_CONSOLE_LINE) {
        rv = take_line(chat, line, bytes, &why);
        if (rv < 0) {
            tell_error(chat, &why);
        }
        return rv > 0;
    }
    fputs("\n", notes);
    if (event == FLO_CONSOLE_STOP) {
        fputs(LEAVING, notes);
        flo_talk_input_drop(&chat->input);
    }
    return event == FLO_CONSOLE_END;
}

int flo_chat(const struct flo_talker *talker, struct flo_talk_settings *settings,
             struct flo_err *err)
{
    struct chat chat = {
        .talker = talker,
        .settings = settings,
        .said = {.is_terminal = flo_console_is_terminal(STDOUT_FILENO),
                 .has_colour = flo_console_has_colour(STDOUT_FILENO)},
    };
    struct flo_buf begin = {0};
    int rv = flo_console_open(&chat.console, err);

    if (rv == 0) {
        chat.context = talker->show(talker->state, &begin);
        flo_buf_text(&begin, "/help lists the commands; Ctrl-D leaves\n");
        print(&chat, &begin);
    }
    while (rv == 0) {
        rv = turn(&chat, err);
    }
    flo_history_cut(&chat.history, 0);
    flo_talk_said_deinit(&chat.said);
    flo_talk_input_deinit(&chat.input);
    flo_console_close(&chat.console);
    FLO_TRY(rv);
    return 0;
}
