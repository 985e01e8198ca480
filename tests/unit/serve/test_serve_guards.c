/* Guards: programs and models look at prompts and answers; nothing goes on that
 * they did not let go, and none of their processes is left. */
#include "unit/serve/serve_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>

#define PASS "cat >/dev/null; echo '{\"verdict\":\"pass\"}'"
#define REFUSE "cat >/dev/null; echo '{\"verdict\":\"refuse\",\"reason\":\"no ovens\"}'"
#define EDIT_PROMPT                                                                                \
    "cat >/dev/null; echo '{\"verdict\":\"edit\",\"text\":\"What should I do "                     \
    "about smoke detected on camera-68?\"}'"
#define EDIT_ANSWER "cat >/dev/null; echo '{\"verdict\":\"edit\",\"text\":\"all is well\"}'"
#define COMPLETION                                                                                 \
    "{\"prompt\":\"Classify: 23:45\",\"max_tokens\":2,\"temperature\":0,"                          \
    "\"ignore_eos\":true}"

#define BATCH                                                                                      \
    "{\"prompt\":\"Classify: 23:45 oven-95 voltage drop temp=35C\","                               \
    "\"max_tokens\":2,\"temperature\":0,\"ignore_eos\":true,"                                      \
    "\"priority\":\"batch\"}"

static struct client client;
static struct flo_serve_guard guards[3];
static uint32_t n_guards;
static bool is_open;

/* After a failed test there are processes of it, which others would count. */
static int set_up(void **state)
{
    (void)state;
    if (is_open) {
        return -1;
    }
    memset(guards, 0, sizeof(guards));
    memset(&client, 0, sizeof(client));
    n_guards = 0;
    return 0;
}

/* A shell script that looks at one stage; more of it may be set then. */
static struct flo_serve_guard *add(const char *name, enum flo_guard_stage stage, const char *script)
{
    struct flo_serve_guard *guard = &guards[n_guards++];
    const char *const words[] = {"/bin/sh", "-c", script};
    char *at = guard->words;

    strcpy(guard->name, name);
    guard->looks_at[stage] = true;
    guard->ms_max = WAITS_HANG_MS;
    for (; guard->n_words < FLO_COUNT(words); guard->n_words++) {
        strcpy(at, words[guard->n_words]);
        at += strlen(at) + 1;
    }
    return guard;
}

static void open_world(void)
{
    is_open = true;
    world_open_guarded(NULL, guards, n_guards);
    open_current(V2, "2.0.0");
}

static void close_world(void)
{
    world_close();
    is_open = false;
}

static bool has(const char *text)
{
    return strstr(client.text, text) != NULL;
}

static void chat(void)
{
    ask(&client, "/v1/chat/completions", CHAT);
}

static long verdicts(const char *guard, const char *verdict)
{
    static struct client other;
    char name[128];

    ask(&other, "/metrics", "");
    snprintf(name, sizeof(name), "flotilla_guard_verdicts_total{guard=\"%s\",verdict=\"%s\"} ",
             guard, verdict);
    const char *at = strstr(other.text, name);
    assert_non_null(at);
    return strtol(at + strlen(name), NULL, 10);
}

/* ---- verdicts ---- */

static void what_guards_pass_goes_on_as_it_was(void **state)
{
    (void)state;
    add("before", FLO_GUARD_PROMPT, PASS);
    add("behind", FLO_GUARD_ANSWER, PASS);
    open_world();
    chat();
    assert_int_equal(client.status, 200);
    assert_true(has("\"content\":\"severity: critical\""));
    assert_true(has("\"finish_reason\":\"stop\""));
    assert_true(has("\"total_tokens\":30"));
    assert_int_equal(verdicts("before", "passed"), 1);
    assert_int_equal(verdicts("behind", "passed"), 1);
    close_world();
}

static void a_guard_reads_the_prompt_and_another_one_the_answer(void **state)
{
    char script[256], *text;
    char path[] = "/tmp/flo-guard-XXXXXX";
    size_t bytes;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(script, sizeof(script), "cat >>%s; echo '{\"verdict\":\"pass\"}'", path);
    add("both", FLO_GUARD_PROMPT, script)->looks_at[FLO_GUARD_ANSWER] = true;
    open_world();
    chat();
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/completions", COMPLETION);
    assert_int_equal(flo_file_read(path, 65536, &text, &bytes, NULL), 0);
    assert_non_null(strstr(text, "{\"stage\":\"prompt\",\"model\":\"tiny\",\"app\":null,"
                                 "\"messages\":[{\"role\":\"user\",\"content\":\"Classify: "
                                 "23:45 oven-95 voltage drop temp=35C\"}]}\n"
                                 "{\"stage\":\"answer\",\"model\":\"tiny\",\"app\":null,"
                                 "\"text\":\"severity: critical\"}\n"
                                 "{\"stage\":\"prompt\",\"model\":\"tiny\",\"app\":null,"
                                 "\"text\":\"Classify: 23:45\"}\n"));
    free(text);
    unlink(path);
    close_world();
}

static void a_refused_prompt_never_reaches_the_model(void **state)
{
    (void)state;
    add("words", FLO_GUARD_PROMPT, REFUSE);
    open_world();
    chat();
    assert_int_equal(client.status, 400);
    assert_true(has("\"message\":\"guard words: no ovens\""));
    assert_true(has("\"code\":\"infer.guard\""));
    ask(&client, "/v1/chat/completions", CHAT_STREAM);
    assert_int_equal(client.status, 400);
    assert_int_equal(verdicts("words", "refused"), 2);
    ask(&client, "/metrics", "");
    assert_true(has("\nflotilla_model_requests_total{model=\"tiny\"} 0\n"));
    assert_int_equal(world.requests_of[0], 0); /* no release is judged */
    close_world();
}

static void a_refused_answer_is_an_error_of_its_release(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, REFUSE);
    open_world();
    chat();
    assert_int_equal(client.status, 400);
    assert_true(has("guard words: no ovens"));
    assert_false(has("severity"));
    ask(&client, "/v1/chat/completions", CHAT_STREAM);
    assert_int_equal(client.status, 400);
    RUN_UNTIL(world.n_told == 2);
    assert_int_equal(world.told[0].error, FLO_E_INFER_GUARD);
    assert_int_equal(world.told[0].tokens_in, 27);
    assert_int_equal(world.told[0].tokens_out, 3);
    close_world();
}

static void an_edited_prompt_is_the_one_that_the_model_reads(void **state)
{
    static struct client plain;
    (void)state;
    is_open = true;
    world_open();
    open_current(V2, "2.0.0");
    ask(&plain, "/v1/chat/completions",
        "{\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":"
        "\"What should I do about smoke detected on camera-68?\"}]}");
    close_world();
    add("words", FLO_GUARD_PROMPT, EDIT_PROMPT);
    open_world();
    chat();
    assert_int_equal(client.status, 200);
    const char *at = strstr(client.text, "\"content\":");
    const char *wanted = strstr(plain.text, "\"content\":");
    size_t chars = strcspn(wanted, "}");
    assert_memory_equal(at, wanted, chars);
    ask(&client, "/v1/completions", COMPLETION);
    assert_int_equal(client.status, 200);
    assert_int_equal(verdicts("words", "edited"), 2);
    close_world();
}

static void an_edited_answer_is_the_one_that_the_client_gets(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, EDIT_ANSWER);
    open_world();
    ask(&client, "/v1/chat/completions",
        "{\"temperature\":0,\"logprobs\":true,\"messages\":[{\"role\":\"user\","
        "\"content\":\"Classify: 23:45 oven-95 voltage drop temp=35C\"}]}");
    assert_int_equal(client.status, 200);
    assert_true(has("\"content\":\"all is well\""));
    assert_true(has("\"logprobs\":null"));
    assert_false(has("severity"));
    ask(&client, "/v1/completions", COMPLETION);
    assert_true(has("\"text\":\"all is well\""));
    close_world();
}

static void each_guard_looks_at_what_the_one_before_let_go(void **state)
{
    (void)state;
    add("first", FLO_GUARD_ANSWER, EDIT_ANSWER);
    add("second", FLO_GUARD_ANSWER,
        "grep -q 'all is well' && echo '{\"verdict\":\"edit\",\"text\":"
        "\"twice\"}'");
    open_world();
    chat();
    assert_true(has("\"content\":\"twice\""));
    close_world();
}

static void a_guarded_stream_is_one_piece(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, PASS);
    open_world();
    ask(&client, "/v1/chat/completions",
        "{\"stream\":true,\"temperature\":0,\"logprobs\":true,"
        "\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":"
        "\"user\",\"content\":\"Classify: 23:45 oven-95 voltage drop "
        "temp=35C\"}]}");
    assert_int_equal(client.status, 200);
    assert_true(has("Content-Type: text/event-stream"));
    assert_true(has("\"delta\":{\"content\":\"severity: critical\"}"));
    assert_true(has("\"finish_reason\":\"stop\""));
    assert_true(has("\"logprob\":"));
    assert_true(has("\"total_tokens\":30"));
    assert_true(has("data: [DONE]"));
    close_world();
}

static void a_guard_looks_at_its_models_alone(void **state)
{
    struct flo_serve_guard *guard = add("words", FLO_GUARD_PROMPT, REFUSE);
    (void)state;
    guard->n_models = 1;
    strcpy(guard->models[0], "other");
    open_world();
    int before = world.loaded;
    load_as(1, "other", FLO_ROLE_CURRENT, V21, "4.0.0");
    RUN_UNTIL(world.loaded > before);
    chat();
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/completions", "{\"model\":\"other\",\"prompt\":\"a\",\"max_tokens\":1}");
    assert_int_equal(client.status, 400);
    ask(&client, "/v1/models", "");
    assert_true(has("\"id\":\"tiny\"") && has("\"guards\":[]"));
    assert_true(has("\"guards\":[{\"name\":\"words\",\"stages\":[\"prompt\"]}]"));
    close_world();
}

/* Its name is known when its engine is. */
static void a_request_that_came_before_its_model_is_guarded(void **state)
{
    struct flo_serve_guard *guard = add("words", FLO_GUARD_PROMPT, REFUSE);
    (void)state;
    guard->n_models = 1;
    strcpy(guard->models[0], "tiny");
    is_open = true;
    world_open_guarded(NULL, guards, n_guards);
    client_start(&client, "/v1/chat/completions", CHAT, false);
    RUN_UNTIL(LOOK_INSIDE(world.serve->n_held) == 1);
    open_current(V2, "2.0.0");
    client_end(&client);
    assert_int_equal(client.status, 400);
    close_world();
}

/* ---- each front ---- */

#define SAYS                                                                                       \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Classify: "                                    \
    "23:45 oven-95 voltage drop temp=35C\"}]"
#define OLLAMA_SET "\"model\":\"tiny\",\"options\":{\"temperature\":0}"

/* A chat of each front: streamed, and how its stream and its error look. */
static const struct {
    const char *path, *body, *piece, *error;
} fronts[] = {
    {"/v1/chat/completions", "{" SAYS ",\"temperature\":0,\"stream\":true}",
     "\"delta\":{\"content\":\"all is well\"}",
     "{\"error\":{\"message\":\"guard words: no ovens\""},
    {"/v1/completions", "{\"prompt\":\"a\",\"temperature\":0,\"max_tokens\":9,\"stream\":true}",
     "\"text\":\"all is well\"", "{\"error\":{\"message\":\"guard words: no ovens\""},
    {"/v1/responses",
     "{\"temperature\":0,\"stream\":true,\"input\":\"Classify: 23:45 oven-95 "
     "voltage drop temp=35C\"}",
     "\"delta\":\"all is well\"", "{\"error\":{\"message\":\"guard words: no ovens\""},
    {"/api/chat", "{" OLLAMA_SET "," SAYS "}",
     "\"message\":{\"role\":\"assistant\",\"content\":\"all is well\"},"
     "\"done\":false}",
     "{\"error\":\"guard words: no ovens; "},
    {"/api/generate", "{" OLLAMA_SET ",\"prompt\":\"a\"}",
     "\"response\":\"all is well\",\"done\":false}", "{\"error\":\"guard words: no ovens; "},
    {"/v1/messages", "{\"max_tokens\":40," SAYS ",\"temperature\":0,\"stream\":true}",
     "\"delta\":{\"type\":\"text_delta\",\"text\":\"all is well\"}",
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
     "\"message\":\"guard words: no ovens; "},
};

static void no_stream_shows_a_word_of_what_a_guard_refused(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, REFUSE);
    open_world();
    for (size_t i = 0; i < FLO_COUNT(fronts); i++) {
        ask(&client, fronts[i].path, fronts[i].body);
        assert_int_equal(client.status, 400);
        const char *body = strstr(client.text, "\r\n\r\n");
        assert_non_null(body);
        assert_memory_equal(body + 4, fronts[i].error, strlen(fronts[i].error));
        assert_false(has("severity"));
    }
    assert_int_equal(verdicts("words", "refused"), FLO_COUNT(fronts));
    close_world();
}

static void each_front_streams_late_in_its_own_form(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, EDIT_ANSWER);
    open_world();
    for (size_t i = 0; i < FLO_COUNT(fronts); i++) {
        ask(&client, fronts[i].path, fronts[i].body);
        assert_int_equal(client.status, 200);
        assert_true(has(fronts[i].piece));
        assert_false(has("severity"));
    }
    close_world();
}

/* The prompt is an engine's all the same; the one token of a count, and of a
 * load, is nobody's. */
static void an_answer_that_is_not_told_is_not_looked_at(void **state)
{
    (void)state;
    add("before", FLO_GUARD_PROMPT, PASS);
    add("behind", FLO_GUARD_ANSWER, REFUSE);
    open_world();
    ask(&client, "/v1/messages/count_tokens", "{" SAYS "}");
    assert_int_equal(client.status, 200);
    assert_true(has("\"input_tokens\":27"));
    assert_int_equal(verdicts("before", "passed"), 1);
    ask(&client, "/api/chat", "{" OLLAMA_SET ",\"messages\":[]}");
    assert_int_equal(client.status, 200);
    assert_int_equal(verdicts("before", "passed"), 1);
    assert_int_equal(verdicts("behind", "refused"), 0);
    close_world();
}

static void each_of_several_answers_is_guarded(void **state)
{
    static const char two[] = "{" SAYS ",\"temperature\":0,\"n\":2,\"stream\":true}";
    (void)state;
    add("words", FLO_GUARD_ANSWER, EDIT_ANSWER);
    open_world();
    ask(&client, "/v1/chat/completions", two);
    assert_int_equal(client.status, 200);
    const char *at = strstr(client.text, "\"content\":\"all is well\"");
    assert_non_null(at);
    assert_non_null(strstr(at + 1, "\"content\":\"all is well\""));
    assert_false(has("severity"));
    assert_int_equal(verdicts("words", "edited"), 2);
    close_world();
    set_up(NULL);
    add("words", FLO_GUARD_ANSWER, REFUSE);
    open_world();
    ask(&client, "/v1/chat/completions", two);
    assert_int_equal(client.status, 400);
    assert_true(has("guard words: no ovens"));
    assert_false(has("severity"));
    close_world();
}

/* ---- tools ---- */

#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define CALLS(more)                                                                                \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]," TOOLS                                 \
    ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"                       \
    "" more "}"
#define MESSAGES_CALLS                                                                             \
    "{\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":\"user\","                          \
    "\"content\":\"a\"}],\"tools\":[{\"name\":\"f\",\"input_schema\":{"                            \
    "\"type\":\"object\"}}],\"tool_choice\":{\"type\":\"tool\",\"name\":"                          \
    "\"f\"}}"

/* Its engine thinks, says the tools as a text, and calls f. */
static void open_with_calls(void)
{
    is_open = true;
    world_open_guarded(HOSTILE_ENGINE, guards, n_guards);
    setenv("FLO_HOSTILE", "calls", 1);
    open_current(V2, "2.0.0");
    unsetenv("FLO_HOSTILE");
}

static void a_guard_can_refuse_a_call_by_its_arguments(void **state)
{
    (void)state;
    add("calls", FLO_GUARD_ANSWER,
        "if grep -q '\"tool_calls\":\\[{\"type\":\"function\",\"function\":"
        "{\"name\":\"f\",\"arguments\":\"{}\"}}\\]'; then echo '{\"verdict\":"
        "\"refuse\",\"reason\":\"no f\"}'; else exit 1; fi");
    open_with_calls();
    ask(&client, "/v1/chat/completions", CALLS(",\"stream\":true"));
    assert_int_equal(client.status, 400);
    assert_true(has("{\"error\":{\"message\":\"guard calls: no f\""));
    assert_false(has("tool_calls"));
    ask(&client, "/v1/messages", MESSAGES_CALLS);
    assert_int_equal(client.status, 400);
    assert_true(has("\"message\":\"guard calls: no f; "));
    assert_false(has("tool_use"));
    close_world();
}

static void a_call_that_is_let_go_reaches_the_client(void **state)
{
    (void)state;
    add("calls", FLO_GUARD_ANSWER,
        "grep -q '\"reasoning_content\":\"hm\"' && echo "
        "'{\"verdict\":\"pass\"}'");
    open_with_calls();
    ask(&client, "/v1/chat/completions", CALLS(",\"stream\":true"));
    assert_int_equal(client.status, 200);
    assert_true(has("\"delta\":{\"reasoning_content\":\"hm\"}"));
    assert_true(has("\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
                    "\"arguments\":\"{}\"}}]}"));
    assert_true(has("\"finish_reason\":\"tool_calls\""));
    ask(&client, "/v1/messages", MESSAGES_CALLS);
    assert_true(has("\"partial_json\":\"{}\""));
    assert_true(has("\"stop_reason\":\"tool_use\""));
    close_world();
}

static void an_edited_answer_keeps_its_calls_and_loses_its_thoughts(void **state)
{
    (void)state;
    add("words", FLO_GUARD_ANSWER, EDIT_ANSWER);
    open_with_calls();
    ask(&client, "/v1/chat/completions", CALLS(""));
    assert_int_equal(client.status, 200);
    assert_true(has("\"content\":\"all is well\""));
    assert_false(has("reasoning_content"));
    assert_true(has("\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}"));
    close_world();
}

static void a_tools_result_and_the_tools_are_a_prompt_too(void **state)
{
    (void)state;
    add("tools", FLO_GUARD_PROMPT,
        "read -r said; case $said in *'\"role\":\"tool\",\"content\":\"7\","
        "\"tool_call_id\":\"x\",\"name\":\"f\"}],\"tools\":[{\"type\":"
        "\"function\""
        "'*) echo '{\"verdict\":\"refuse\",\"reason\":\"no 7\"}';; esac");
    open_with_calls();
    ask(&client, "/v1/chat/completions",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
        "\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":"
        "\"tool\",\"tool_call_id\":\"x\",\"content\":\"7\"}]," TOOLS "}");
    assert_int_equal(client.status, 400);
    assert_true(has("guard tools: no 7"));
    close_world();
}

static void token_ids_are_no_way_around_a_guard(void **state)
{
    (void)state;
    add("words", FLO_GUARD_PROMPT, PASS);
    open_world();
    ask(&client, "/v1/completions", "{\"prompt\":[1,2,3],\"max_tokens\":1}");
    assert_int_equal(client.status, 400);
    assert_true(has("a guard looks at those of \\\"tiny\\\""));
    assert_true(has("\"param\":\"prompt\""));
    ask(&client, "/v1/embeddings", "{\"input\":\"a\"}");
    assert_int_equal(client.status, 200);
    close_world();
}

/* ---- guards that fail ---- */

static const struct {
    const char *script, *what;
    uint64_t ms_max;
} failures[] = {
    {"exit 3", "guard words: its program ended with status 3", 0},
    {PASS "; kill -SEGV $$", "its program ended with status 139", 0},
    {"cat >/dev/null", "its answer of 0 bytes is no JSON object", 0},
    {"cat >/dev/null; echo yes", "its answer of 4 bytes is no JSON object", 0},
    {"cat >/dev/null; echo '{\\\"verdict\\\":\\\"perhaps\\\"}'", "is no JSON object", 0},
    {"cat >/dev/null; echo '{\"verdict\":\"perhaps\"}'",
     "its verdict is none of pass, edit and refuse", 0},
    {"yes x", "its answer has more than 2097152 bytes", 0},
    {PASS "; sleep 10000", "no verdict within 50 ms", 50},
    {"sleep 10000 & sleep 10000", "no verdict within 50 ms", 50},
};

static void a_guard_that_fails_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(failures); i++) {
        struct flo_serve_guard *guard;
        set_up(NULL);
        guard = add("words", FLO_GUARD_PROMPT, failures[i].script);
        guard->ms_max = failures[i].ms_max > 0 ? failures[i].ms_max : guard->ms_max;
        open_world();
        chat();
        assert_int_equal(client.status, 503);
        assert_true(has("\"code\":\"infer.guard_failed\""));
        assert_true(has(failures[i].what));
        assert_int_equal(verdicts("words", "failed"), 1);
        close_world();
    }
}

static void a_program_that_is_not_there_refuses(void **state)
{
    struct flo_serve_guard *guard = add("words", FLO_GUARD_ANSWER, PASS);
    (void)state;
    guard->n_words = 1;
    strcpy(guard->words, "/nonexistent/guard");
    open_world();
    chat();
    assert_int_equal(client.status, 503);
    assert_true(has("guard words: start /nonexistent/guard: No such file"));
    assert_false(has("severity"));
    RUN_UNTIL(world.n_told == 1); /* the model did answer */
    assert_int_equal(world.told[0].error, 0);
    close_world();
}

static void on_failure_an_owner_may_let_it_pass(void **state)
{
    struct flo_serve_guard *guard = add("words", FLO_GUARD_PROMPT, "exit 1");
    (void)state;
    guard->passes_on_failure = guard->looks_at[FLO_GUARD_ANSWER] = true;
    open_world();
    chat();
    assert_int_equal(client.status, 200);
    assert_true(has("severity: critical"));
    assert_int_equal(verdicts("words", "failed"), 2);
    close_world();
}

/* ---- others go on meanwhile ---- */

/* Processes below any thread of ours. */
static unsigned children(void)
{
    DIR *threads = opendir("/proc/self/task");
    struct dirent *thread;
    unsigned count = 0;

    assert_non_null(threads);
    while ((thread = readdir(threads)) != NULL) {
        char path[300];
        long pid;
        snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread->d_name);
        FILE *file = fopen(path, "re");
        while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
            count++;
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    closedir(threads);
    return count;
}

static void who_goes_away_takes_the_guards_program_along(void **state)
{
    (void)state;
    add("words", FLO_GUARD_PROMPT, "sleep 10000 & sleep 10000");
    open_world();
    int fd = say("/v1/chat/completions", CHAT);
    RUN_UNTIL(children() == 2);                       /* the engine, and the guard */
    ask(&client, "/tokenize", "{\"content\":\"a\"}"); /* nobody waits for it */
    assert_int_equal(client.status, 200);
    close(fd);
    RUN_UNTIL(children() == 1);
    assert_int_equal(kill(status_now().roles[FLO_ROLE_CURRENT].pid, 0), 0);
    close_world();
}

static void more_requests_than_programs_wait_their_turn(void **state)
{
    static struct client many[24];
    (void)state;
    add("words", FLO_GUARD_PROMPT, PASS);
    open_world();
    for (size_t i = 0; i < FLO_COUNT(many); i++) {
        client_start(&many[i], "/v1/completions", COMPLETION, false);
    }
    for (size_t i = 0; i < FLO_COUNT(many); i++) {
        client_end(&many[i]);
        assert_int_equal(many[i].status, 200);
    }
    assert_int_equal(verdicts("words", "passed"), FLO_COUNT(many));
    close_world();
}

static void closing_ends_programs_and_requests(void **state)
{
    static struct client many[18]; /* two of them wait for a place */
    (void)state;
    add("words", FLO_GUARD_PROMPT, "trap '' TERM; sleep 10000");
    open_world();
    for (size_t i = 0; i < FLO_COUNT(many); i++) {
        client_start(&many[i], "/v1/chat/completions", CHAT, false);
    }
    RUN_UNTIL(children() == 17 && LOOK_INSIDE(world.serve->n_running) == FLO_COUNT(many));
    close_world();
    for (size_t i = 0; i < FLO_COUNT(many); i++) {
        pthread_join(many[i].thread, NULL);
        assert_int_not_equal(many[i].status, 200);
    }
    assert_int_equal(children(), 0);
}

static void a_crash_of_the_model_is_survived_behind_a_guard(void **state)
{
    (void)state;
    add("words", FLO_GUARD_PROMPT, PASS)->looks_at[FLO_GUARD_ANSWER] = true;
    open_world();
    world.reloads = true;
    client_start(&client, "/v1/completions",
                 "{\"stream\":true,\"ignore_eos\":true,\"prompt\":\"a\","
                 "\"max_tokens\":400}",
                 false);
    RUN_UNTIL(LOOK_INSIDE(world.serve->running != NULL && world.serve->running->tokens_out > 3));
    kill(status_now().roles[FLO_ROLE_CURRENT].pid, SIGKILL);
    client_end(&client);
    assert_int_equal(client.status, 200); /* nothing had been sent */
    assert_true(has("[DONE]"));
    assert_int_equal(verdicts("words", "passed"), 2); /* looked at once each */
    close_world();
}

/* ---- a model looks ---- */

static struct flo_serve_guard *add_judge(enum flo_guard_stage stage, const char *pass,
                                         const char *refuse)
{
    struct flo_serve_guard *guard = add("judge", stage, "");

    guard->n_words = 0;
    guard->n_models = 1;
    strcpy(guard->models[0], "tiny");
    strcpy(guard->model, "judge");
    strcpy(guard->pass, pass);
    strcpy(guard->refuse, refuse);
    return guard;
}

static void open_judged(void)
{
    int before;

    open_world();
    before = world.loaded;
    load_as(1, "judge", FLO_ROLE_CURRENT, V2, "1.0.0");
    RUN_UNTIL(world.loaded > before);
}

static void a_models_answer_lets_go_or_refuses(void **state)
{
    (void)state;
    add_judge(FLO_GUARD_PROMPT, "severity: low", "severity: crit");
    open_judged();
    chat();
    assert_int_equal(client.status, 400);
    assert_true(has("guard judge: severity: critical"));
    RUN_UNTIL(world.requests_of[1] == 1); /* it is a request of that model */
    assert_int_equal(world.requests_of[0], 0);
    close_world();
    set_up(NULL);
    add_judge(FLO_GUARD_PROMPT, "severity: crit", "severity: low");
    open_judged();
    chat();
    assert_int_equal(client.status, 200);
    assert_int_equal(verdicts("judge", "passed"), 1);
    close_world();
}

static void a_model_reads_the_owners_words_before_the_text(void **state)
{
    struct flo_serve_guard *guard = add_judge(FLO_GUARD_PROMPT, "severity: low", "severity: crit");
    (void)state;
    strcpy(guard->ask, "Classify: ");
    open_judged();
    ask(&client, "/v1/completions", "{\"prompt\":\"23:45 oven-95 voltage drop temp=35C\"}");
    assert_int_equal(client.status, 400);
    assert_true(has("guard judge: severity: critical"));
    close_world();
}

static void a_model_that_says_neither_or_is_not_there_refuses(void **state)
{
    (void)state;
    add_judge(FLO_GUARD_ANSWER, "yes", "no");
    open_judged();
    chat();
    assert_int_equal(client.status, 503);
    assert_true(has("guard judge: judge answered "));
    assert_true(has("infer.guard_failed"));
    close_world();
    set_up(NULL);
    strcpy(add_judge(FLO_GUARD_PROMPT, "yes", "no")->model, "nobody");
    open_judged();
    chat();
    assert_int_equal(client.status, 503);
    assert_true(has("guard judge: model \\\"nobody\\\" is not served"));
    close_world();
}

static void a_model_that_never_comes_is_late(void **state)
{
    (void)state;
    add_judge(FLO_GUARD_PROMPT, "yes", "no")->ms_max = 50;
    open_world();
    load_as(1, "judge", FLO_ROLE_CANDIDATE, V21, "1.0.0"); /* never live */
    chat();
    assert_int_equal(client.status, 503);
    assert_true(has("guard judge: no verdict within 50 ms"));
    assert_int_equal(LOOK_INSIDE(world.serve->n_held), 0);
    close_world();
}

/* Users go first at the model that judges, for as long as they like. */
static void a_batch_request_waits_until_its_judge_is_free(void **state)
{
    int before;
    (void)state;
    add_judge(FLO_GUARD_PROMPT, "severity: crit", "severity: low")->ms_max = 1;
    open_world();
    load_as(1, "judge", FLO_ROLE_CANDIDATE, V21, "0.9.0"); /* never live */
    client_start(&client, "/v1/completions", BATCH, false);
    RUN_UNTIL(LOOK_INSIDE(world.serve->n_held) == 1);
    before = world.loaded;
    load_as(1, "judge", FLO_ROLE_CURRENT, V2, "1.0.0");
    RUN_UNTIL(world.loaded > before);
    client_end(&client);
    assert_int_equal(client.status, 200);
    assert_int_equal(verdicts("judge", "passed"), 1);
    close_world();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(what_guards_pass_goes_on_as_it_was),
        TEST(a_guard_reads_the_prompt_and_another_one_the_answer),
        TEST(a_refused_prompt_never_reaches_the_model),
        TEST(a_refused_answer_is_an_error_of_its_release),
        TEST(an_edited_prompt_is_the_one_that_the_model_reads),
        TEST(an_edited_answer_is_the_one_that_the_client_gets),
        TEST(each_guard_looks_at_what_the_one_before_let_go),
        TEST(a_guarded_stream_is_one_piece),
        TEST(a_guard_looks_at_its_models_alone),
        TEST(a_request_that_came_before_its_model_is_guarded),
        TEST(token_ids_are_no_way_around_a_guard),
        TEST(no_stream_shows_a_word_of_what_a_guard_refused),
        TEST(each_front_streams_late_in_its_own_form),
        TEST(an_answer_that_is_not_told_is_not_looked_at),
        TEST(each_of_several_answers_is_guarded),
        TEST(a_guard_can_refuse_a_call_by_its_arguments),
        TEST(a_call_that_is_let_go_reaches_the_client),
        TEST(an_edited_answer_keeps_its_calls_and_loses_its_thoughts),
        TEST(a_tools_result_and_the_tools_are_a_prompt_too),
        TEST(a_guard_that_fails_refuses),
        TEST(a_program_that_is_not_there_refuses),
        TEST(on_failure_an_owner_may_let_it_pass),
        TEST(who_goes_away_takes_the_guards_program_along),
        TEST(more_requests_than_programs_wait_their_turn),
        TEST(closing_ends_programs_and_requests),
        TEST(a_crash_of_the_model_is_survived_behind_a_guard),
        TEST(a_models_answer_lets_go_or_refuses),
        TEST(a_model_reads_the_owners_words_before_the_text),
        TEST(a_model_that_says_neither_or_is_not_there_refuses),
        TEST(a_model_that_never_comes_is_late),
        TEST(a_batch_request_waits_until_its_judge_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
