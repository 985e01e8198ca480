/* Findings: turns facts about a device into sentences with numbers. */
#include "agent/core/checkup/checkup.h"
#include "agent/core/memory/pressure.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#define PRESSURE_CENTI 1000 /* 10 % */
/* % of the speed that the memory bandwidth allows; a lower speed is a
 * finding */
#define SPEED_PART 60
/* Fixed time per token.  Measured were 0.18 ms for the smallest model, on a Zen
 * 5 with 4 threads, and 0.6 ms for three times as many layers.  The agent,
 * which passes each token on, needs more time. */
#define TOKEN_FIXED_US 1000
/* arithmetic operations per byte of 4-bit weights: two multiplications and two
 * additions */
#define OPS_PER_BYTE 4
#define CONTEXT_LARGE 8192
#define MEMORY_FREE_MIN (UINT64_C(64) << 20)
#define CERTIFICATE_DAYS_MIN 14
#define CLOCK_PART 70 /* % of the highest clock; a lower clock is a finding */

static const struct {
    const char *id, *level, *unit, *fix;
} facts[] = {
#define INFO "info"
#define WARN "warn"
#define BAD "bad"
#define FLO_FINDING(name, id, level, unit, fix) {id, level, unit, fix},
#include "agent/core/checkup/findings.def"
#undef INFO
#undef WARN
#undef BAD
};

const char *flo_finding_id(enum flo_finding_kind kind)
{
    assert(kind < FLO_FINDING_COUNT);
    return facts[kind].id;
}

const char *flo_finding_level(enum flo_finding_kind kind)
{
    assert(kind < FLO_FINDING_COUNT);
    return facts[kind].level;
}

const char *flo_finding_unit(enum flo_finding_kind kind)
{
    assert(kind < FLO_FINDING_COUNT);
    return facts[kind].unit;
}

const char *flo_finding_fix(enum flo_finding_kind kind)
{
    assert(kind < FLO_FINDING_COUNT);
    return facts[kind].fix;
}

static struct flo_finding *add(struct flo_findings *out, enum flo_finding_kind kind,
                               const char *format, ...) FLO_PRINTF(3, 4);

static struct flo_finding *add(struct flo_findings *out, enum flo_finding_kind kind,
                               const char *format, ...)
{
    struct flo_finding *finding;
    va_list args;

    assert(out->count < FLO_FINDING_COUNT);
    finding = &out->list[out->count++];
    finding->kind = kind;
    va_start(args, format);
    vsnprintf(finding->what, sizeof(finding->what), format, args);
    va_end(args);
    return finding;
}

static void numbers(struct flo_finding *finding, double measured, double expected)
{
    finding->has_numbers = true;
    finding->measured = measured;
    finding->expected = expected;
}

static uint64_t us_of(uint64_t amount, uint64_t per_s)
{
    if (per_s == 0 || amount > UINT64_MAX / 1000000) {
        return 0;
    }
    return amount * 1000000 / per_s;
}

/* Returns the arithmetic operations per second of the engine's threads.  The
 * benchmark measures all CPUs, so an engine with fewer threads gets its share
 * of that number. */
static uint64_t ops_of(const struct flo_checkup *c)
{
    return c->threads > 0 && c->threads < c->cpus ? c->int8_ops_per_s / c->cpus * c->threads
                                                  : c->int8_ops_per_s;
}

struct flo_token_cost flo_checkup_cost(const struct flo_checkup *checkup)
{
    struct flo_token_cost cost = {.fixed_us = TOKEN_FIXED_US};

    if (checkup->token_bytes == 0 || checkup->memory_bytes_per_s == 0 ||
        checkup->token_bytes > UINT64_MAX / OPS_PER_BYTE) {
        return cost;
    }
    cost.memory_us = us_of(checkup->token_bytes, checkup->memory_bytes_per_s);
    cost.compute_us = us_of(checkup->token_bytes * OPS_PER_BYTE, ops_of(checkup));
    uint64_t longer = cost.memory_us > cost.compute_us ? cost.memory_us : cost.compute_us;
    cost.least_us = longer + cost.fixed_us;
    cost.bound_by = cost.fixed_us > longer             ? "the steps of a token"
                    : cost.memory_us > cost.compute_us ? "memory"
                                                       : "arithmetic";
    return cost;
}

uint64_t flo_checkup_rate_mtps(const struct flo_checkup *checkup)
{
    uint64_t least_us = flo_checkup_cost(checkup).least_us;

    return least_us == 0 ? 0 : UINT64_C(1000000000) / least_us;
}

/* ---- the engine ---- */

static void find_speed(const struct flo_checkup *c, struct flo_findings *out)
{
    struct flo_token_cost cost = flo_checkup_cost(c);
    uint64_t expected = flo_checkup_rate_mtps(c);
    uint64_t measured = c->token_us == 0 ? 0 : UINT64_C(1000000000) / c->token_us;
    double is = (double)measured / 1000.0;
    double may = (double)expected / 1000.0;

    if (!c->is_live) {
        return;
    }
    if (measured == 0 || expected == 0) {
        numbers(add(out, FLO_FINDING_SPEED_UNKNOWN, "%s",
                    measured == 0 ? "no request of two tokens or more so far"
                                  : "this machine's memory was not measured"),
                is, may);
    } else if (measured < expected / 100 * SPEED_PART) {
        numbers(add(out, FLO_FINDING_SPEED,
                    "%.1f tokens/s of up to %.1f: bound by %s (memory %.2f ms "
                    "a token, arithmetic %.2f, its steps %.2f)",
                    is, may, cost.bound_by, (double)cost.memory_us / 1000.0,
                    (double)cost.compute_us / 1000.0, (double)cost.fixed_us / 1000.0),
                is, may);
    }
}

/* Returns the rank of a kernel (the engine's code for one kind of CPU): the
 * slowest kernel has rank 0.  Returns -1 when the name is not known, for
 * example on Arm. */
static int rank_of(const char *kernel)
{
    static const char *const names[] = {"ref", "sse42", "avx", "avx2", "avx512"};

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (strcmp(kernel, names[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Returns whether the engine uses a slower kernel than this machine could.  A
 * kernel is the engine's code for one kind of CPU; `best` names the fastest
 * kind that this CPU supports. */
static bool is_slow_kernel(const char *kernel, const char *best)
{
    int rank = rank_of(kernel);

    return (rank == 0 && strcmp(best, "c") != 0) || (rank >= 0 && rank < rank_of(best)) ||
           (strcmp(best, "avx512") == 0 && kernel[0] != '\0' && strcmp(kernel, "avx512") != 0);
}

static void find_engine(const struct flo_checkup *c, struct flo_findings *out)
{
    if (c->is_served && !c->is_live) {
        add(out, FLO_FINDING_DOWN, "no engine answers");
    }
    find_speed(c, out);
    if (!c->is_live) {
        return;
    }
    if (is_slow_kernel(c->kernel, c->kernel_best)) {
        add(out, FLO_FINDING_KERNEL, "the engine computes with %s, this machine has %s", c->kernel,
            c->kernel_best);
    }
    if (c->threads > c->cpus) {
        numbers(add(out, FLO_FINDING_THREADS, "%u threads share %u CPUs", c->threads, c->cpus),
                c->threads, c->cpus);
    }
    if (c->can_be_packed && !c->is_packed) {
        add(out, FLO_FINDING_PACKING, "the weights are not packed");
    }
    if (c->context > CONTEXT_LARGE) {
        numbers(add(out, FLO_FINDING_CONTEXT, "a context of %u tokens", c->context), c->context,
                CONTEXT_LARGE);
    }
}

/* ---- the machine ---- */

static void find_load(const struct flo_checkup *c, struct flo_findings *out)
{
    const struct flo_sensed *s = &c->sensed;

    if (c->cpus > 0 && s->load_centi > 100 * c->cpus + 50) {
        numbers(add(out, FLO_FINDING_LOAD, "%u.%02u processes want %u CPUs in the last minute",
                    s->load_centi / 100, s->load_centi % 100, c->cpus),
                s->load_centi / 100.0, c->cpus);
    }
    if (s->psi_cpu >= PRESSURE_CENTI) {
        numbers(add(out, FLO_FINDING_CPU_PRESSURE, "tasks waited for a CPU %u %% of the last 10 s",
                    s->psi_cpu / 100),
                s->psi_cpu / 100.0, PRESSURE_CENTI / 100.0);
    }
    if (s->psi_io >= PRESSURE_CENTI) {
        numbers(add(out, FLO_FINDING_IO_PRESSURE, "tasks waited for a disk %u %% of the last 10 s",
                    s->psi_io / 100),
                s->psi_io / 100.0, PRESSURE_CENTI / 100.0);
    }
    if (s->psi_memory >= PRESSURE_CENTI) {
        numbers(add(out, FLO_FINDING_MEMORY_PRESSURE,
                    "tasks waited for memory %u %% of the last 10 s", s->psi_memory / 100),
                s->psi_memory / 100.0, PRESSURE_CENTI / 100.0);
    }
    if (s->cgroup_bytes_max > 0 && s->cgroup_bytes >= s->cgroup_bytes_max / 100 * 95) {
        numbers(add(out, FLO_FINDING_CGROUP,
                    "%llu of the %llu MiB that its cgroup may use are taken",
                    (unsigned long long)(s->cgroup_bytes >> 20),
                    (unsigned long long)(s->cgroup_bytes_max >> 20)),
                (double)s->cgroup_bytes, (double)s->cgroup_bytes_max);
    }
}

static void find_power(const struct flo_checkup *c, struct flo_findings *out)
{
    const struct flo_sensed *s = &c->sensed;
    int64_t trip = s->trip_mc;

    if (s->has_zone && flo_power_is_hot(s->zone_mc, trip)) {
        numbers(add(out, FLO_FINDING_HEAT, "%lld.%lld °C, its limit is %lld",
                    (long long)(s->zone_mc / 1000), (long long)(s->zone_mc / 100 % 10),
                    (long long)(trip / 1000)),
                (double)s->zone_mc, (double)trip);
    }
    if (s->clock_khz > 0 && s->load_centi >= 100 &&
        s->clock_khz < s->clock_khz_max / 100 * CLOCK_PART) {
        numbers(add(out, FLO_FINDING_CLOCK, "a CPU runs at %llu of %llu MHz",
                    (unsigned long long)(s->clock_khz / 1000),
                    (unsigned long long)(s->clock_khz_max / 1000)),
                (double)s->clock_khz, (double)s->clock_khz_max);
    }
    if (s->is_discharging) {
        numbers(add(out, FLO_FINDING_BATTERY, "runs on battery, %d %% are left", s->battery_pct),
                s->battery_pct, FLO_POWER_LOW_PCT);
    }
    if (c->rung > 0) {
        add(out, FLO_FINDING_RUNG, "stepped down to rung %u: %s", c->rung,
            c->rung_why == NULL ? "" : c->rung_why);
    }
}

static void find_health(const struct flo_checkup *c, struct flo_findings *out)
{
    if (c->degraded != NULL) {
        add(out, FLO_FINDING_DEGRADED, "it cannot do all of its work: %s", c->degraded);
    }
    if (c->sensed.memory_bytes > 0 && c->sensed.memory_free_bytes < MEMORY_FREE_MIN) {
        numbers(add(out, FLO_FINDING_MEMORY_FREE, "%llu MiB of memory are free",
                    (unsigned long long)(c->sensed.memory_free_bytes >> 20)),
                (double)c->sensed.memory_free_bytes, (double)MEMORY_FREE_MIN);
    }
    struct flo_err room = {0};
    if (flo_checkup_room(c->disk_free_bytes, &room) < 0) {
        numbers(add(out, FLO_FINDING_DISK, "%s", room.what), (double)c->disk_free_bytes,
                (double)FLO_CHECKUP_DISK_MIN);
    }
    if (c->has_certificate && c->certificate_days < CERTIFICATE_DAYS_MIN) {
        numbers(add(out, FLO_FINDING_CERTIFICATE, "its certificate ends in %lld day%s",
                    (long long)c->certificate_days, flo_s((uint64_t)c->certificate_days)),
                (double)c->certificate_days, CERTIFICATE_DAYS_MIN);
    }
    if (c->leaves != NULL) {
        add(out, FLO_FINDING_LEAVES, "prompts may leave the fleet: %s", c->leaves);
    }
    if (c->sandbox_lacks != NULL) {
        add(out, FLO_FINDING_SANDBOX, "this kernel has no %s", c->sandbox_lacks);
    }
}

void flo_checkup_find_engine(const struct flo_checkup *checkup, struct flo_findings *out)
{
    memset(out, 0, sizeof(*out));
    find_engine(checkup, out);
}

void flo_checkup_find_machine(const struct flo_checkup *checkup, struct flo_findings *out)
{
    memset(out, 0, sizeof(*out));
    find_load(checkup, out);
    find_power(checkup, out);
    find_health(checkup, out);
}
