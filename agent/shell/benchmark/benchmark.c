/* Benchmark: carries out the orders `benchmark`, one after the other; see
 * benchmark.h.  agent/core/benchmark decides. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/benchmark.h>
#include <flotilla/errors/engine.h>
#include <flotilla/errors/process.h>
#include <flotilla/errors/worker.h>
#include <flotilla/rows.h>

#include "agent/shell/benchmark/benchmarking.h"
#include "agent/shell/hardware/hardware.h"

#define TICK_MS 250
#define STORE_MS 15000                   /* time between two writes of the state */
#define ASKED_MS 1000                    /* a model counts as asked for this long after a request */
#define ADMIT_MS 5000                    /* time between two looks at a verdict */
#define FETCHES_MAX 8                    /* downloads for one benchmark */
#define SPARE_BYTES (UINT64_C(64) << 20) /* memory of the process besides the model */

static void begin_first(struct flo_benchmarking *b);
static void fail(struct flo_benchmarking *b, const struct flo_err *err);
static void fail_for_good(struct flo_benchmarking *b, const struct flo_err *err);

/* ---- what is seen ---- */

/* Tells whether a release is being installed, or serves on trial.  The
 * benchmark's own download is no update. */
static bool is_updating(const struct flo_benchmarking *b)
{
    const struct flo_shell *shell = b->shell;
    bool is_any = b->core.state != FLO_BENCHMARK_FETCHING && flo_shell_job_is_open(shell);

    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        is_any = is_any || model->has_execution || model->going_back.is_active ||
                 model->removal.is_active;
    }
    return is_any;
}

static bool is_asked(const struct flo_shell *shell, uint64_t now)
{
    bool is_any = false;

    for (unsigned i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_serve_status status = {0};
        if (shell->agent.models[i].name[0] == '\0') {
            continue;
        }
        flo_serve_get_status(shell->serve, i, &status);
        is_any =
            is_any || status.held > 0 || (status.used_ms != 0 && now - status.used_ms < ASKED_MS);
        for (size_t role = 0; role < FLO_ROLE_COUNT; role++) {
            is_any = is_any || status.roles[role].requests > 0;
        }
    }
    return is_any;
}

/* Tells whether memory is short, or would be with the model's file. */
static bool is_short(const struct flo_benchmarking *b)
{
    const struct flo_watch *watch = b->shell->watch;
    uint64_t needed = (uint64_t)b->seen.file_bytes + SPARE_BYTES;

    return watch->pressure.is_short || watch->pressure.cause != FLO_PRESSURE_CALM ||
           (b->pid == 0 && watch->sensed.memory_free_bytes != 0 &&
            watch->sensed.memory_free_bytes < needed);
}

/* Tells whether the device keeps downloads back, as those of an update without a
 * policy.  A load that comes later ends no download. */
static bool is_kept_back(const struct flo_benchmarking *b)
{
    uint32_t asked = b->shell->agent.waits | FLO_WAIT_BIT(FLO_WAIT_BATTERY);

    if (b->core.state == FLO_BENCHMARK_FETCHING) {
        asked &= ~FLO_WAIT_BIT(FLO_WAIT_IDLE);
    }
    return (b->shell->agent.lacks & asked) != 0;
}

static void look(struct flo_benchmarking *b, struct flo_benchmark_facts *out)
{
    struct flo_shell *shell = b->shell;
    const struct flo_watch *watch = shell->watch;

    memset(out, 0, sizeof(*out));
    out->now_ms = flo_now_ms();
    out->stands[FLO_BENCHMARK_CAUSE_UPDATE] = is_updating(b);
    out->stands[FLO_BENCHMARK_CAUSE_FREEZE] = shell->agent.is_frozen;
    out->stands[FLO_BENCHMARK_CAUSE_HEAT] = watch->power.is_hot;
    out->stands[FLO_BENCHMARK_CAUSE_BATTERY] = watch->power.is_low;
    out->stands[FLO_BENCHMARK_CAUSE_WAITS] = is_kept_back(b);
    out->stands[FLO_BENCHMARK_CAUSE_MEMORY] = is_short(b);
    out->stands[FLO_BENCHMARK_CAUSE_REQUEST] = is_asked(shell, out->now_ms);
}

/* Notes temperature and clock while the process measures. */
static void note_strain(struct flo_benchmarking *b)
{
    const struct flo_sensed *sensed = &b->shell->watch->sensed;

    if (sensed->has_zone) {
        flo_benchmark_series_add(&b->seen.heat, (double)sensed->zone_mc);
    }
    if (sensed->clock_khz > 0 && sensed->clock_khz_max > 0) {
        double percent = 100.0 * (double)sensed->clock_khz / (double)sensed->clock_khz_max;
        b->seen.clock_least = b->seen.clock_least == 0 || percent < b->seen.clock_least
                                  ? percent
                                  : b->seen.clock_least;
    }
}

static void note_load(struct flo_benchmarking *b)
{
    b->seen.load_sum += b->shell->watch->sensed.load_centi;
    b->seen.load_count++;
}

/* Notes how fast the battery sank; the longest time says most. */
static void note_drain(struct flo_benchmarking *b)
{
    uint64_t took_ms = flo_now_ms() - b->begun_ms;
    struct flo_energy now;
    double drain = 0;

    flo_energy_read(flo_sensors_root(), &now);
    if (b->pid > 0 && (double)took_ms > b->seen.drain_ms &&
        flo_energy_drain(&b->begun, &now, took_ms, &drain)) {
        b->seen.drain = drain;
        b->seen.drain_ms = (double)took_ms;
    }
}

/* ---- the end ---- */

static void next_job(struct flo_benchmarking *b)
{
    b->job_count--;
    memmove(&b->jobs[0], &b->jobs[1], b->job_count * sizeof(b->jobs[0]));
    begin_first(b);
}

static void finish(struct flo_benchmarking *b)
{
    json_t *facts = flo_benchmark_facts(b);
    char order[FLO_NAME_MAX + 1];

    memcpy(order, b->jobs[0].order, sizeof(order));
    flo_log(FLO_LOG_INFO, "bench", "order %s: %s@%s: prompt %.1f, generation %.1f tokens/s, %s",
            order, b->seen.model, b->seen.version, flo_benchmark_series_median(&b->core.prompt),
            flo_benchmark_series_median(&b->core.generate), flo_benchmark_word(b->core.cause));
    flo_benchmark_store(b, facts);
    json_decref(facts);
    flo_benchmark_fetch_drop(b);
    b->done(b->shell, order, NULL);
    next_job(b);
}

static void refuse(struct flo_benchmarking *b, const struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];

    flo_benchmark_process_end(b);
    flo_benchmark_fetch_drop(b);
    memcpy(order, b->jobs[0].order, sizeof(order));
    b->done(b->shell, order, err);
    next_job(b);
}

static void refuse_busy(struct flo_benchmarking *b)
{
    struct flo_err err = {0};

    flo_fail(&err, FLO_E_BENCHMARK_BUSY, "nothing was measured in %llu s: %s%s%.150s",
             (unsigned long long)(b->jobs[0].for_ms / 1000), flo_benchmark_meaning(b->core.cause),
             b->core.cause == FLO_BENCHMARK_CAUSE_NETWORK ? ": " : "",
             b->core.cause == FLO_BENCHMARK_CAUSE_NETWORK ? b->unfetched.what : "");
    refuse(b, &err);
}

/* ---- its files ---- */

static void on_fetch_ended(struct flo_benchmarking *b, const struct flo_err *err, bool is_passing)
{
    uint64_t random;

    if (err == NULL) {
        flo_benchmark_fetched(&b->core, flo_now_ms());
        flo_log(FLO_LOG_INFO, "bench", "order %s: its release is here, %.0f bytes in %llu s",
                b->jobs[0].order, b->seen.fetched_bytes,
                (unsigned long long)(b->core.fetch_ms / 1000));
        flo_benchmark_store(b, NULL);
        return;
    }
    if (!is_passing) {
        fail_for_good(b, err);
        return;
    }
    b->unfetched = *err;
    flo_log_err(FLO_LOG_WARN, "bench", err);
    flo_random(&random, sizeof(random));
    flo_benchmark_unfetched(&b->core, flo_now_ms(), random);
    flo_benchmark_store(b, NULL);
}

/* Starts the download, unless the files came by an update meanwhile. */
static void fetch(struct flo_benchmarking *b)
{
    struct flo_benchmark_files files;
    struct flo_err err = {0};

    flo_benchmark_store(b, NULL);
    if (flo_benchmark_find(b->shell, &b->jobs[0], &files, &b->seen, NULL) == 0) {
        flo_benchmark_fetched(&b->core, flo_now_ms());
    } else if (flo_benchmark_admit(b->shell, &b->jobs[0], &err) < 0) {
        fail_for_good(b, &err);
    } else {
        flo_benchmark_fetch_start(b, on_fetch_ended);
    }
}

static void start(struct flo_benchmarking *b)
{
    const struct flo_benchmark_job *job = &b->jobs[0];
    struct flo_err err = {0};

    int rv = flo_benchmark_admit(b->shell, job, &err);
    if (rv == 0) {
        note_load(b);
        rv = flo_benchmark_process_start(b, fail, &err);
    }
    if (rv == FLO_E_BLOB_ABSENT && job->is_named && b->core.fetches < FETCHES_MAX) {
        flo_benchmark_lacks(&b->core, flo_now_ms());
    } else if (rv < 0) {
        fail(b, &err);
    }
}

/* Ends the process or the download; the benchmark goes on later. */
static void yield_now(struct flo_benchmarking *b)
{
    note_drain(b);
    flo_benchmark_process_end(b);
    flo_shell_job_cancel(b->shell, FLO_JOB_GUEST);
    flo_benchmark_store(b, NULL);
    flo_log(FLO_LOG_INFO, "bench", "order %s waits: %s", b->jobs[0].order,
            flo_benchmark_meaning(b->core.cause));
}

/* An update begins: what was fetched goes before the update is planned. */
static void on_leave(struct flo_shell *shell)
{
    struct flo_benchmarking *b = shell->benchmarking;

    bool is_active = b->core.state > FLO_BENCHMARK_WAITING || b->core.is_lacking == 0;
    if (b->job_count > 0 && b->core.state != FLO_BENCHMARK_NONE && b->core.fetches > 0 &&
        is_active) {
        b->core.cause = FLO_BENCHMARK_CAUSE_UPDATE;
        flo_benchmark_lacks(&b->core, flo_now_ms());
        yield_now(b);
        flo_benchmark_fetch_sweep(shell);
    }
}

/* Checks again whether the release may run here: an order may have blocked it
 * since. */
static int look_at_verdict(struct flo_benchmarking *b, uint64_t now, struct flo_err *err)
{
    if (b->is_planned) {
        b->is_planned = false;
        return flo_benchmark_check_plan(b, err);
    }
    if (b->core.state <= FLO_BENCHMARK_WAITING || now - b->admitted_ms < ADMIT_MS) {
        return 0;
    }
    b->admitted_ms = now;
    return flo_benchmark_admit(b->shell, &b->jobs[0], err);
}

static void follow(struct flo_benchmarking *b, enum flo_benchmark_action action)
{
    switch (action) {
    case FLO_BENCHMARK_FETCH:
        fetch(b);
        return;
    case FLO_BENCHMARK_START:
        start(b);
        return;
    case FLO_BENCHMARK_STOP:
        yield_now(b);
        return;
    case FLO_BENCHMARK_FINISH:
        note_drain(b);
        flo_benchmark_process_end(b);
        finish(b);
        return;
    case FLO_BENCHMARK_REFUSE:
        refuse_busy(b);
        return;
    case FLO_BENCHMARK_NOTHING:
        return;
    }
}

/* Tells whether the same would happen again: the model or the program is the
 * cause, not the moment. */
static bool is_lasting(int code)
{
    return code != FLO_E_ENGINE_KILLED && code != FLO_E_ENGINE_HANG && code != FLO_E_MEMORY &&
           code != FLO_E_PROCESS && code != FLO_E_WORKER_PROTOCOL;
}

static void fail_for_good(struct flo_benchmarking *b, const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "bench", err);
    b->core.state = FLO_BENCHMARK_NONE;
    refuse(b, err);
}

static void fail(struct flo_benchmarking *b, const struct flo_err *err)
{
    if (is_lasting(err->code)) {
        fail_for_good(b, err);
        return;
    }
    flo_log_err(FLO_LOG_WARN, "bench", err);
    follow(b, flo_benchmark_lost(&b->core, flo_now_ms()));
}

/* ---- time ---- */

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct flo_benchmarking *b = context;
    struct flo_shell *shell = b->shell;
    struct flo_benchmark_facts facts;
    struct flo_err err = {0};

    (void)fd, (void)events;
    bool is_leaving = flo_benchmark_fetch_is_leaving(b);
    if (b->job_count == 0 && !is_leaving) {
        flo_benchmark_close(b->shell);
    }
    if (shell->benchmarking == NULL || b->job_count == 0) {
        return;
    }
    if (look_at_verdict(b, flo_now_ms(), &err) < 0) {
        fail_for_good(b, &err);
        return;
    }
    if (flo_benchmark_process_hangs(b)) {
        flo_fail(&err, FLO_E_ENGINE_HANG, "a test of a benchmark takes too long");
        fail(b, &err);
        return;
    }
    look(b, &facts);
    if (b->is_open) {
        note_strain(b);
    }
    if (b->core.state > FLO_BENCHMARK_WAITING && facts.now_ms - b->stored_ms >= STORE_MS) {
        flo_benchmark_store(b, NULL);
    }
    follow(b, flo_benchmark_step(&b->core, &facts));
}

/* ---- orders ---- */

/* Looks which files of the job's release are here.  Files of an earlier download
 * stay until the end. */
static void take_stock(struct flo_benchmarking *b)
{
    const struct flo_benchmark_job *job = &b->jobs[0];
    struct flo_benchmark_files files;

    if (flo_benchmark_find(b->shell, job, &files, &b->seen, NULL) == FLO_E_BLOB_ABSENT) {
        flo_benchmark_lacks(&b->core, flo_now_ms());
        flo_digest_text(&job->release, b->seen.release);
    } else {
        b->core.is_lacking = 0;
    }
    if (b->core.fetches > 0 && flo_store_blob_has(b->shell->store, &job->release, 0)) {
        flo_shell_guest(b->shell)->release = job->release;
    }
}

/* Begins the first job, or goes on with it. */
static void begin_first(struct flo_benchmarking *b)
{
    struct flo_benchmark_job *job = &b->jobs[0];

    if (b->job_count == 0) {
        return;
    }
    memset(&b->core, 0, sizeof(b->core));
    memset(&b->seen, 0, sizeof(b->seen));
    memset(&b->unfetched, 0, sizeof(b->unfetched));
    bool is_resumed = flo_benchmark_load(b, job->order);
    if (is_resumed) { /* another release may serve since */
        (void)!flo_digest_parse(b->seen.release, &job->release);
    }
    flo_benchmark_begin(&b->core, flo_now_ms(), job->for_ms, is_resumed);
    take_stock(b);
    flo_benchmark_store(b, NULL);
    flo_log(FLO_LOG_INFO, "bench", "order %s: %llu s%s", job->order,
            (unsigned long long)(b->core.left_ms / 1000), is_resumed ? ", taken up again" : "");
}

static int open_benchmarking(struct flo_shell *shell, struct flo_err *err)
{
    struct timeval tick = {.tv_usec = TICK_MS * 1000};
    struct flo_benchmarking *b = calloc(1, sizeof(*b));

    if (b != NULL) {
        b->shell = shell;
        b->fd = -1;
        b->tick = event_new(shell->base, -1, EV_PERSIST, on_tick, b);
    }
    if (b == NULL || b->tick == NULL || event_add(b->tick, &tick) < 0) {
        free(b);
        return flo_fail(err, FLO_E_MEMORY, "benchmark");
    }
    shell->benchmarking = b;
    flo_shell_guest(shell)->leave = on_leave;
    flo_hardware_benchmarks(shell, true);
    return 0;
}

int flo_benchmark_ask(struct flo_shell *shell, const struct flo_order *order,
                      flo_benchmark_done *done, struct flo_err *err)
{
    struct flo_benchmark_job job = {.release = order->release,
                                    .is_named = !flo_digest_is_zero(&order->release),
                                    .for_ms = order->for_ms};
    struct flo_benchmark_files files;
    struct flo_benchmark_seen seen = {0};

    memcpy(job.order, order->id, sizeof(job.order));
    memcpy(job.model, order->model, sizeof(job.model));
    if (flo_benchmark_has_ended(shell, order->id)) { /* the controller has no report yet */
        flo_benchmark_fetch_sweep(shell);            /* files that an interrupted run left */
        done(shell, order->id, NULL);
        return 0;
    }
    FLO_TRY(flo_benchmark_admit(shell, &job, err));
    int rv = flo_benchmark_find(shell, &job, &files, &seen, err);
    FLO_TRY(rv == FLO_E_BLOB_ABSENT && job.is_named ? 0 : rv);
    (void)!flo_digest_parse(seen.release, &job.release);
    if (shell->benchmarking == NULL) {
        FLO_TRY(open_benchmarking(shell, err));
    }
    struct flo_benchmarking *b = shell->benchmarking;
    if (FLO_FIND_TEXT(job.order, b->jobs, b->job_count, order) != NULL) {
        return 0;
    }
    if (b->job_count == FLO_BENCHMARK_JOBS_MAX) {
        return flo_fail(err, FLO_E_STATE, "%d benchmarks wait on this device",
                        FLO_BENCHMARK_JOBS_MAX);
    }
    b->done = done;
    b->jobs[b->job_count++] = job;
    if (b->job_count == 1) {
        begin_first(b);
    }
    return 0;
}

void flo_benchmark_close(struct flo_shell *shell)
{
    struct flo_benchmarking *b = shell->benchmarking;

    if (b == NULL) {
        return;
    }
    if (b->job_count > 0) {
        note_drain(b);
        flo_benchmark_store(b, NULL);
    }
    flo_benchmark_process_end(b);
    flo_shell_job_cancel(shell, FLO_JOB_GUEST);
    memset(flo_shell_guest(shell), 0, sizeof(struct flo_guest));
    event_free(b->tick);
    free(b);
    shell->benchmarking = NULL;
    flo_hardware_benchmarks(shell, false);
}
