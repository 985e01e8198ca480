/* A runtime that is not our engine, behind `flotilla-engine proxy`: served,
 * refused by ability, probed with golden cases of format 2, flipped to. */
#include "unit/serve/probing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>
#include <flotilla/errors/runtime.h>

#define QUESTION "Classify: 23:45 oven-95 voltage drop temp=35C"
#define ADVICE "What should I do about smoke detected on camera-68?"

static char settings[4096];

/* The fake's vector of "ab" is (2, 1, 2). */
static int read_vector(void *context, const char *name, size_t bytes_max, char **data,
                       size_t *bytes, struct flo_err *err)
{
    static const float vector[] = {2 / 3.0f, 1 / 3.0f, 2 / 3.0f};

    (void)context, (void)err;
    assert_string_equal(name, "v.f32");
    assert_true(bytes_max >= sizeof(vector));
    *data = malloc(sizeof(vector));
    memcpy(*data, vector, sizeof(vector));
    *bytes = sizeof(vector);
    return 0;
}

static const struct flo_golden_files vectors = {.read = read_vector};
static const struct flo_probe_limits runtimes = {.speed_ratio_max = 50,
                                                 .memory_bytes_max = 1u << 28,
                                                 .timeout_ms = WAITS_HANG_MS,
                                                 .files = &vectors};

/* A folder with the table of answers; the runtime's settings name the fake. */
static struct flo_serve_model make_model(const char *version, const char *answer, const char *fault)
{
    struct flo_serve_model model = {.model = "tiny",
                                    .runtime = settings,
                                    .entry = "model.json",
                                    .ready_ms = WAITS_HANG_MS,
                                    .stop_ms = 500};
    char folder[128], path[160], text[1024];
    struct flo_err err = {0};

    snprintf(model.version, sizeof(model.version), "%s", version);
    memset(&model.release, version[0], sizeof(model.release));
    snprintf(folder, sizeof(folder), "%s/%s", world.folder, version);
    mkdir(folder, 0700);
    snprintf(path, sizeof(path), "%s/model.json", folder);
    snprintf(text, sizeof(text),
             "{\"answers\":{\"" QUESTION "\":\"%s\",\"" ADVICE
             "\":\"open the windows and leave\"}}",
             answer);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, &err), 0);
    snprintf(settings, sizeof(settings),
             "{\"name\":\"fake\",\"api\":\"openai\",\"exec\":[\"" PYTHON "\",\"" FAKE_RUNTIME
             "\",\"--tree\",\"{tree}\",\"--entry\",\"model.json\","
             "\"--socket\",\"{socket}\",\"--fault\",\"%s\"],\"ready_ms\":600000,"
             "\"stop_ms\":500,\"memory_bytes\":268435456,\"sessions\":2,"
             "\"context\":64,\"threads\":1,\"abilities\":%u,\"read\":[\"/\"]}",
             fault, (unsigned)(FLO_ABILITY_VECTORS | FLO_ABILITY_CANCEL));
    model.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return model;
}

static void load_runtime(enum flo_serve_role role, const char *version, const char *answer,
                         const char *fault)
{
    struct flo_serve_model model = make_model(version, answer, fault);
    int before = world.loaded + world.failed;
    struct flo_err err = {0};

    if (flo_serve_load(world.serve, 0, role, &model, &err) < 0) {
        fail_msg("%s", err.what);
    }
    RUN_UNTIL(world.loaded + world.failed > before);
}

static void remove_folders(void)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf %s/[0-9]*", world.folder);
    assert_int_equal(system(command), 0);
}

static void close_world(void)
{
    remove_folders();
    world_close();
}

/* Probe the candidate that is loaded. */
static void judge(const char *expect)
{
    char text[1024];
    struct flo_err err = {0};

    snprintf(text, sizeof(text),
             "{\"format\":\"flotilla-golden-2\",\"cases\":["
             "{\"id\":\"classify\",\"prompt\":\"" QUESTION "\","
             "\"max_new_tokens\":16,\"expect\":[%s]},"
             "{\"id\":\"near\",\"text\":\"ab\",\"expect\":["
             "{\"cosine_min_ppm\":900000,\"vector\":\"v.f32\"}]},"
             "{\"id\":\"raw\",\"raw_prompt\":\"a\",\"max_new_tokens\":1,"
             "\"expect\":[{\"exact\":\"never asked\"}]}]}",
             expect);
    has_result = false;
    if (start_probe(text, strlen(text), 1, &runtimes, &err) < 0) {
        fail_msg("%s", err.what);
    }
    RUN_UNTIL(has_result);
}

static void a_runtime_answers_and_refuses_by_ability(void **state)
{
    static struct client client;
    (void)state;
    world_open();
    load_runtime(FLO_ROLE_CURRENT, "1.0.0", "severity: low", "");
    assert_int_equal(world.loaded, 1);
    ask(&client, "/v1/chat/completions", CHAT);
    assert_int_equal(client.status, 200);
    assert_non_null(strstr(client.text, "severity: low"));
    ask(&client, "/v1/chat/completions",
        "{\"logprobs\":true,\"messages\":[{\"role\":\"user\",\"content\":"
        "\"a\"}]}");
    assert_int_equal(client.status, 400);
    assert_non_null(strstr(client.text, "infer.param"));
    assert_non_null(strstr(client.text, "\"logprobs\""));
    ask(&client, "/v1/completions", "{\"prompt\":\"a\"}");
    assert_int_equal(client.status, 400);
    assert_non_null(strstr(client.text, "\"prompt\""));
    assert_int_equal(world.lost, 0);
    RUN_UNTIL(status_now().roles[FLO_ROLE_CURRENT].rss_bytes > (1u << 20));
    close_world();
}

static void a_good_release_passes_on_its_runtime_and_a_bad_one_does_not(void **state)
{
    (void)state;
    world_open();
    /* Pieces that come together have no time between them. */
    load_runtime(FLO_ROLE_CURRENT, "1.0.0", "severity: low", "slow:5");
    load_runtime(FLO_ROLE_CANDIDATE, "2.0.0", "severity: high", "slow:5");
    judge("{\"pattern\":\"severity: *\"},{\"lacks\":\"low\"}");
    if (result.error != 0) {
        fail_msg("%s", result.what);
    }
    assert_int_equal(result.cases, 2); /* it has no raw prompts */
    assert_int_equal(result.passed, 2);
    assert_true(result.token_us_candidate > 0);
    assert_true(result.memory_bytes > 1u << 20);
    judge("{\"exact\":\"severity: low\"}");
    assert_int_equal(result.error, FLO_E_PROBE_GOLDEN);
    assert_non_null(strstr(result.what, "expect[0]"));
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
    close_world();
}

static void a_runtimes_faults_are_not_the_releases(void **state)
{
    static const struct {
        const char *fault;
        int error;
    } rows[] = {{"die:0", FLO_E_RUNTIME_CRASH},
                {"lies", FLO_E_RUNTIME_ANSWER},
                {"garbage", FLO_E_RUNTIME_ANSWER}};
    (void)state;
    world_open();
    load_runtime(FLO_ROLE_CURRENT, "1.0.0", "severity: low", "");
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        load_runtime(FLO_ROLE_CANDIDATE, "2.0.0", "severity: low", rows[i].fault);
        judge("{\"contains\":\"severity\"}");
        if (result.error != rows[i].error && !(i == 0 && result.error == FLO_E_RUNTIME_ANSWER)) {
            fail_msg("%s: %s %s", rows[i].fault, flo_error_id(result.error), result.what);
        }
        flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
        RUN_UNTIL(!flo_serve_is_ending(world.serve));
    }
    close_world();
}

static void a_runtime_that_does_not_start_says_so_itself(void **state)
{
    (void)state;
    world_open();
    load_runtime(FLO_ROLE_CURRENT, "1.0.0", "a", "refuse");
    assert_int_equal(world.failed, 1);
    assert_int_equal(world.load_error, FLO_E_RUNTIME_START);
    close_world();
}

static void streams_survive_a_swap_of_runtimes(void **state)
{
    static struct client clients[4];
    (void)state;
    world_open();
    load_runtime(FLO_ROLE_CURRENT, "1.0.0", "severity: low", "slow:2");
    for (size_t i = 0; i < FLO_COUNT(clients); i++) {
        client_start(&clients[i], "/v1/chat/completions", CHAT_STREAM, true);
    }
    load_runtime(FLO_ROLE_CANDIDATE, "2.0.0", "severity: high", "slow:2");
    for (int i = 0; i < 4; i++) {
        int good = clients[0].good;
        flip(i % 2 == 0 ? FLO_ROLE_CANDIDATE : FLO_ROLE_CURRENT);
        RUN_UNTIL(clients[0].good > good + 1);
    }
    for (size_t i = 0; i < FLO_COUNT(clients); i++) {
        clients[i].stops = true;
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
        assert_true(clients[i].good > 4);
    }
    assert_int_equal(world.stats_errors, 0);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_runtime_answers_and_refuses_by_ability),
        cmocka_unit_test(a_good_release_passes_on_its_runtime_and_a_bad_one_does_not),
        cmocka_unit_test(a_runtimes_faults_are_not_the_releases),
        cmocka_unit_test(a_runtime_that_does_not_start_says_so_itself),
        cmocka_unit_test(streams_survive_a_swap_of_runtimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
